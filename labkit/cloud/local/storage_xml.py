"""The XML API: objects by their plain address, and uploads in parts that travel side by side.

Signed addresses are answered, too; who signed them, and until when, is not looked at.
"""

import secrets
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.storage_call import Call
from labkit.cloud.local.storage_checksums import Checksums, in_headers
from labkit.cloud.local.storage_conditions import Conditions
from labkit.cloud.local.storage_download import download, headers_of
from labkit.cloud.local.storage_errors import XML, StorageError, refused
from labkit.cloud.local.storage_store import Resource, Store, sums_of

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_SMALLEST_PART = 5 << 20  # bytes, the last one excepted
_META = "x-goog-meta-"
_FIELDS = {
    "content-type": "contentType",
    "content-encoding": "contentEncoding",
    "content-disposition": "contentDisposition",
    "content-language": "contentLanguage",
    "cache-control": "cacheControl",
    "x-goog-storage-class": "storageClass",
}


@dataclass
class _Upload:
    """An upload in parts: part number -> content and its ``ETag``."""

    place: tuple[str, str]
    fields: Resource
    parts: dict[int, tuple[bytes, str]] = field(default_factory=dict)


class XmlApi:
    """Answers of the XML API.

    Args:
        store: where the objects are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads: dict[str, _Upload] = {}

    def get(self, call: Call) -> HttpAnswer:
        """GET and HEAD; to a HEAD the content is the door's to leave out."""
        resource, content = self._store.with_content(*call.place, call.query.get("generation", ""))
        Conditions.of_headers(call.request.headers).check(resource, reading=True)
        return download(resource, content, call.request.headers)

    def put(self, call: Call) -> HttpAnswer:
        """A whole object, or a part of one."""
        if "uploadId" in call.query:
            return self._part(call)
        if "x-goog-copy-source" in call.request.headers:
            raise StorageError(501, "notImplemented", "Copies over the XML API are not part of the local cloud.")
        sums = Checksums(call.request.body)
        sums.check(in_headers(call.request.headers))
        conditions = Conditions.of_headers(call.request.headers)
        new = self._store.write(*call.place, call.request.body, sums_of(sums), _fields(call), conditions)
        return HttpAnswer(200, {**_shown(new), "ETag": sums.etag})

    def post(self, call: Call) -> HttpAnswer:
        """The start of an upload in parts, or its end."""
        if "uploads" in call.query:
            return self._start(call)
        if "uploadId" in call.query:
            return self._complete(call)
        raise StorageError(501, "notImplemented", "Uploads of HTML forms are not part of the local cloud.")

    def delete(self, call: Call) -> HttpAnswer:
        """An object, or an upload in parts that is given up."""
        if "uploadId" in call.query:
            self._upload(call)
            del self._uploads[call.query["uploadId"]]
        else:
            self._store.delete(*call.place, Conditions.of_headers(call.request.headers))
        return HttpAnswer(204)

    def _start(self, call: Call) -> HttpAnswer:
        with self._store.lock:
            self._store.existing_bucket(call.place[0])
        identifier = secrets.token_urlsafe(32)
        self._uploads[identifier] = _Upload(call.place, _fields(call))
        return _result("InitiateMultipartUploadResult", call.place, UploadId=identifier)

    def _part(self, call: Call) -> HttpAnswer:
        upload = self._upload(call)
        number = call.query.get("partNumber", "")
        if not number.isdecimal() or not 1 <= int(number) <= 10_000:
            raise refused(f"Part number {number!r}: expected 1 to 10000.")
        sums = Checksums(call.request.body)
        sums.check(in_headers(call.request.headers))
        upload.parts[int(number)] = call.request.body, sums.etag
        return HttpAnswer(200, {"ETag": sums.etag, "X-Goog-Hash": f"crc32c={sums.crc32c},md5={sums.md5}"})

    def _complete(self, call: Call) -> HttpAnswer:
        upload = self._upload(call)
        parts = [upload.parts.get(number, (b"", "")) for number, _ in _listed(call.request.body)]
        for (_, found), (number, wanted) in zip(parts, _listed(call.request.body), strict=True):
            if found.strip('"') != wanted.strip('"'):
                raise StorageError(400, "invalidPart", f"Part {number} with ETag {wanted} was not uploaded.")
        if any(len(content) < _SMALLEST_PART for content, _ in parts[:-1]):
            raise refused(
                f"Your proposed upload is smaller than the minimum allowed size: {_SMALLEST_PART} bytes a part."
            )
        content = b"".join(content for content, _ in parts)
        sums = {"crc32c": Checksums(content).crc32c, "componentCount": len(parts)}
        conditions = Conditions.of_headers(call.request.headers)
        new = self._store.write(*upload.place, content, sums, upload.fields, conditions)
        self._uploads.pop(call.query["uploadId"], None)
        answer = _result("CompleteMultipartUploadResult", upload.place, ETag=f'"{new["etag"]}"')
        return HttpAnswer(200, {**_shown(new), **answer.headers}, answer.body)

    def _upload(self, call: Call) -> _Upload:
        upload = self._uploads.get(call.query["uploadId"])
        if upload is None or upload.place != call.place:
            raise StorageError(404, "uploadNotFound", f"Upload ID: {call.query['uploadId']}")
        return upload


def _listed(body: bytes) -> list[tuple[int, str]]:
    """Number and ``ETag`` of the parts that an upload is to consist of, in their order."""
    try:
        parts = [
            {each.tag.rpartition("}")[2]: each.text or "" for each in part}
            for part in ElementTree.fromstring(body)
            if part.tag.rpartition("}")[2] == "Part"
        ]
        found = [(int(part["PartNumber"]), part["ETag"]) for part in parts]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise refused(f"The XML you provided was not well-formed or lacks something: {error}") from None
    if not found or [number for number, _ in found] != sorted({number for number, _ in found}):
        raise refused("The list of parts was empty, or not in ascending order.")
    return found


def _fields(call: Call) -> Resource:
    headers = call.request.headers
    metadata = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
    return {field: headers[name] for name, field in _FIELDS.items() if name in headers} | {"metadata": metadata}


def _shown(resource: Resource) -> dict[str, str]:
    return {name: value for name, value in headers_of(resource).items() if name.startswith("X-Goog-")}


def _result(tag: str, place: tuple[str, str], **fields: str) -> HttpAnswer:
    named = {"Bucket": place[0], "Key": place[1], **fields}
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in named.items())
    text = f"<?xml version='1.0' encoding='UTF-8'?><{tag} xmlns='{_NAMESPACE}'>{inside}</{tag}>"
    return HttpAnswer(200, XML, text.encode())
