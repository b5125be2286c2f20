"""The first thing that a client says over TLS, looked at but left for whoever will answer it."""

import socket
import time

_RECORD_HEAD, _HANDSHAKE, _CLIENT_HELLO, _ALPN = 5, 22, 1, 16
_ALL_OF_IT_SOON = 0.005  # seconds; a hello comes in one or two packets


def peek(connection: socket.socket, seconds: float) -> bytes:
    """The first record, without taking it off the connection.

    Raises:
        ConnectionError: the client closed, or does not speak TLS.
        TimeoutError: it did not come within `seconds`.
    """
    deadline, wanted = time.monotonic() + seconds, _RECORD_HEAD
    while True:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        seen = connection.recv(wanted, socket.MSG_PEEK)
        if not seen:
            raise ConnectionError("the client closed before it said anything")
        if seen[0] != _HANDSHAKE:
            raise ConnectionError(f"the client does not speak TLS; it sent {seen!r}")
        if len(seen) == wanted > _RECORD_HEAD:
            return seen
        if len(seen) == wanted:
            wanted += int.from_bytes(seen[3:5])
        elif time.monotonic() > deadline:
            raise TimeoutError("timed out")
        else:
            time.sleep(_ALL_OF_IT_SOON)


def protocols(record: bytes) -> list[str]:
    """The protocols that the client offers inside TLS (ALPN), as ``h2`` and ``http/1.1``; none if it does not say."""
    hello = _Reader(record[_RECORD_HEAD:])
    if hello.number(1) != _CLIENT_HELLO:
        return []
    hello.skip(3 + 2 + 32)  # its length, version, random bytes
    for size_of_length in (1, 2, 1):  # session, ciphers, compressions
        hello.block(size_of_length)
    extensions = _Reader(hello.block(2))
    while extensions.left:
        kind, content = extensions.number(2), extensions.block(2)
        if kind == _ALPN:
            offered, names = _Reader(_Reader(content).block(2)), []
            while offered.left:
                names.append(offered.block(1).decode("latin-1"))
            return names
    return []


class _Reader:
    """Takes parts off the front; there is no end to be missed, for what is not there is empty."""

    def __init__(self, content: bytes) -> None:
        self.left = content

    def skip(self, size: int) -> bytes:
        skipped, self.left = self.left[:size], self.left[size:]
        return skipped

    def number(self, size: int) -> int:
        return int.from_bytes(self.skip(size))

    def block(self, size_of_length: int) -> bytes:
        return self.skip(self.number(size_of_length))
