"""Connections as they would be recorded, made by hand, and checks that hold for all."""

from collections import Counter

import hpack
import pytest
from hyperframe import frame as frames

from labkit.bench import wire
from labkit.bench.relay import Connection
from labkit.errors import MeasurementFailed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\n\r\n"
GRPC = [(":method", "POST"), (":path", "/service/Method"), ("content-type", "application/grpc")]


def recorded(sent: bytes = b"", received: bytes = b"") -> Connection:
    connection = Connection()
    connection.record("sent", sent)
    connection.record("received", received)
    return connection


def taken_apart(connection: Connection) -> Counter[tuple[int, str, str]]:
    """The bytes by request, direction and name, after a check that no byte is left out or counted twice."""
    parts = wire.parts(connection)
    assert wire.total(parts, direction="sent") == connection.bytes_sent
    assert wire.total(parts, direction="received") == connection.bytes_received
    assert all(part.bytes > 0 and part.name in wire.NAMES for part in parts)
    found: Counter[tuple[int, str, str]] = Counter()
    for part in parts:
        found[part.request, part.direction, part.name] += part.bytes
    return found


def names(connection: Connection, direction: str = "sent") -> list[tuple[int, str, int]]:
    """The parts of one direction, in their order."""
    return [(part.request, part.name, part.bytes) for part in wire.parts(connection) if part.direction == direction]


def failure(sent: bytes = b"", received: bytes = b"") -> str:
    """What is said of a connection that cannot be taken apart; headers are refused, too."""
    connection = recorded(sent, received)
    with pytest.raises(MeasurementFailed) as parts:
        wire.parts(connection)
    with pytest.raises(MeasurementFailed) as headers:
        wire.headers(connection)
    assert str(parts.value) == str(headers.value)
    return str(parts.value)


def said(connection: Connection, request: int, direction: str) -> list[tuple[str, str]]:
    """All header fields of a request or an answer."""
    found = [one for one in wire.headers(connection) if (one.request, one.direction) == (request, direction)]
    return [pair for one in found for pair in one.fields]


def post(*chunks: bytes, chunked: bool = False, method: str = "POST", end: bytes = b"0\r\n\r\n") -> bytes:
    """A request made by hand."""
    if not chunked:
        body = b"".join(chunks)
        return f"{method} /a HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    body = b"".join(b"%X\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return f"{method} /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + body + end


def data(stream: int, payload: bytes, *flags: str, padding: int = 0) -> bytes:
    padded = ("PADDED",) if padding else ()
    return frames.DataFrame(stream, payload, pad_length=padding, flags=(*flags, *padded)).serialize()


def message(payload: bytes, compressed: int = 0) -> bytes:
    return bytes([compressed]) + len(payload).to_bytes(4) + payload


class Spoken:
    """One direction of an HTTP/2 connection in the making, with its table of headers."""

    def __init__(self) -> None:
        self.encoder = hpack.Encoder()

    def headers(self, stream: int, fields=GRPC, *flags: str, split: int | None = None, **options) -> bytes:
        """A HEADERS frame; with `split`, a CONTINUATION after so many bytes."""
        block = self.encoder.encode(fields)
        ends = () if split is not None else ("END_HEADERS",)
        made = frames.HeadersFrame(stream, block[:split], flags=(*flags, *ends), **options).serialize()
        if split is None:
            return made
        return made + frames.ContinuationFrame(stream, block[split:], flags=["END_HEADERS"]).serialize()


def calls(*requests_: bytes) -> bytes:
    """A client's side: a call for each request, one after the other."""
    client, sent = Spoken(), PREFACE + frames.SettingsFrame(0).serialize()
    for number, request in enumerate(requests_):
        stream = 2 * number + 1
        sent += client.headers(stream) + data(stream, message(request), "END_STREAM")
    return sent


def not_understood(connection: Connection) -> str:
    """Why a connection cannot be taken apart; empty if every byte of it has its part."""
    try:
        taken_apart(connection)
    except MeasurementFailed as error:
        return str(error) or "no reason given"
    return ""


def cut_off(whole: bytes) -> list[str]:
    """What is said of what was sent when it ends after 0, 1, 2, ... bytes."""
    return [not_understood(recorded(whole[:end])) for end in range(len(whole))]
