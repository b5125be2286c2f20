"""On which device every op of a function ran, when, and what was copied between devices on the way.

Asking a tensor for its `device` answers for one result. Inside a function TensorFlow decides for each op, after it has
rewritten the graph (Grappler fuses, folds and drops ops) and cut it into one part for each device, joined by ``_Send``
and ``_Recv``. Those parts are asked for here, by ``tf.summary.trace_on(graph=True)``; the times come from
`labkit.devices.trace`.
"""

import inspect
import itertools
import math
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit import show
from labkit.devices import pictures
from labkit.devices.trace import Trace, record

if TYPE_CHECKING:
    import pandas

    from labkit.plot import Figure

_MARK = "labkit_place"
_numbers = itertools.count()
# The graph's ends and constants: nothing is computed there.
_SCENERY = pictures.HIDDEN | {"_EagerConst"}
# What makes ops on different devices wait for each other: a signal, and no tensor.
_SIGNAL = re.compile(r"(^|/)GroupCrossDeviceControlEdges_|/ctrl/_\d+$")
_CALLS = frozenset(
    {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf", "Case"}
)
_SENDS = frozenset({"_Send", "_HostSend"})
_RECEIVES = frozenset({"_Recv", "_HostRecv"})


@dataclass(frozen=True)
class PlacedOp:
    """One op of the graph that really ran.

    Attributes:
        name: its name there. A fused op has the name of one of its ops, and an addition to it.
        op: its type, ``"MatMul"``.
        device: ``"CPU:0"``, ``"GPU:1"``; in a cluster with the task before it, ``"worker:1/CPU:0"``.
        start: seconds since the call began; None where the profiler saw nothing of it.
        end: seconds since the call began; None likewise. On an accelerator these are the kernels' times. An op that
            ran several times, as in a loop, has those of the first time, on an accelerator from the first to the last.
        inputs: names of the ops whose results it takes, in order; one on another device as well.
    """

    name: str
    op: str
    device: str
    start: float | None
    end: float | None
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Copy:
    """A tensor that had to go from one device to another.

    Attributes:
        name: the op that made it.
        source: the device it was on.
        target: the device it went to.
        bytes: its size; None where its shape is known only when it runs, or where it was made in a function or a loop
            that the graph calls.
    """

    name: str
    source: str
    target: str
    bytes: int | None


@dataclass(frozen=True)
class Placement:
    """Where and when a function ran.

    Attributes:
        ops: its ops, in the order of their start; the ends of the graph, constants and copies are left out.
        copies: what went from device to device.
        trace: everything that the profiler saw.
        result: what the function returned.
    """

    ops: tuple[PlacedOp, ...]
    copies: tuple[Copy, ...]
    trace: Trace
    result: Any

    @property
    def devices(self) -> dict[str, str]:
        """Name of each op -> its device."""
        return {op.name: op.device for op in self.ops}

    def table(self) -> "pandas.DataFrame":
        """One row for each op: type, device, start and end."""
        times = [[show.milliseconds(t) if t is not None else "not seen" for t in (op.start, op.end)] for op in self.ops]
        rows = [[op.name, op.op, op.device, *time] for op, time in zip(self.ops, times, strict=True)]
        return show.table(rows, ["op", "type", "device", "start", "end"])

    def picture(self, *, title: str, alt: str) -> "Figure":
        """The graph, coloured by device; `alt` is its sentence, as for `labkit.plot.Figure`."""
        return pictures.graph(self.ops, title=title, alt=alt)

    def timeline(self, *, title: str, alt: str) -> "Figure":
        """What ran when, one row for each device; `alt` is its sentence, as for `labkit.plot.Figure`."""
        return pictures.timeline(self.ops, rows_by="device", kind=lambda op: op.op, title=title, alt=alt)


def place(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Placement:
    """Runs `fn` as a graph, and tells where each of its ops ran and when.

    It runs twice: the first time the graph is made and looked at, the second time is recorded, so that what happens
    only once (tracing, planning memory) is not in the times. What `fn` changes, it changes twice.

    Args:
        fn: a `tf.function`, a Keras model, or a Python function of TensorFlow ops.
        *args, **kwargs: what to call it with.

    Raises:
        ValueError: `fn` is compiled by XLA as one program, in which there are no ops to place, or computes with
            DTensors, whose graphs TensorFlow does not show.
        MeasurementFailed: TensorFlow's profiler is in use.
        tf.errors.InvalidArgumentError: with soft placement off, an op has no kernel for the device it was put on.
    """
    mark = f"{_MARK}_{next(_numbers)}"  # TensorFlow may show graphs of a call before, if that failed
    graph = _graph(fn, args, kwargs, mark)
    parts, sizes = _partitions(graph, args, kwargs, mark)
    trace = record(graph, *args, **kwargs)
    nodes = {node.name: node for part in parts for node in part.node}
    return Placement(_ops(nodes, trace), _copies(nodes, sizes), trace, trace.result)


def _graph(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], mark: str) -> Any:
    """`fn` as a graph that has not run yet, for one that has run is not shown again; it can be told by its mark."""
    import tensorflow as tf

    if getattr(fn, "_jit_compile", None):
        raise ValueError(
            "place() was given a function with jit_compile=True. XLA makes one program of it, for the device that "
            "it is called on, and no ops are left to place; take the function without jit_compile to see its ops"
        )
    inner = getattr(fn, "python_function", fn)

    def marked(*args: Any, **kwargs: Any) -> Any:
        tf.no_op(name=mark)
        return inner(*args, **kwargs)

    marked.__signature__ = inspect.signature(inner)  # type: ignore[attr-defined]  # so arguments keep their names
    return tf.function(marked).get_concrete_function(*args, **kwargs)


def _partitions(
    concrete: Any, args: tuple[Any, ...], kwargs: dict[str, Any], mark: str
) -> tuple[list[Any], dict[tuple[str, int], int | None]]:
    """The graph's parts as they ran, one for each device; the size in bytes of each op's outputs."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="labkit-place-") as folder:
        writer = tf.summary.create_file_writer(folder)
        tf.summary.trace_on(graph=True, profiler=False)
        try:
            concrete(*args, **kwargs)
            with writer.as_default():
                tf.summary.trace_export(_MARK, step=0)
        finally:
            tf.summary.trace_off()
            writer.close()
        graphs = [graph for metadata in _run_metadata(folder) for graph in metadata.function_graphs]
    ours = next((graph for graph in graphs if any(n.name == mark for n in graph.pre_optimization_graph.node)), None)
    if ours is None:
        raise ValueError(
            "place() was given a function that TensorFlow does not show as a graph after it has run, such as one of "
            "DTensors; look at the same ops on plain tensors, or give `record` the function to see what ran"
        )
    made = concrete.graph.get_operations()
    sizes = {(op.name, place): _size(output) for op in made for place, output in enumerate(op.outputs)}
    return list(ours.partition_graphs), sizes


def _run_metadata(folder: str) -> Iterable[Any]:
    import tensorflow as tf

    for file in Path(folder).iterdir():
        for record_ in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record_.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name.startswith("graph_run_metadata"):
                    yield tf.compat.v1.RunMetadata.FromString(value.tensor.string_val[0])


def _size(tensor: Any) -> int | None:
    if tensor.op.type in _CALLS:  # an op inside has a longer name, and is not to be taken for the call
        return None
    if tensor.shape.is_fully_defined() and tensor.dtype.size:
        return math.prod(tensor.shape.as_list()) * tensor.dtype.size
    return None


def _ops(nodes: dict[str, Any], trace: Trace) -> tuple[PlacedOp, ...]:
    times: dict[str, tuple[float, float]] = {}
    kernels: dict[str, tuple[float, float]] = {}  # an accelerator's own times; on the host there is only the launch
    for event in trace.events:
        if event.kind in ("op", "wait"):
            times.setdefault(event.name, (event.start, event.end))
        elif event.kind == "kernel":
            start, end = kernels.get(event.name, (event.start, event.end))
            kernels[event.name] = min(start, event.start), max(end, event.end)
    times |= kernels
    placed = [
        PlacedOp(name, node.op, short_name(node.device), start, end, _inputs(node, nodes))
        for name, node in nodes.items()
        for start, end in [times.get(name, (None, None))]
        if node.op not in _SCENERY | _SENDS | _RECEIVES and not _SIGNAL.search(name)
    ]
    return tuple(sorted(placed, key=lambda op: (op.start is None, op.start or 0.0)))


def _inputs(node: Any, nodes: dict[str, Any]) -> tuple[str, ...]:
    """The ops that `node` reads from: what came through a copy comes from the op that made it."""
    names = []
    for text in node.input:
        if not text.startswith("^"):
            name = text.partition(":")[0]
            names.append(_source(nodes[name], nodes) if nodes[name].op in _RECEIVES else name)
    return tuple(names)


def _source(receive: Any, nodes: dict[str, Any]) -> str:
    """The op whose result `receive` gets from another device."""
    for node in nodes.values():
        if node.op in _SENDS and node.attr["tensor_name"].s == receive.attr["tensor_name"].s:
            return node.input[0].partition(":")[0]
    return receive.name


def _copies(nodes: dict[str, Any], sizes: dict[tuple[str, int], int | None]) -> tuple[Copy, ...]:
    found = []
    for node in nodes.values():
        if node.op in _SENDS:
            name, _, output = node.input[0].partition(":")
            source, target = (short_name(node.attr[side].s.decode()) for side in ("send_device", "recv_device"))
            if source != target and not _SIGNAL.search(name):
                found.append(Copy(name, source, target, _known(name, int(output or 0), sizes)))
    return tuple(found)


def _known(name: str, output: int, sizes: dict[tuple[str, int], int | None]) -> int | None:
    """The size of an op's result; a fused op has the name and the shape of the op it ends with, and an addition."""
    while (name, output) not in sizes and "/" in name:
        name = name.rpartition("/")[0]
    return sizes.get((name, output))


def short_name(device: str) -> str:
    """``CPU:1`` for ``/job:localhost/replica:0/task:0/device:CPU:1``; a cluster's task stays: ``worker:1/CPU:0``."""
    import tensorflow as tf

    spec = tf.DeviceSpec.from_string(device)
    task = "" if spec.job in (None, "localhost") else f"{spec.job}:{spec.task}/"
    return f"{task}{spec.device_type}:{spec.device_index}" if spec.device_type else device or "not placed"
