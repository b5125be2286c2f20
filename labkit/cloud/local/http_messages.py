"""An HTTP request and its answer, complete in memory, on their way between the door and what stands behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HttpRequest:
    """A request to one of Google's hosts.

    Attributes:
        method: as in ``GET``.
        host: the host it was meant for, without a port, as in ``storage.googleapis.com``.
        target: path and query as they were sent, still percent-encoded.
        headers: by name in lower case.
        body: all of it; chunks are joined, a ``Content-Encoding`` is left as it is.
    """

    method: str
    host: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class HttpAnswer:
    """An answer; its length is written by the door.

    Attributes:
        status: as in 200.
        headers: as they are to be sent.
        body: all of it.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | memoryview = b""
