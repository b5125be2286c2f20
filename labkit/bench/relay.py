"""A relay that keeps what goes by: between a client and a server, on real sockets, byte for byte.

    with CountingRelay(server.rest_url) as relay:
        requests.post(f"{relay.url}/v1/models/penguins:predict", json=...)
        relay.connections[0].bytes_sent

Counted are the bytes that programs write and read. What the kernel adds below them (TCP, IP and Ethernet headers, some
66 bytes a packet) is not. Every byte takes a detour through this process, so nothing is to be timed through a relay,
but for what a far server costs (`labkit.bench.distance`).
"""

import asyncio
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

from labkit.bench.wire_parts import RECEIVED, SENT

KEEP = 64 * 2**20
_BUFFER = 2**20  # bytes that wait for an end that reads slowly; then the other end is not read any more
_UNDER_WAY = 64 * 2**20  # bytes of one direction that were read and did not arrive yet; then no more are read
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # struct linger; Windows has shorts in it


class Connection:
    """What went by on one connection, from the client's point of view; it grows as long as the connection is used.

    Attributes:
        failure: why the server was not reached; empty if it was.
    """

    def __init__(self, keep: int = KEEP) -> None:
        """Nothing went by yet.

        Args:
            keep: how many bytes of each direction are kept; more are only counted.
        """
        self.failure = ""
        self._keep = keep
        self._lock = threading.Lock()
        self._kept = {SENT: bytearray(), RECEIVED: bytearray()}
        self._counts = {SENT: 0, RECEIVED: 0}

    def __repr__(self) -> str:
        return f"Connection({self.bytes_sent} bytes sent, {self.bytes_received} received)"

    @property
    def sent(self) -> bytes:
        """From the client to the server; the first `keep` bytes of it."""
        return self._copy(SENT)

    @property
    def received(self) -> bytes:
        """From the server to the client; the first `keep` bytes of it."""
        return self._copy(RECEIVED)

    @property
    def bytes_sent(self) -> int:
        """How many bytes went from the client to the server."""
        return self._counts[SENT]

    @property
    def bytes_received(self) -> int:
        """How many bytes went from the server to the client."""
        return self._counts[RECEIVED]

    def record(self, direction: str, data: bytes) -> None:
        """Count and keep what goes by; `direction` is ``sent`` or ``received``."""
        with self._lock:
            kept = self._kept[direction]
            kept += data[: self._keep - len(kept)]
            self._counts[direction] += len(data)

    def _copy(self, direction: str) -> bytes:
        with self._lock:
            return bytes(self._kept[direction])


Way = Callable[..., None]


def _at_once(action: Callable[..., None], *arguments: object) -> None:
    """The way on one machine."""
    action(*arguments)


class CountingRelay:
    """Listens on this machine only, and forwards every connection to one address.

    A context manager. What was recorded stays readable after `stop`.

    Attributes:
        address: where the relay listens, for gRPC: ``127.0.0.1:PORT``.
        url: the same for HTTP: ``http://127.0.0.1:PORT``.
    """

    _selector: type[selectors.BaseSelector] = selectors.DefaultSelector

    def __init__(self, address: str, *, keep: int = KEEP) -> None:
        """From now on connections are forwarded.

        Args:
            address: of the server, such as ``127.0.0.1:8500`` or ``http://127.0.0.1:8501``, on any machine.
            keep: how many bytes of each direction of a connection are kept; more are forwarded and counted.

        Raises:
            ValueError: `address` is none, or one that speaks TLS; `keep` is negative.
        """
        if keep < 0:
            raise ValueError(f"keep is {keep}; it is a number of bytes, 0 or more")
        self._server, self._keep = _host_and_port(address), keep
        self._connections: list[Connection] = []
        self._ends: set[_End] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self._loop = asyncio.SelectorEventLoop(self._selector())
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"relay {self.address}", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> list[Connection]:
        """One for each connection that a client made so far, in that order."""
        return self._connections.copy()

    def stop(self) -> None:
        """Close all connections and listen no more. Calling it again does nothing."""
        with suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(self._accepted, sock=self._listener)
        await self._stopping.wait()
        for end in self._ends:
            if end.reaching:
                end.reaching.cancel()
        while under_way := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.gather(*under_way, return_exceptions=True)
        server.close()  # not sooner: asyncio forgets a connection whose server is closed while it is accepted
        for end in self._ends:
            end.transport.abort()
        while self._ends:  # until each has been told that it is closed
            await asyncio.sleep(0)

    def _way(self) -> Way:
        """One direction of a new connection: how what is sent gets to the other end."""
        return _at_once

    def _accepted(self) -> "_End":
        return _End(SENT, Connection(self._keep), self._way(), self._ends, self._forward)

    def _forward(self, client: "_End") -> None:
        if self._stopping.is_set():
            return  # `_serve` closes it
        self._connections.append(client.connection)
        client.way(self._reach, client)

    def _reach(self, client: "_End") -> None:
        if not self._stopping.is_set():
            client.reaching = self._loop.create_task(self._reach_server(client))

    async def _reach_server(self, client: "_End") -> None:
        server = _End(RECEIVED, client.connection, self._way(), self._ends)
        try:
            await self._loop.create_connection(lambda: server, *self._server)
        except (OSError, UnicodeError) as error:  # the latter for a name that none can have, as "a..b"
            host, port = self._server
            client.connection.failure = f"{host}:{port} could not be reached: {error}"
            server.way(client.reset)
        else:
            client.join(server)


class _End(asyncio.Protocol):
    """One of a forwarded connection's two ends. What comes in here is recorded, then goes its way to the other end."""

    def __init__(
        self,
        direction: str,
        connection: Connection,
        way: Way,
        ends: set["_End"],
        made: Callable[["_End"], None] = lambda _: None,
    ) -> None:
        self.connection, self.way = connection, way
        self.transport: asyncio.Transport
        self.reaching: asyncio.Task[None] | None = None  # held here, for the event loop does not hold its tasks
        self._direction, self._ends, self._made = direction, ends, made
        self._joined: _End | None = None
        self._under_way = 0
        self._full = self._said_all = self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a stream it is one
        self.transport = transport
        # Not at once: before Python 3.11.4 asyncio starts to read after this, paused or not.
        asyncio.get_running_loop().call_soon(transport.pause_reading)
        transport.set_write_buffer_limits(_BUFFER)
        # else a small piece waits until the one before is acknowledged; asyncio sets it for what it opens itself only
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends.add(self)
        self._made(self)

    def join(self, server: "_End") -> None:
        """The server is reached: it says so to this end, the client's, and hears in return that bytes may flow."""
        self._joined, server._joined = server, self
        server.way(self._reached)

    @property
    def _other(self) -> "_End":
        assert self._joined, "nothing is read from an end, or written to it, before it is joined to the other one"
        return self._joined

    def _reached(self) -> None:
        self.transport.resume_reading()
        self.way(self._other.transport.resume_reading)

    def data_received(self, data: bytes) -> None:
        self.connection.record(self._direction, data)
        self._under_way += len(data)
        self.way(self._pass_on, data)
        self._read_or_wait()

    def _pass_on(self, data: bytes) -> None:
        self._under_way -= len(data)
        if not self._other.transport.is_closing():
            self._other.transport.write(data)
        self._read_or_wait()

    def eof_received(self) -> bool:
        """Nothing more will come from here; the way back stays open, as the client or server itself had it."""
        self._said_all = True
        self.way(self._pass_on_end)
        return True

    def _pass_on_end(self) -> None:
        self._ended = True
        with suppress(OSError):  # the other end is gone; the next write will say so
            self._other.transport.write_eof()
        if self._other._ended:
            self.transport.close()
            self._other.transport.close()

    def pause_writing(self) -> None:
        self._full = True
        self._other._read_or_wait()

    def resume_writing(self) -> None:
        self._full = False
        self._other._read_or_wait()

    def _read_or_wait(self) -> None:
        if self._said_all:
            return  # else asyncio would read the end again
        if self._other._full or self._under_way > _UNDER_WAY:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._ends.discard(self)
        if self._joined:
            self.way(self._other.reset if error else self._other.transport.close)

    def reset(self) -> None:
        """Close so that the program at this end sees "connection reset", not an ordinary end."""
        with suppress(OSError):  # closed already
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


def _host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an address.

    Raises:
        ValueError: it is none, or one that cannot be relayed.
    """
    if address.startswith("https:"):
        raise ValueError(
            f"address is {address!r}; a relay cannot look into TLS. Give the server's address without TLS, as "
            "http://127.0.0.1:8501"
        )
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        port = 80 if parts.scheme and parts.port is None else parts.port
    except ValueError:
        port = None
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("", "http") or not parts.hostname or not port or rest:
        raise ValueError(
            f"address is {address!r}; a host and a port are wanted and nothing more, as 127.0.0.1:8500 or "
            "http://127.0.0.1:8501"
        )
    return parts.hostname, port
