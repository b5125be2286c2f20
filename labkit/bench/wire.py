"""What the bytes on a connection are: how many of them the numbers, how many the wrapping.

    parts = wire.parts(relay.connections[0])
    wire.total(parts, request=1, direction="sent", name="body")

HTTP/1.1 and HTTP/2 with gRPC are told apart by their first bytes. Nothing is estimated: every byte that went by has its
part, and what cannot be taken apart is an error.
"""

from collections.abc import Iterable

from labkit.bench import wire_http1
from labkit.bench.relay import Connection
from labkit.bench.wire_parts import NAMES, PREFACE, RECEIVED, SENT, Headers, Part, Reading
from labkit.errors import MeasurementFailed

__all__ = ["NAMES", "Headers", "Part", "headers", "parts", "total"]

_TLS_HANDSHAKE = b"\x16\x03"


def parts(connection: Connection) -> list[Part]:
    """What the bytes of a connection are, in the order in which they went by: first all that was sent.

    The parts of a direction add up to what the connection counted. Over HTTP/1.1 a request has its ``request line`` (an
    answer its ``status line``), ``headers`` with the empty line behind them, ``body`` and, if the body comes in chunks,
    ``chunk framing``. Over HTTP/2 it has ``frame headers`` (with padding and priorities, if there are any), ``HPACK``,
    which is headers and trailers in their compressed form, and of gRPC ``gRPC prefix`` and ``message``; each other
    frame is one part. ``connection preface``, ``SETTINGS``, ``PING`` and ``GOAWAY`` belong to no request.

    Raises:
        MeasurementFailed: the bytes are something else, end in the middle of a message, or were not all kept.
        EnvironmentProblem: the libraries that read HTTP/2 are not installed.
    """
    return _read(connection).parts


def headers(connection: Connection) -> list[Headers]:
    """What the headers of each message say; HTTP/2's are decoded, their pseudo-headers (``:path``) come first.

    An answer over gRPC has two: headers, and trailers with ``grpc-status``.

    Raises:
        MeasurementFailed, EnvironmentProblem: as `parts`.
    """
    return _read(connection).headers


def total(
    parts: Iterable[Part], *, request: int | None = None, direction: str | None = None, name: str | None = None
) -> int:
    """How many bytes the parts are of one request, direction or name; None means all.

    Raises:
        ValueError: there is no such direction or name.
    """
    _need_known("direction", direction, (SENT, RECEIVED))
    _need_known("name", name, NAMES)
    wanted = {"request": request, "direction": direction, "name": name}
    return sum(
        part.bytes
        for part in parts
        if all(value is None or getattr(part, key) == value for key, value in wanted.items())
    )


def _need_known(key: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise ValueError(f"{key} is {value!r}; there are {', '.join(known)}")


def _read(connection: Connection) -> Reading:
    received = _whole(connection, RECEIVED)  # first, so that no answer comes without its request
    sent = _whole(connection, SENT)
    if connection.failure:
        raise MeasurementFailed(connection.failure)
    if received and not sent:
        raise MeasurementFailed(f"{len(received)} bytes were received before anything was sent; nobody can tell what.")
    if sent.startswith(_TLS_HANDSHAKE):
        raise MeasurementFailed("The client speaks TLS; what is inside can only be measured without it.")
    if not sent or sent[: len(PREFACE)] != PREFACE[: len(sent)]:
        return wire_http1.read(sent, received)
    from labkit.bench import wire_http2

    return wire_http2.read(sent, received)


def _whole(connection: Connection, direction: str) -> bytes:
    counted = connection.bytes_sent if direction == SENT else connection.bytes_received
    kept = connection.sent if direction == SENT else connection.received
    if len(kept) < counted:
        raise MeasurementFailed(
            f"Of {counted} bytes that were {direction} only the first {len(kept)} were kept; give CountingRelay a "
            "larger `keep`."
        )
    return kept
