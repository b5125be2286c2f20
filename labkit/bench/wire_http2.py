"""What the bytes of an HTTP/2 connection are (RFC 9113), and those of gRPC on it."""

from collections.abc import Iterator

from labkit.bench.wire_parts import PREFACE, RECEIVED, SENT, Headers, Reading, incomplete
from labkit.errors import MeasurementFailed, needs_extra

with needs_extra("labkit.bench.wire, to take HTTP/2 apart,", "bench"):
    import hpack
    from hyperframe.exceptions import HyperframeError
    from hyperframe.frame import (
        ContinuationFrame,
        DataFrame,
        Frame,
        GoAwayFrame,
        HeadersFrame,
        PingFrame,
        PriorityFrame,
        RstStreamFrame,
        SettingsFrame,
        WindowUpdateFrame,
    )

_FRAME_HEADER = 9
_GRPC_PREFIX = 5  # one byte that says whether the message is compressed, four for its length
_UNLIMITED = 2**31

_WHOLE: dict[type[Frame], str] = {
    GoAwayFrame: "GOAWAY",
    PingFrame: "PING",
    PriorityFrame: "PRIORITY",
    RstStreamFrame: "RST_STREAM",
    SettingsFrame: "SETTINGS",
    WindowUpdateFrame: "WINDOW_UPDATE",
}


def read(sent: bytes, received: bytes) -> Reading:
    """Take a connection apart.

    Raises:
        MeasurementFailed: it is no HTTP/2, or ends in the middle of a frame, of headers or of a gRPC message.
    """
    reading, streams = Reading(), _Streams()
    if not sent.startswith(PREFACE):
        raise incomplete(SENT, "the connection preface")
    reading.add(0, SENT, "connection preface", len(PREFACE))
    if received.startswith(b"HTTP/1."):
        raise MeasurementFailed("The client spoke HTTP/2, the server answered in HTTP/1.1; is it a REST port?")
    directions = [_Frames(SENT, reading, streams), _Frames(RECEIVED, reading, streams)]
    directions[0].read(memoryview(sent)[len(PREFACE) :])
    directions[1].read(memoryview(received))
    for direction in directions:
        direction.check_messages()
    return reading


class _Streams:
    """Which stream is which request, and which were reset."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self.reset: set[int] = set()

    def open(self, stream: int) -> None:
        """The client begins a request."""
        self._numbers.setdefault(stream, len(self._numbers) + 1)

    def number(self, frame: Frame) -> int:
        """The number of the request that a frame belongs to, 0 for the connection."""
        if frame.stream_id == 0 or (isinstance(frame, PriorityFrame) and frame.stream_id not in self._numbers):
            return 0
        if frame.stream_id not in self._numbers:
            raise MeasurementFailed(
                f"There is a {type(frame).__name__} on stream {frame.stream_id}, on which nothing was asked."
            )
        return self._numbers[frame.stream_id]


class _Frames:
    """The frames of one direction."""

    def __init__(self, direction: str, reading: Reading, streams: _Streams) -> None:
        self._direction, self._reading, self._streams = direction, reading, streams
        self._decoder = hpack.Decoder(max_header_list_size=_UNLIMITED)
        self._decoder.max_allowed_table_size = _UNLIMITED  # what the two sides agreed on is theirs to know
        self._block: bytes | None = None  # headers that go on in the next frame
        self._block_stream = 0
        self._messages: dict[int, _Messages] = {}  # of the streams that carry gRPC

    def read(self, data: memoryview) -> None:
        """All frames."""
        at = 0
        while at < len(data):
            if at + _FRAME_HEADER > len(data):
                raise incomplete(self._direction, "a frame's header")
            try:
                frame, length = Frame.parse_frame_header(data[at : at + _FRAME_HEADER], strict=True)
                start, at = at + _FRAME_HEADER, at + _FRAME_HEADER + length
                if at > len(data):
                    raise incomplete(self._direction, f"a {type(frame).__name__} of {length} bytes")
                frame.parse_body(data[start:at])
            except HyperframeError as error:
                raise MeasurementFailed(
                    f"What was {self._direction} is no HTTP/2 that can be read: {error!r}"
                ) from error
            self._frame(frame, _FRAME_HEADER + length)
        if self._block is not None:
            raise incomplete(self._direction, f"the headers of stream {self._block_stream}")

    def check_messages(self) -> None:
        """Every message has come to its end, or its stream was reset.

        Raises:
            MeasurementFailed: one has not.
        """
        for stream, messages in self._messages.items():
            if not messages.whole and stream not in self._streams.reset:
                raise incomplete(self._direction, f"a gRPC message on stream {stream}")

    def _frame(self, frame: Frame, size: int) -> None:
        if self._block is not None and not self._goes_on(frame):
            raise MeasurementFailed(f"The headers of stream {self._block_stream} are interrupted by another frame.")
        if isinstance(frame, HeadersFrame) and self._direction == SENT:
            self._streams.open(frame.stream_id)
        number = self._streams.number(frame)
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            self._add(number, "frame headers", size - len(frame.data))
            self._add(number, "HPACK", len(frame.data))
            self._headers(frame, number)
        elif isinstance(frame, DataFrame):
            self._add(number, "frame headers", size - len(frame.data))
            self._data(frame, number)
        elif type(frame) in _WHOLE:
            self._add(number, _WHOLE[type(frame)], size)
            if isinstance(frame, RstStreamFrame):
                self._streams.reset.add(frame.stream_id)
        else:
            raise MeasurementFailed(f"What was {self._direction} holds a frame that gRPC does not use: {frame!r}")

    def _goes_on(self, frame: Frame) -> bool:
        return isinstance(frame, ContinuationFrame) and frame.stream_id == self._block_stream

    def _headers(self, frame: HeadersFrame | ContinuationFrame, number: int) -> None:
        if isinstance(frame, ContinuationFrame) and self._block is None:
            raise MeasurementFailed(f"Headers of stream {frame.stream_id} go on that have not begun.")
        self._block, self._block_stream = (self._block or b"") + frame.data, frame.stream_id
        if "END_HEADERS" not in frame.flags:
            return
        try:
            pairs = self._decoder.decode(self._block, raw=True)
        except hpack.HPACKError as error:
            raise MeasurementFailed(
                f"Headers of stream {frame.stream_id} are not HPACK: {type(error).__name__}"
            ) from error
        self._block = None
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
        self._reading.headers.append(Headers(number, self._direction, fields))
        if dict(fields).get("content-type", "").startswith("application/grpc"):
            self._messages.setdefault(frame.stream_id, _Messages())

    def _data(self, frame: DataFrame, number: int) -> None:
        messages = self._messages.get(frame.stream_id)
        if messages is None:
            self._add(number, "body", len(frame.data))
            return
        for name, size in messages.split(frame.data):
            self._add(number, name, size)

    def _add(self, number: int, name: str, size: int) -> None:
        self._reading.add(number, self._direction, name, size)


class _Messages:
    """The gRPC messages of one direction of a stream; they do not end where frames end."""

    def __init__(self) -> None:
        self._prefix = b""
        self._left = 0

    @property
    def whole(self) -> bool:
        """The last one has come to its end."""
        return not self._prefix and not self._left

    def split(self, data: bytes) -> Iterator[tuple[str, int]]:
        """What a frame's bytes are, and how many."""
        at = 0
        while at < len(data):
            if self._left:
                name, size = "message", min(self._left, len(data) - at)
                self._left -= size
            else:
                piece = data[at : at + _GRPC_PREFIX - len(self._prefix)]
                name, size = "gRPC prefix", len(piece)
                self._take(piece)
            yield name, size
            at += size

    def _take(self, piece: bytes) -> None:
        self._prefix += piece
        if len(self._prefix) < _GRPC_PREFIX:
            return
        if self._prefix[0] > 1:
            raise MeasurementFailed(f"A gRPC message begins with {self._prefix!r}; 0 or 1 is wanted, then its length.")
        self._left, self._prefix = int.from_bytes(self._prefix[1:]), b""
