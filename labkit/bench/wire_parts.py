"""What the bytes on a connection are called: the pieces that HTTP/1.1 and HTTP/2 connections are taken apart into."""

from dataclasses import dataclass, field
from typing import NamedTuple

from labkit.errors import MeasurementFailed

SENT, RECEIVED = "sent", "received"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # what an HTTP/2 client says first

NAMES = (
    # HTTP/1.1
    "request line",
    "status line",
    "headers",
    "chunk framing",
    "body",
    # HTTP/2; "body" there too, where it does not carry gRPC
    "connection preface",
    "SETTINGS",
    "PING",
    "WINDOW_UPDATE",
    "GOAWAY",
    "RST_STREAM",
    "PRIORITY",
    "frame headers",
    "HPACK",
    "gRPC prefix",
    "message",
)


@dataclass(frozen=True)
class Part:
    """Some bytes in a row that serve one purpose.

    Attributes:
        request: 1, 2, ... for what belongs to a request and its answer, 0 for what belongs to the connection itself.
        direction: ``sent`` or ``received``, as the client sees it.
        name: what they are, one of `NAMES`.
        bytes: how many.
    """

    request: int
    direction: str
    name: str
    bytes: int


class Headers(NamedTuple):
    """What the headers (or trailers) of a message say.

    Attributes:
        request: 1, 2, ...
        direction: ``sent`` or ``received``.
        fields: name and value, in the order in which they stand there.
    """

    request: int
    direction: str
    fields: list[tuple[str, str]]


@dataclass
class Reading:
    """What a connection's bytes were found to be, first all that was sent, then all that was received."""

    parts: list[Part] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)

    def add(self, request: int, direction: str, name: str, size: int) -> None:
        """One more part, unless it is empty."""
        if size:
            self.parts.append(Part(request, direction, name, size))


def incomplete(direction: str, what: str) -> MeasurementFailed:
    """The error for bytes that end before their time."""
    return MeasurementFailed(
        f"What was {direction} ends in the middle of {what}; look again when the whole answer is there."
    )
