"""HTTP/1.1 connections: httptools parses, this module keeps a connection's requests and answers in order.

A web framework costs more here than the model behind it; `docs/design.md` has the figures.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time

import httptools

from labkit.serving.embedded.status import invalid_argument

LARGEST_BODY = (1 << 31) - 1  # as for a gRPC message
_LARGEST_UNPACKED = 1 << 28  # two megabytes of gzip can hold two gigabytes
_LARGEST_HEAD = 65_536
_LONGEST_QUEUE = 16


@dataclass
class Request:
    """One request.

    Attributes:
        method: the verb.
        target: path and query as they stood in the request line.
        headers: the last value of each header, by its name in small letters.
    """

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    keep_alive: bool = True
    chunks: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the body as it was sent."""
        return sum(map(len, self.chunks))

    def body(self) -> bytes:
        """The body, unpacked if its Content-Encoding has gzip in its name, as upstream does it.

        Raises:
            StatusError: INVALID_ARGUMENT, it is not gzip data, or too large unpacked.
        """
        body = b"".join(self.chunks)
        if "gzip" not in self.headers.get("content-encoding", "").lower():
            return body
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            body = unpacking.decompress(body, _LARGEST_UNPACKED)
        except zlib.error as error:
            raise invalid_argument(
                f"The request's body is no gzip data, as Content-Encoding promises: {error}"
            ) from None
        if not unpacking.eof:
            raise invalid_argument(f"The body is cut off, or larger than {_LARGEST_UNPACKED} bytes when unpacked")
        return body


@dataclass(frozen=True)
class Response:
    """One answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, keep_alive: bool) -> bytes:
        """The status line and headers."""
        lines = [_status_line(self.status), *(f"{name}: {value}" for name, value in self.headers.items())]
        lines += [f"Content-Length: {len(self.body)}", _date(int(time()))]
        # Also where it is the default: a client that speaks HTTP/1.0 waits for the end of the connection otherwise.
        lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    phrases = {499: "Client Closed Request"}
    return f"HTTP/1.1 {status} {phrases.get(status) or HTTPStatus(status).phrase}"


@lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return f"Date: {formatdate(seconds, usegmt=True)}"


Answer = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """A listening port and its connections."""

    def __init__(self, answer: Answer) -> None:
        """Args: answer: turns a request into a response and raises nothing."""
        self.answer = answer
        self.connections: set[_Connection] = set()
        self.draining = False
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()

    async def listen(self, address: str, port: int) -> int:
        """Listen on `address`:`port` (0: a free one) and return the port.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), address, port, backlog=1024)
        return self._server.sockets[0].getsockname()[1]

    async def drain(self, seconds: float) -> None:
        """Take no more requests; wait up to `seconds` for the answers under way, then close every connection."""
        self.draining = True
        if self._server:
            self._server.close()
        for connection in list(self.connections):
            connection.close_if_idle()
        if self.connections:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                for connection in list(self.connections):
                    connection.abort()

    def forget(self, connection: "_Connection") -> None:
        """Called by a connection that is closed."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()


class _Connection(asyncio.Protocol):
    """One client's connection. Methods named `on_...` are called by the parser."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._refusal = ""  # why this connection ends once what came before is answered
        self._in_head = True
        self._has_ended = False  # a request, within the data that came last
        self._head_bytes = 0
        self._body_bytes = 0
        self._writable = True
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's are not asyncio's classes
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._waiting.clear()
        if self._answering:
            self._answering.cancel()  # nobody wants the answer: its place in a batch is free
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._refusal:
            return
        was_in_head, self._has_ended = self._in_head, False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._waiting[-1].method != "CONNECT":
                self.data_received(self._without_upgrade(data[upgrade.args[0] :]))
                return
            self._waiting.pop()
            self._refusal = "This is no proxy: CONNECT is not answered"
        except httptools.HttpParserError as error:
            self._refusal = f"Malformed HTTP: {error.__context__ or error}"
        if was_in_head and self._in_head and not self._has_ended:
            self._head_bytes += len(data)
            if self._head_bytes > _LARGEST_HEAD:
                self._refusal = f"Malformed HTTP: the request line and headers are longer than {_LARGEST_HEAD} bytes"
        if (self._waiting or self._refusal) and not self._answering:
            self._answering = asyncio.get_running_loop().create_task(self._answer_waiting())
        self._read_on()

    def pause_writing(self) -> None:  # the client does not read its answers: read no more of its requests
        self._writable = False
        self._read_on()

    def resume_writing(self) -> None:
        self._writable = True
        self._read_on()

    def on_message_begin(self) -> None:
        self._request = Request()
        self._in_head, self._head_bytes, self._body_bytes = True, 0, 0

    def on_url(self, part: bytes) -> None:
        self._request.target += part.decode("utf-8", "surrogateescape")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._in_head = False
        if int(self._request.headers.get("content-length", 0)) > LARGEST_BODY:
            raise ValueError(f"the body is larger than {LARGEST_BODY} bytes")
        if self._request.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body_bytes += len(part)
        if self._body_bytes > LARGEST_BODY:
            raise ValueError(f"the body is larger than {LARGEST_BODY} bytes")
        self._request.chunks.append(part)

    def on_message_complete(self) -> None:
        self._request.method = self._parser.get_method().decode("latin-1")
        self._request.keep_alive = self._parser.should_keep_alive()
        self._in_head = self._has_ended = True
        self._waiting.append(self._request)

    def close_if_idle(self) -> None:
        """Close the connection unless an answer is under way; then it closes after that."""
        if not self._answering:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The request that asked for another protocol once more, without asking: the parser left its body unread."""
        request = self._waiting.pop()
        self._parser = httptools.HttpRequestParser(self)
        wanted = {name: value for name, value in request.headers.items() if name not in ("upgrade", "connection")}
        lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{n}: {v}" for n, v in wanted.items()), "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + rest

    async def _answer_waiting(self) -> None:
        while self._waiting:
            request = self._waiting.popleft()
            response = await self._server.answer(request)
            keep_alive = request.keep_alive and not self._server.draining
            if self._transport.is_closing():
                break
            body = b"" if request.method == "HEAD" else response.body
            self._transport.write(response.head(keep_alive) + body)
            if not keep_alive:
                self._transport.close()
                break
            self._read_on()
        if self._refusal and not self._transport.is_closing():
            response = Response(self._refusal.encode() + b"\n", 400, {"Content-Type": "text/plain"})
            self._transport.write(response.head(keep_alive=False) + response.body)
            self._transport.close()
        self._answering = None

    def _read_on(self) -> None:
        """Read, or stop reading while the client is too far ahead with its requests or behind with our answers."""
        if self._writable and not self._refusal and len(self._waiting) <= _LONGEST_QUEUE:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
