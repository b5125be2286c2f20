"""Which objects of a bucket are listed, page by page: https://cloud.google.com/storage/docs/json_api/v1/objects/list."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gcp_storage_emulator.gcs_glob import gcs_glob_match

from labkit.cloud.local.storage_errors import refused

_LARGEST_PAGE = 1000


def listed(names: Iterable[str], query: Mapping[str, str]) -> dict[str, bool]:
    """What of these names a listing has.

    Args:
        names: in Google's order.
        query: the request's.

    Returns:
        Name -> whether it is an object; otherwise it is a prefix that stands for all below it. In Google's order.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    start, end, glob = query.get("startOffset", ""), query.get("endOffset", ""), query.get("matchGlob", "")
    found: dict[str, bool] = {}
    for name in names:
        if not name.startswith(prefix) or name.encode() < start.encode() or (end and name.encode() >= end.encode()):
            continue
        if glob and not gcs_glob_match(glob, name):
            continue
        head, cut, rest = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if cut:
            found.setdefault(prefix + head + cut, False)
        if not cut or (not rest and _is_true(query, "includeTrailingDelimiter")):
            found[name] = True
    return found


def page(names: Iterable[str], query: Mapping[str, str]) -> tuple[list[str], str]:
    """The page that a request asks for.

    Args:
        names: in order, without doubles.
        query: has ``maxResults`` and ``pageToken``, or not.

    Returns:
        Its names, and the token of the next one, empty for the last.

    Raises:
        StorageError: 400.
    """
    try:
        size = int(query.get("maxResults") or _LARGEST_PAGE)
        after = urlsafe_b64decode(query.get("pageToken", ""))
    except ValueError as error:
        raise refused(f"Invalid argument: {error}") from None
    if size < 0:
        raise refused(f"Invalid value {size} for maxResults. Expected 1 to {_LARGEST_PAGE}.")
    left = [name for name in names if name.encode() > after]
    found = left[: min(size or _LARGEST_PAGE, _LARGEST_PAGE)]
    return found, urlsafe_b64encode(found[-1].encode()).decode() if len(left) > len(found) else ""


def objects_page(
    names: Iterable[str], query: Mapping[str, str], resource: Callable[[str], Mapping[str, Any] | None]
) -> dict[str, Any]:
    """A page of objects and prefixes, as the JSON API writes it.

    Args:
        names: the bucket's, in Google's order.
        query: the request's.
        resource: name -> its resource; None: it has gone meanwhile.
    """
    found = {} if _is_true(query, "softDeleted") else listed(names, query)
    shown, token = page(found, query)
    items = [item for name in shown if found[name] and (item := resource(name)) is not None]
    prefixes = [name for name in shown if not found[name] or _is_both(name, query)]
    content: dict[str, Any] = {"kind": "storage#objects"}
    if token:
        content["nextPageToken"] = token
    return content | ({"prefixes": prefixes} if prefixes else {}) | ({"items": items} if items else {})


def _is_both(name: str, query: Mapping[str, str]) -> bool:
    """With ``includeTrailingDelimiter`` an object "a/" is listed, and is a prefix as well."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    return bool(delimiter) and delimiter in name[len(prefix) :]


def _is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"  # Python's client writes "True"
