"""What really happened while TensorFlow ran something: its profiler, read back as plain events.

The profiler writes an XSpace (``tensorflow/tsl/profiler/protobuf/xplane.proto``): planes, one for the host and one for
each accelerator, with a line for each thread or stream. On the host an op's kernel is an event called ``name:Type``; an
asynchronous kernel is two events, its start and its end; and work that an op gives away to other threads can be
followed by the numbers under which it is recorded and picked up again.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from labkit.errors import MeasurementFailed

_CALL = "labkit.record"
_OP = re.compile(
    r"(?P<name>[\w.\-/>~]+):(?P<op>[A-Z_]\w*)"
)  # types of ops begin with a capital, or _ inside TensorFlow
_PICOSECONDS = 1e-12
_NANOSECONDS = 1e-9
# TensorFlow's own names of its threads. The pool of Eigen shares out one op, the pool "Compute" runs different ops.
_POOLS = (("tf_Compute", "inter-op"), ("Eigen", "intra-op"), ("tf_data", "tf.data"))


@dataclass(frozen=True)
class Event:
    """Something that took time on one thread.

    Attributes:
        name: the op's name in the graph, or TensorFlow's name of what it was doing.
        op: the op's type, ``"MatMul"``; empty where it is no op.
        thread: ``"python"`` (the one that called), ``"inter-op 1"``, ``"intra-op 2"``, ``"tf.data 1"``, another
            thread's own name, or an accelerator's stream: ``"GPU:0 Stream #7"``.
        start: seconds since the call began.
        end: seconds since the call began.
        kind: ``"op"`` an op's kernel; ``"wait"`` a kernel that holds no thread until it is done, such as one that
            receives; ``"part"`` a piece of an op that another thread took over; ``"kernel"`` what an accelerator did
            for an op; ``"other"`` anything else.
    """

    name: str
    op: str
    thread: str
    start: float
    end: float
    kind: Literal["op", "wait", "part", "kernel", "other"] = "other"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    def overlaps(self, other: "Event") -> bool:
        """Whether both were under way at the same time."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Trace:
    """What happened during one call, in the order of its start.

    Attributes:
        events: all of it.
        result: what the call returned; None in a trace that came from another process.
    """

    events: tuple[Event, ...]
    result: Any = None

    @property
    def ops(self) -> tuple[Event, ...]:
        """The events of kind ``"op"``: one for each time that an op ran."""
        return tuple(event for event in self.events if event.kind == "op")

    def named(self, name: str) -> Event:
        """The op called `name`; the first time that it ran.

        Raises:
            KeyError: it did not run; the message lists what did.
        """
        for event in self.ops:
            if event.name == name:
                return event
        known = ", ".join(dict.fromkeys(event.name for event in self.ops))
        raise KeyError(f"no op called {name!r} ran; these did: {known or 'none'}")

    def rows(self) -> list[dict[str, Any]]:
        """All events as JSON can hold them; `from_rows` is the way back."""
        return [asdict(event) for event in self.events]

    @classmethod
    def from_rows(cls, rows: Iterable[dict[str, Any]]) -> "Trace":
        """The trace that `rows` were made from, without its result."""
        return cls(tuple(Event(**row) for row in rows))


def record(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Trace:
    """Calls `fn` once under TensorFlow's profiler.

    A function's first call also traces it, plans its memory and starts threads: call it once before. Ops that have run
    often and take next to no time, TensorFlow leaves out.

    Args:
        fn: what to call, usually a `tf.function`; code that runs op by op shows no ops, only what Python called.
        *args, **kwargs: what to call it with.

    Raises:
        MeasurementFailed: the profiler is in use already (it can be only once in a process).
    """
    import tensorflow as tf

    # The third level has ops of which TensorFlow has seen that they take next to no time.
    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=3, python_tracer_level=0, device_tracer_level=1
    )
    with tempfile.TemporaryDirectory(prefix="labkit-trace-") as folder:
        try:
            tf.profiler.experimental.start(folder, options)
        except (tf.errors.AlreadyExistsError, tf.errors.UnavailableError) as error:
            raise MeasurementFailed(
                f"TensorFlow's profiler is in use: {error.message} Stop it (tf.profiler.experimental.stop()) first."
            ) from error
        try:
            with tf.profiler.experimental.Trace(_CALL):
                result = _finished(fn(*args, **kwargs))
        finally:
            tf.profiler.experimental.stop()
        (written,) = Path(folder).glob("**/*.xplane.pb")
        return Trace(tuple(read(written.read_bytes())), result)


def _finished(result: Any) -> Any:
    """`result`, once an accelerator that works ahead of Python has it."""
    import tensorflow as tf

    for tensor in tf.nest.flatten(result):
        if isinstance(tensor, tf.Tensor) and tensor.dtype not in (tf.resource, tf.variant):
            tensor.numpy()
    return result


def read(xspace: bytes) -> list[Event]:
    """The events in a file ``*.xplane.pb`` that was written while `record` was calling.

    Args:
        xspace: the file's bytes.

    Returns:
        Events from the call's start on, in the order of their start.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(xspace)
    host = [_Line(plane, line) for plane in space.planes if plane.name == "/host:CPU" for line in plane.lines]
    callers = [event for line in host for event in line.events if event.name == _CALL]
    origin = callers[0].start if callers else min((e.start for line in host for e in line.events), default=0.0)
    found = [*_host_events(host), *_device_events(space.planes)]
    events = [
        Event(one.name, one.op, one.thread, one.start - origin, one.end - origin, one.kind)
        for one in found
        if one.start >= origin and one.name != _CALL
    ]
    return sorted(events, key=lambda event: (event.start, event.end))


@dataclass(frozen=True)
class _Raw:
    """An event as the profiler wrote it; seconds of the profiler's clock."""

    name: str
    start: float
    end: float
    stats: dict[str, Any]


class _Line:
    """One thread's or stream's events, in the order of their start."""

    def __init__(self, plane: Any, line: Any) -> None:
        self.name = line.display_name or line.name
        begin = line.timestamp_ns * _NANOSECONDS
        self.events = []
        for event in line.events:
            start = begin + event.offset_ps * _PICOSECONDS
            name = plane.event_metadata[event.metadata_id].name
            self.events.append(_Raw(name, start, start + event.duration_ps * _PICOSECONDS, _stats(plane, event)))
        self.events.sort(key=lambda event: (event.start, -event.end))


def _stats(plane: Any, event: Any) -> dict[str, Any]:
    values = {}
    for stat in event.stats:
        kind = stat.WhichOneof("value")
        referred = kind == "ref_value"
        value = plane.stat_metadata[stat.ref_value].name if referred else getattr(stat, kind or "int64_value")
        values[plane.stat_metadata[stat.metadata_id].name] = value
    return values


def _host_events(lines: Sequence[_Line]) -> Iterator[Event]:
    makers: dict[int, Event] = {}  # number of a piece of work -> the op that gave it away
    pieces: list[tuple[int, str, float, float, list[int]]] = []
    waiting: dict[str, list[tuple[str, float]]] = {}
    for line, thread in zip(lines, _thread_names(lines), strict=True):
        running: list[Event] = []  # ops that have begun and not ended, the innermost last
        for raw in line.events:
            event = _event(raw, thread)
            yield event
            while running and running[-1].end <= raw.start:
                running.pop()
            if event.kind == "op":
                running.append(event)
            elif raw.name == "ThreadpoolListener::Record" and running:
                makers[raw.stats.get("_p", 0)] = running[-1]
            elif raw.name == "ExecutorState::ProcessAsync::Start":
                waiting.setdefault(_key(raw), []).append((thread, raw.start))
        pieces += _pieces(line, thread)
    yield from _asynchronous(lines, waiting)
    yield from _given_away(pieces, makers)


def _event(raw: _Raw, thread: str) -> Event:
    if (match := _OP.fullmatch(raw.name)) and "::" not in raw.name:
        return Event(match["name"], match["op"], thread, raw.start, raw.end, "op")
    return Event(raw.name, "", thread, raw.start, raw.end)


def _key(raw: _Raw) -> str:
    return f"{raw.stats.get('name')}:{raw.stats.get('kernel_type')}"


def _asynchronous(lines: Sequence[_Line], waiting: dict[str, list[tuple[str, float]]]) -> Iterator[Event]:
    """Kernels that wait without holding a thread, such as one that receives: from their start to their end."""
    ends: dict[str, list[float]] = {}
    for line in lines:
        for raw in line.events:
            if raw.name == "ExecutorState::ProcessAsync::Done":
                ends.setdefault(_key(raw), []).append(raw.start)
    for key, starts in waiting.items():
        name, _, op = key.rpartition(":")
        starts.sort(key=lambda start: start[1])
        for (thread, start), end in zip(starts, sorted(ends.get(key, [])), strict=False):
            yield Event(name, op, thread, start, end, "wait")


def _pieces(line: _Line, thread: str) -> list[tuple[int, str, float, float, list[int]]]:
    """What a thread of the intra-op pool did: number of the work, thread, start, end, numbers it gave away itself."""
    found: list[tuple[int, str, float, float, list[int]]] = []
    begun: _Raw | None = None
    given: list[int] = []
    if not thread.startswith("intra-op"):
        return found
    for raw in line.events:
        if raw.name == "ThreadpoolListener::StartRegion":
            begun, given = raw, []
        elif raw.name == "ThreadpoolListener::Record":
            given.append(raw.stats.get("_p", 0))
        elif raw.name == "ThreadpoolListener::StopRegion" and begun is not None:
            found.append((begun.stats.get("_c", 0), thread, begun.start, raw.start, given))
            begun = None
    return found


def _given_away(pieces: list[tuple[int, str, float, float, list[int]]], makers: dict[int, Event]) -> Iterator[Event]:
    for number, thread, start, end, given in sorted(pieces, key=lambda piece: piece[2]):
        if (op := makers.get(number)) is not None:
            makers.update(dict.fromkeys(given, op))
            yield Event(op.name, op.op, thread, start, end, "part")


def _thread_names(lines: Sequence[_Line]) -> list[str]:
    names, counts = [], dict[str, int]()
    for line in lines:
        pool = next((pool for known, pool in _POOLS if known in line.name), None)
        if any(event.name == _CALL for event in line.events):
            names.append("python")
            continue
        pool = pool or line.name.partition("/")[0] or "thread"
        counts[pool] = counts.get(pool, 0) + 1
        names.append(f"{pool} {counts[pool]}")
    return names


def _device_events(planes: Iterable[Any]) -> Iterator[Event]:
    """What accelerators did, stream by stream; which op it was for stands in the statistic ``tf_op``."""
    for plane in planes:
        if not plane.name.startswith("/device:"):
            continue
        device = plane.name.removeprefix("/device:")
        for line in (_Line(plane, line) for line in plane.lines if line.name.startswith("Stream")):
            for raw in line.events:
                name, _, op = str(raw.stats.get("tf_op", "")).rpartition(":")
                yield Event(name or raw.name, op, f"{device} {line.name}", raw.start, raw.end, "kernel")
