"""HTTP/1.1 on a connection, request by request, each complete in memory."""

import re
import socket
import ssl
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from labkit.cloud.local.accounts import App, error
from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.incoming import Incoming, Refused

LARGEST_HEAD = 64 * 1024
LARGEST_BODY = 4 << 30
_IDLE = 600.0  # seconds between two requests; clients find out that a connection was closed, but slowly
_HEAD_SECONDS = 30.0
_LARGEST_LINE = 8 * 1024
_SMALL = 64 * 1024  # bytes of a body that go out together with its head
_REQUEST_LINE = re.compile(rb"([!#-'*+.^-z|~A-Z0-9-]+) (/[!-~]*|\*) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#-'*+.^-z|~A-Z0-9-]+):[ \t]*([^\0\r\n]*)")
_OURS = ("content-length", "connection", "transfer-encoding", "date")


def serve(connection: socket.socket, host: str, app: App) -> None:
    """Answer requests until the client closes, is silent for long, or asks for the end.

    Args:
        connection: TLS is already ended on it. It is left open.
        host: whom the client believes to talk to.
        app: what it raises becomes an answer with status 500, and is logged.

    Raises:
        OSError: the connection broke in an unusual way, as by a client that does not trust the certificate.
    """
    incoming = Incoming(connection)
    with suppress(ConnectionError, TimeoutError, ssl.SSLEOFError):  # the client is gone, or does not go on
        while incoming.starts(_IDLE):
            try:
                request, goes_on = _request(incoming, connection, host)
            except Refused as refused:
                print(f"{host}: {refused}", file=sys.stderr, flush=True)
                answer = error(refused.status, "INVALID_ARGUMENT", f"The request is not understood: {refused.words}.")
                _send(connection, answer, for_head=False, goes_on=False)
                _let_it_be_read(connection)
                return
            _send(connection, _answer(app, request), for_head=request.method == "HEAD", goes_on=goes_on)
            if not goes_on:
                return


def _request(incoming: Incoming, connection: socket.socket, host: str) -> tuple[HttpRequest, bool]:
    """The next request, and whether the client may send another one after it."""
    line, *lines = incoming.until(b"\r\n\r\n", LARGEST_HEAD, _HEAD_SECONDS).split(b"\r\n")
    asked = _REQUEST_LINE.fullmatch(line)
    if not asked:
        raise Refused(400, f"its first line is {line[:200]!r}")
    headers = _headers(lines)
    if headers.get("expect", "").lower() == "100-continue" and not incoming.waiting:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = _body(incoming, headers)
    goes_on = asked[3] == b"1" and "close" not in headers.get("connection", "").lower()
    return HttpRequest(asked[1].decode(), host, asked[2].decode(), headers, body), goes_on


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if not header:
            raise Refused(400, f"{line[:200]!r} is not a header")
        name, value = header[1].decode().lower(), header[2].rstrip(b" \t").decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _body(incoming: Incoming, headers: Mapping[str, str]) -> bytes:
    # TensorFlow's `gs://` says "identity" where it means nothing, and sends a wrong length with chunks.
    coding = headers.get("transfer-encoding", "identity").lower()
    if coding == "chunked":
        return _chunks(incoming)
    if coding != "identity":
        raise Refused(501, f"Transfer-Encoding is {coding[:200]!r}; only chunked is known")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise Refused(400, f"Content-Length is {length[:200]!r}")
    return incoming.exactly(_fits(int(length[:20])))


def _chunks(incoming: Incoming) -> bytes:
    chunks, total = [], 0
    while size := _chunk_size(incoming):
        total = _fits(total + size)
        chunks.append(incoming.exactly(size))
        if incoming.exactly(2) != b"\r\n":
            raise Refused(400, f"a chunk is longer than its {size} bytes")
    for _ in range(100):
        if not incoming.until(b"\r\n", _LARGEST_LINE, _HEAD_SECONDS):  # trailers say nothing that is needed here
            return b"".join(chunks)
    raise Refused(431, "too many trailers came after the last chunk")


def _chunk_size(incoming: Incoming) -> int:
    line = incoming.until(b"\r\n", _LARGEST_LINE, _HEAD_SECONDS)
    digits = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", digits):
        raise Refused(400, f"{line[:200]!r} is not the size of a chunk")
    return int(digits, 16)


def _fits(size: int) -> int:
    if size > LARGEST_BODY:
        raise Refused(413, f"its body has {size} bytes; the local cloud keeps all in memory and takes {LARGEST_BODY}")
    return size


def _answer(app: App, request: HttpRequest) -> HttpAnswer:
    try:
        return app(request)
    except Exception as problem:
        traceback.print_exc(file=sys.stderr)
        return error(500, "INTERNAL", f"{type(problem).__name__}: {problem}")


def _send(connection: socket.socket, answer: HttpAnswer, *, for_head: bool, goes_on: bool) -> None:
    size = memoryview(answer.body).nbytes
    try:
        head = _head(answer, _length(answer, size, for_head), goes_on)
    except ValueError as problem:
        traceback.print_exc(file=sys.stderr)
        return _send(connection, error(500, "INTERNAL", str(problem)), for_head=for_head, goes_on=goes_on)
    body = b"" if for_head or answer.status in (204, 304) else answer.body
    if size <= _SMALL:
        connection.sendall(b"".join((head, body)))
    else:
        connection.sendall(head)
        connection.sendall(body)
    return None


def _length(answer: HttpAnswer, size: int, for_head: bool) -> str:
    """What to say about the body's length. An answer to HEAD may know it without having the body."""
    given = {name.lower(): value for name, value in answer.headers.items()}
    if answer.status in (204, 304):
        return ""
    return given.get("content-length", "0") if for_head and not size else str(size)


def _head(answer: HttpAnswer, length: str, goes_on: bool) -> bytes:
    phrase = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else "Other"
    lines = [f"HTTP/1.1 {answer.status} {phrase}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name.lower() not in _OURS]
    if length:
        lines.append(f"Content-Length: {length}")
    if not goes_on:
        lines.append("Connection: close")
    if any(set("\r\n\0") & set(line) for line in lines):
        raise ValueError(f"an answer's header has a line break: {lines}")
    return "\r\n".join(
        [*lines, "", ""]
    ).encode()  # names and metadata may be in any script; Google sends them as UTF-8, too


def _let_it_be_read(connection: socket.socket) -> None:
    """Take what the client goes on sending for a second: closing at once would make it lose the answer."""
    connection.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + 1.0
    while (seconds := deadline - time.monotonic()) > 0:
        connection.settimeout(seconds)
        if not connection.recv(_SMALL):
            return
