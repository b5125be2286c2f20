"""An object's content on its way out, whole or in part: headers, ranges, gzip."""

import gzip
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime

from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.storage_errors import StorageError
from labkit.cloud.local.storage_store import Resource

_FIELDS = {
    "Cache-Control": "cacheControl",
    "Content-Disposition": "contentDisposition",
    "Content-Language": "contentLanguage",
    "Content-Encoding": "contentEncoding",
}


def download(resource: Resource, content: bytes, request_headers: Mapping[str, str]) -> HttpAnswer:
    """The answer that carries an object's content.

    Args:
        resource: the object's.
        content: all of it.
        request_headers: may ask for a range, and say whether gzip is understood.

    Raises:
        StorageError: 416, nothing of it is in the range.
    """
    headers = headers_of(resource)
    if resource.get("contentEncoding") == "gzip" and "gzip" not in request_headers.get("accept-encoding", ""):
        del headers["Content-Encoding"]  # https://cloud.google.com/storage/docs/transcoding
        return HttpAnswer(200, {**headers, "Warning": '214 UploadServer "gunzipped"'}, gzip.decompress(content))
    wanted = re.fullmatch(r"\s*bytes=(\d*)-(\d*)\s*", request_headers.get("range", ""))
    if not wanted or wanted.groups() == ("", ""):
        return HttpAnswer(200, headers, content)
    first, end = _range(wanted[1], wanted[2], len(content))
    if first >= end:
        raise StorageError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
    headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
    return HttpAnswer(206, headers, memoryview(content)[first:end])


def headers_of(resource: Resource) -> dict[str, str]:
    """An object's resource as response headers."""
    md5 = f",md5={resource['md5Hash']}" if "md5Hash" in resource else ""
    headers = {
        "Content-Type": resource["contentType"],
        "Accept-Ranges": "bytes",
        "ETag": resource["etag"],
        "Last-Modified": format_datetime(datetime.fromisoformat(resource["updated"]), usegmt=True),
        "X-Goog-Generation": resource["generation"],
        "X-Goog-Metageneration": resource["metageneration"],
        "X-Goog-Hash": f"crc32c={resource['crc32c']}{md5}",
        "X-Goog-Storage-Class": resource["storageClass"],
        "X-Goog-Stored-Content-Encoding": resource.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": resource["size"],
    }
    headers |= {header: resource[field] for header, field in _FIELDS.items() if field in resource}
    return headers | {f"X-Goog-Meta-{name}": str(value) for name, value in (resource.get("metadata") or {}).items()}


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    """First byte and end of ``bytes=FIRST-LAST``; of ``bytes=-N``, the last N."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
