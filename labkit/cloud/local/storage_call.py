"""A request to storage, taken apart, and the answers that most of them get."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from labkit.cloud.local.http_messages import HttpAnswer, HttpRequest
from labkit.cloud.local.storage_errors import JSON, refused
from labkit.cloud.local.storage_store import Resource


@dataclass(frozen=True)
class Call:
    """A request, and what its address says.

    Attributes:
        request: as it came.
        names: what the path names, decoded: ``bucket``, ``object``...
        query: parameters, decoded; of several with one name the last one.
    """

    request: HttpRequest
    names: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and object."""
        return self.names["bucket"], self.names["object"]

    @property
    def base(self) -> str:
        """How whoever asked reaches this host again, as in ``https://storage.googleapis.com``."""
        host = self.request.host
        return f"https://{host}" if host.endswith(".googleapis.com") else f"http://{self.header('host', host)}"

    def header(self, name: str, default: str = "") -> str:
        """A header's value."""
        return self.request.headers.get(name, default)

    def json(self) -> dict[str, Any]:
        """The body, a JSON object; empty if there is none.

        Raises:
            StorageError: 400.
        """
        return json_object(self.request.body)


def json_object(body: bytes) -> dict[str, Any]:
    """A JSON object's fields; none for no bytes.

    Raises:
        StorageError: 400, it is something else.
    """
    try:
        content = json.loads(body) if body.strip() else {}
    except ValueError as error:
        raise refused(f"Parse Error: {error}") from None
    if not isinstance(content, dict):
        raise refused("Parse Error: expected a JSON object.")
    return content


def answer_json(content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """An answer in JSON."""
    return HttpAnswer(200, {**JSON, **(headers or {})}, json.dumps(content).encode())


def described(resource: Resource, base: str) -> Resource:
    """An object's resource with its links, which depend on where it is asked for."""
    path = f"storage/v1/b/{resource['bucket']}/o/{quote(resource['name'], safe='')}"
    media = f"{base}/download/{path}?generation={resource['generation']}&alt=media"
    return {**resource, "selfLink": f"{base}/{path}", "mediaLink": media}
