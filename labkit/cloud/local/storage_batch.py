"""Many small requests in one: https://cloud.google.com/storage/docs/batch."""

import http.client
import secrets
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from typing import cast

from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.storage_errors import refused

_MOST = 100


def answer_batch(request: HttpRequest, answer: Callable[[HttpRequest], HttpAnswer]) -> HttpAnswer:
    """Answer each request in a batch.

    Args:
        request: its body is ``multipart/mixed``, each part a request.
        answer: answers one.

    Raises:
        StorageError: 400, it is no batch, or one of more than 100.
    """
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    batch = BytesParser().parsebytes(head + request.body)
    parts = cast("list[Message]", batch.get_payload()) if batch.is_multipart() else []
    if not 1 <= len(parts) <= _MOST:
        raise refused(f"A batch of {len(parts)} requests: expected 1 to {_MOST} parts of multipart/mixed.")
    boundary = "batch_" + secrets.token_urlsafe(24)
    body = b"".join(_written(part, answer(_read(part, request)), boundary) for part in parts)
    return HttpAnswer(
        200, {"Content-Type": f"multipart/mixed; boundary={boundary}"}, body + f"--{boundary}--\r\n".encode()
    )


def _read(part: Message, outer: HttpRequest) -> HttpRequest:
    content = _content(part)
    line, _, rest = content.lstrip().partition(b"\n")
    words = line.decode("latin-1").split()
    if len(words) < 2:
        raise refused(f"A part of a batch starts with {line[:100]!r}. Expected a method and an address.")
    inner = BytesParser().parsebytes(rest)
    headers = {"host": outer.headers.get("host", outer.host)} | {name.lower(): value for name, value in inner.items()}
    target = "/" + words[1].split("://", 1)[-1].partition("/")[2]
    return HttpRequest(words[0], outer.host, target, headers, _content(inner).strip())


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""  # parts within parts have none of their own


def _written(part: Message, answer: HttpAnswer, boundary: str) -> bytes:
    reference = part.get("Content-ID", "").strip("<>")
    phrase = http.client.responses.get(answer.status, "")
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    lines = [
        f"--{boundary}",
        "Content-Type: application/http",
        *([f"Content-ID: <response-{reference}>"] if reference else []),
        "",
        f"HTTP/1.1 {answer.status} {phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + bytes(answer.body) + b"\r\n"
