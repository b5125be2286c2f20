"""Uploads of the JSON API, in one request or in several: https://cloud.google.com/storage/docs/uploads-downloads."""

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.storage_call import Call, answer_json, described, json_object
from labkit.cloud.local.storage_checksums import Checksums, in_headers
from labkit.cloud.local.storage_conditions import Conditions
from labkit.cloud.local.storage_errors import StorageError, refused
from labkit.cloud.local.storage_store import Resource, Store, sums_of

_UNIT = 256 << 10  # bytes; of a piece that is not the last one, only whole units are kept
_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-(?:\d+|\*)|\*)/(?P<total>\d+|\*)")


@dataclass
class _Session:
    """A resumable upload on its way."""

    place: tuple[str, str]
    fields: Mapping[str, Any]
    conditions: Conditions
    pieces: list[bytes] = field(default_factory=list)
    sums: Checksums = field(default_factory=Checksums)
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: Resource | None = None


class Uploads:
    """Answers to uploads.

    Args:
        store: where the objects go.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions: dict[str, _Session] = {}

    def insert(self, call: Call) -> HttpAnswer:
        """A new object, or a session for one."""
        kinds = {"media": self._media, "multipart": self._multipart, "resumable": self._start}
        kind = call.query.get("uploadType", "")
        if "upload_id" in call.query:
            return self.resume(call)
        if kind not in kinds:
            raise refused(f"Invalid upload type {kind!r}. Expected one of {', '.join(kinds)}.")
        return kinds[kind](call)

    def resume(self, call: Call) -> HttpAnswer:
        """The next piece of a resumable upload, or a question how far it is."""
        session = self._session(call)
        header = call.header("content-range")
        found = _RANGE.fullmatch(header) if header else None
        if header and not found:
            raise refused(f"Failed to parse Content-Range header {header!r}.")
        with session.lock:
            if session.done is None:
                total = self._take(session, call.request.body, found)
                if total is None or session.sums.size < total:
                    reached = {"Range": f"bytes=0-{session.sums.size - 1}"} if session.sums.size else {}
                    return HttpAnswer(308, reached)
                session.done = self._finished(session, total, in_headers(call.request.headers))
            return answer_json(described(session.done, call.base))

    def cancel(self, call: Call) -> HttpAnswer:
        """Forget a session and what came in it."""
        self._session(call)
        del self._sessions[call.query["upload_id"]]
        return HttpAnswer(499)

    def _media(self, call: Call) -> HttpAnswer:
        fields = {"contentType": call.header("content-type"), "contentEncoding": call.query.get("contentEncoding")}
        return self._write(call, call.query.get("name", ""), call.request.body, fields)

    def _multipart(self, call: Call) -> HttpAnswer:
        fields, content_type, content = related(call.header("content-type"), call.request.body)
        return self._write(call, _name(call, fields), content, {"contentType": content_type, **fields})

    def _write(self, call: Call, name: str, content: bytes, fields: Mapping[str, Any]) -> HttpAnswer:
        sums = Checksums(content)
        sums.check({**in_headers(call.request.headers), **fields})
        place = call.names["bucket"], name
        new = self._store.write(*place, content, sums_of(sums), fields, Conditions.of(call.query))
        return answer_json(described(new, call.base), {"ETag": new["etag"]})

    def _start(self, call: Call) -> HttpAnswer:
        fields = call.json()
        place = call.names["bucket"], _name(call, fields)
        conditions = Conditions.of(call.query)
        with self._store.lock:
            self._store.existing_bucket(place[0])
            conditions.check(self._store.objects.get(place[0], {}).get(place[1]))
        fields = {"contentType": call.header("x-upload-content-type"), **fields}
        identifier = secrets.token_urlsafe(32)
        self._sessions[identifier] = _Session(place, fields, conditions)
        path = f"/upload/storage/v1/b/{place[0]}/o?uploadType=resumable&name={quote(place[1], safe='')}"
        headers = {"Location": f"{call.base}{path}&upload_id={identifier}", "X-GUploader-UploadID": identifier}
        return HttpAnswer(200, headers)

    def _session(self, call: Call) -> _Session:
        session = self._sessions.get(call.query.get("upload_id", ""))
        if session is None:
            raise StorageError(404, "uploadNotFound", "Upload session not found. It is unknown, or it was cancelled.")
        return session

    def _take(self, session: _Session, body: bytes, found: re.Match[str] | None) -> int | None:
        """Keep what is new of a piece; returns the total size, None: not known yet."""
        received = session.sums.size
        if found is None:
            total: int | None = len(body)
            start: int | None = 0
        else:
            total = None if found["total"] == "*" else int(found["total"])
            start = None if found["start"] is None else int(found["start"])
        if start is None:
            return total
        if start > received:
            raise refused(f"Invalid request. Expected bytes from {received} on, the request's start at {start}.")
        new = body[received - start :]
        if total is None or received + len(new) < total:
            new = new[: len(new) - (received + len(new)) % _UNIT]
        if new:
            session.pieces.append(new)
            session.sums.update(new)
        return total

    def _finished(self, session: _Session, total: int, expected: Mapping[str, str]) -> dict[str, Any]:
        if session.sums.size > total:
            raise refused(f"Invalid request. Expected {total} bytes, got {session.sums.size}.")
        session.sums.check({**session.fields, **expected})
        content = session.pieces[0] if len(session.pieces) == 1 else b"".join(session.pieces)
        sums = sums_of(session.sums)
        written = self._store.write(*session.place, content, sums, session.fields, session.conditions)
        session.pieces.clear()
        return written


def related(content_type: str, body: bytes) -> tuple[dict[str, Any], str, bytes]:
    """Take a ``multipart/related`` body apart.

    Returns:
        The fields of its first part, the second one's type, the second one.

    Raises:
        StorageError: 400, it is something else.
    """
    boundary = re.search(r'boundary=(?:"([^"]+)"|([^;\s]+))', content_type)
    mark = b"--" + (boundary[1] or boundary[2]).encode() if boundary else b"--"
    first = body.find(mark)
    second = body.find(b"\n" + mark, first + len(mark))
    last = body.rfind(b"\n" + mark + b"--")
    if not boundary or not 0 <= first < second < last:
        raise refused("Malformed multipart body. Expected two parts, JSON and content.")
    _, fields = _part(body, first + len(mark), second)
    headers, content = _part(body, second + 1 + len(mark), last)
    found = re.search(rb"^content-type:\s*(.*?)\s*$", headers, re.IGNORECASE | re.MULTILINE)
    return json_object(fields), found[1].decode("latin-1") if found else "", content


def _part(body: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    """Headers and content of a part, whose lines may end in CR LF or in LF."""
    if body[end - 1 : end] == b"\r" and body[start : start + 1] == b"\r":
        end -= 1
    blank = re.compile(rb"\r?\n\r?\n").search(body, start, end)
    if blank is None:
        raise refused("Malformed multipart body. Expected an empty line after a part's headers.")
    return body[start : blank.start()], body[blank.end() : end]


def _name(call: Call, fields: Mapping[str, Any]) -> str:
    return call.query.get("name") or str(fields.get("name") or "")
