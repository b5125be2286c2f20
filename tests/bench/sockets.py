"""Bare sockets for both sides of a relay: a test plays the client and the server itself."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.bench.relay import CountingRelay

MEGABYTE = 2**20
RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


def address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def connect(to: str) -> socket.socket:
    host, port = to.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


@contextmanager
def pair(relay: CountingRelay, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket and the server's, the relay between them."""
    with connect(relay.address) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(30)
            yield client, server


def receive(end: socket.socket, size: int) -> bytes:
    """So many bytes; fewer if they end before."""
    data = bytearray()
    while len(data) < size and (piece := end.recv(min(MEGABYTE, size - len(data)))):
        data += piece
    return bytes(data)


def reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    end.close()
