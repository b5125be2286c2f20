"""What the bytes of an HTTP/1.1 connection are (RFC 9112)."""

import re
from collections.abc import Iterator

from labkit.bench.wire_parts import RECEIVED, SENT, Headers, Reading, incomplete
from labkit.errors import MeasurementFailed

_REQUEST_LINE = re.compile(rb"([A-Z]+) [!-~]+ HTTP/1\.[01]\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})( .*)?\r\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(;.*)?\r\n")


def read(sent: bytes, received: bytes) -> Reading:
    """Take a connection apart.

    Raises:
        MeasurementFailed: it is no HTTP/1.1, or ends in the middle of a message.
    """
    reading = Reading()
    asked = _Messages(sent, SENT, reading)
    methods = list(asked.requests())
    _Messages(received, RECEIVED, reading).answers(methods)
    return reading


class _Messages:
    """The messages of one direction, one after the other."""

    def __init__(self, data: bytes, direction: str, reading: Reading) -> None:
        self._data, self._direction, self._reading = data, direction, reading
        self._at = 0
        self._number = 1

    def requests(self) -> Iterator[str]:
        """The method of each request."""
        while self._at < len(self._data):
            method, fields = self._head("request line", _REQUEST_LINE)
            self._body(fields, otherwise=0)
            yield method
            self._number += 1

    def answers(self, methods: list[str]) -> None:
        """The answers to requests with these methods."""
        while self._at < len(self._data):
            if self._number > len(methods):
                raise MeasurementFailed(f"There is an answer number {self._number}, but only {len(methods)} requests.")
            status, fields = self._head("status line", _STATUS_LINE)
            if status == "101":
                raise MeasurementFailed("The connection goes on in another protocol than HTTP/1.1 (status 101).")
            if status.startswith("1"):  # "100 Continue": the answer itself is yet to come
                continue
            if methods[self._number - 1] != "HEAD" and status not in ("204", "304"):
                self._body(fields, otherwise=len(self._data) - self._at)  # without a length, until the end
            self._number += 1

    def _head(self, name: str, pattern: re.Pattern[bytes]) -> tuple[str, dict[str, str]]:
        """What `pattern` finds in the first line, and the header fields by lower-case name."""
        binary = not self._data[self._at : self._at + 1].isupper()
        line = self._data[self._at : self._at + 60] if binary else self._line(f"the {name} of")
        match = pattern.fullmatch(line)
        if not match:
            raise MeasurementFailed(
                f"What was {self._direction} is no HTTP/1.1: where the {name} of message {self._number} should be, "
                f"there is {line[:60]!r}."
            )
        self._add(name, len(line))
        fields, start = [], self._at
        while (line := self._line("the headers of")) != b"\r\n":
            key, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise self._failed(f"a header without a colon: {line[:60]!r}")
            fields.append((key, value.strip()))
        self._add("headers", self._at - start)
        self._reading.headers.append(Headers(self._number, self._direction, fields))
        return match[1].decode(), {key.lower(): value for key, value in fields}

    def _body(self, fields: dict[str, str], otherwise: int) -> None:
        """The body; of `otherwise` bytes, if the headers say nothing about it."""
        coding, length = fields.get("transfer-encoding", "").lower(), fields.get("content-length", str(otherwise))
        if coding:
            self._chunks(coding)
        elif length.isascii() and length.isdigit():
            self._skip(int(length), "body", "the body of")
        else:
            raise self._failed(f"the Content-Length {length!r}")

    def _chunks(self, coding: str) -> None:
        if coding.split(",")[-1].strip() != "chunked":
            raise self._failed(f"the transfer encoding {coding!r}, of which only chunked can be read")
        size = -1
        while size:
            size = self._chunk_size()
            if size:
                self._skip(size, "body", "a chunk of")
                self._chunk_end()
        start = self._at
        while self._line("the trailers of") != b"\r\n":
            pass
        self._add("chunk framing", self._at - start)

    def _chunk_size(self) -> int:
        line = self._line("a chunk's size in")
        match = _CHUNK_SIZE.fullmatch(line)
        if not match:
            raise self._failed(f"a chunk of the size {line[:60]!r}")
        self._add("chunk framing", len(line))
        return int(match[1], 16)

    def _chunk_end(self) -> None:
        line = self._line("a chunk of")
        if line != b"\r\n":
            raise self._failed(f"a chunk that is longer than it says: {line[:60]!r}")
        self._add("chunk framing", len(line))

    def _line(self, what: str) -> bytes:
        """The next line, with its end."""
        end = self._data.find(b"\r\n", self._at) + 2
        if end == 1:
            raise self._incomplete(what)
        line, self._at = self._data[self._at : end], end
        return line

    def _skip(self, size: int, name: str, what: str) -> None:
        if self._at + size > len(self._data):
            raise self._incomplete(what)
        self._at += size
        self._add(name, size)

    def _add(self, name: str, size: int) -> None:
        self._reading.add(self._number, self._direction, name, size)

    def _failed(self, what: str) -> MeasurementFailed:
        return MeasurementFailed(f"Message {self._number} that was {self._direction} has {what}.")

    def _incomplete(self, what: str) -> MeasurementFailed:
        kind = "request" if self._direction == SENT else "answer"
        return incomplete(self._direction, f"{what} {kind} {self._number}")
