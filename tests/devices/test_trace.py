"""`record`: ops, the parts that intra-op threads took over, kernels of an accelerator; to JSON and back."""

import json
from typing import Any

import pytest

from labkit.devices import Event, Trace, trace

from .child import run

PROGRAM = """
import labkit.devices.trace as trace
from labkit.devices import record
from labkit.errors import MeasurementFailed
tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(2)
x = tf.random.stateless_normal([700, 700], [1, 2])

@tf.function
def work(x):
    with tf.device("CPU:1"):
        y = tf.linalg.qr(x[:200, :200], name="qr")[0]
    with tf.device("CPU:0"):
        return tf.reduce_sum(tf.matmul(x, x, name="product")) + tf.reduce_sum(y, name="sum")

def annotated(x):
    with tf.profiler.experimental.Trace("mine"), tf.profiler.experimental.Trace("epoch:first"):
        return work(x)

work(x)
found = record(annotated, x)
tf.profiler.experimental.start("unused")
try:
    record(work, x)
    refused = ""
except MeasurementFailed as error:
    refused = str(error)
tf.profiler.experimental.stop(save=False)
try:
    record(lambda: 1 / 0)
except ZeroDivisionError:
    pass
answer({"rows": found.rows(), "result": float(found.result), "expected": float(work(x)), "refused": refused,
        "after an error": len(record(work, x).ops)})
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return run(PROGRAM)


@pytest.fixture(scope="module")
def recorded(answers: dict[str, Any]) -> Trace:
    return Trace.from_rows(answers["rows"])


def test_ops_have_name_type_thread_and_times(recorded: Trace, answers: dict[str, Any]) -> None:
    product = recorded.named("product")
    assert (product.op, product.kind) == ("MatMul", "op")
    assert product.thread == "python" or product.thread.startswith("inter-op ")
    assert 0 < product.start < product.end
    assert product.seconds == product.end - product.start
    assert answers["result"] == pytest.approx(answers["expected"], rel=1e-5)


def test_parts_on_intra_op_threads_belong_to_the_op_that_gave_them_away(recorded: Trace) -> None:
    parts = [event for event in recorded.events if event.kind == "part" and event.name == "product"]
    product = recorded.named("product")
    assert parts
    assert all(part.thread.startswith("intra-op ") and part.op == "MatMul" for part in parts)
    assert all(part.overlaps(product) for part in parts)


def test_what_the_caller_marked_is_on_its_own_thread(recorded: Trace) -> None:
    (mine,) = [event for event in recorded.events if event.name == "mine"]
    assert (mine.thread, mine.kind) == ("python", "other")
    assert mine.overlaps(recorded.named("product"))


def test_what_a_caller_marked_is_no_op_whatever_it_is_called(recorded: Trace) -> None:
    (marked,) = [event for event in recorded.events if event.name == "epoch:first"]
    assert (marked.kind, marked.op) == ("other", "")


def test_receiving_holds_no_thread(recorded: Trace) -> None:
    waits = [event for event in recorded.events if event.kind == "wait"]
    assert {event.op for event in waits} == {"_Recv"}
    assert "_Recv" not in {event.op for event in recorded.ops}


def test_events_are_in_order_and_begin_with_the_call(recorded: Trace) -> None:
    starts = [event.start for event in recorded.events]
    assert starts == sorted(starts)
    assert starts[0] >= 0


def test_a_name_that_did_not_run_is_answered_with_those_that_did(recorded: Trace) -> None:
    with pytest.raises(KeyError, match=r"'nothing'.*product"):
        recorded.named("nothing")


def test_a_profiler_that_is_in_use_is_named_and_an_error_leaves_none_running(answers: dict[str, Any]) -> None:
    assert "profiler is in use" in answers["refused"]
    assert answers["after an error"] > 0


def test_rows_are_json_and_come_back_equal(recorded: Trace) -> None:
    assert Trace.from_rows(json.loads(json.dumps(recorded.rows()))).events == recorded.events


def test_overlap_is_of_time_and_not_of_touching() -> None:
    def event(start: float, end: float) -> Event:
        return Event("a", "A", "python", start, end)

    assert event(0, 2).overlaps(event(1, 3)) and event(1, 3).overlaps(event(0, 2))
    assert event(0, 3).overlaps(event(1, 2))
    assert not event(0, 1).overlaps(event(1, 2))


def xspace(*lines: tuple[str, list[tuple[str, float, float, dict[str, int | str]]]]) -> bytes:
    """What a profiler would have written: for each thread its events, with start and end in seconds, and statistics."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    host = space.planes.add(name="/host:CPU")
    numbers: dict[str, int] = {}
    for name, events in lines:
        line = host.lines.add(name=name)
        for event, start, end, statistics in events:
            number = numbers.setdefault(event, len(numbers) + 1)
            host.event_metadata[number].name = event
            made = line.events.add(
                metadata_id=number, offset_ps=round(start * 1e12), duration_ps=round((end - start) * 1e12)
            )
            for key, value in statistics.items():
                number = numbers.setdefault(key, len(numbers) + 1)
                host.stat_metadata[number].name = key
                kind = "str_value" if isinstance(value, str) else "int64_value"
                made.stats.add(metadata_id=number, **{kind: value})
    return space.SerializeToString()


RECORD, BEGIN, END = (f"ThreadpoolListener::{word}" for word in ("Record", "StartRegion", "StopRegion"))
ASYNC = {"name": "x/_2", "kernel_type": "_Recv"}
WRITTEN = (
    ("python", [("before:Op", 0, 1, {}), ("labkit.record", 2, 20, {}), ("step", 3, 19, {})]),
    ("tf_Compute/11", [("product:MatMul", 5, 15, {}), (RECORD, 6, 6, {"_p": 7}), ("small:Mul", 8, 9, {})]),
    ("tf_Compute/12", [("ExecutorState::ProcessAsync::Start", 4, 4, ASYNC), ("other:Add", 5, 6, {})]),
    ("tf_numa_-1_Eigen/13", [(BEGIN, 7, 7, {"_c": 7}), (RECORD, 8, 8, {"_p": 8}), (END, 9, 9, {})]),
    (
        "tf_numa_-1_Eigen/14",
        [(BEGIN, 9, 9, {"_c": 8}), (END, 10, 10, {}), (BEGIN, 11, 11, {"_c": 99}), (END, 12, 12, {})],
    ),
    ("tf_Compute/15", [("ExecutorState::ProcessAsync::Done", 5, 5, ASYNC)]),
)


def test_what_was_written_is_read_thread_by_thread_from_the_calls_beginning_on() -> None:
    found = [
        (e.name, e.op, e.thread, e.start, e.end, e.kind) for e in trace.read(xspace(*WRITTEN)) if "::" not in e.name
    ]
    assert [(*words, pytest.approx(start), pytest.approx(end), kind) for *words, start, end, kind in found] == [
        ("step", "", "python", 1, 17, "other"),
        ("x/_2", "_Recv", "inter-op 2", 2, 3, "wait"),
        ("other", "Add", "inter-op 2", 3, 4, "op"),
        ("product", "MatMul", "inter-op 1", 3, 13, "op"),
        ("product", "MatMul", "intra-op 1", 5, 7, "part"),
        ("small", "Mul", "inter-op 1", 6, 7, "op"),
        ("product", "MatMul", "intra-op 2", 7, 8, "part"),
    ]


def test_work_belongs_to_the_innermost_op_that_was_running_when_it_was_given_away() -> None:
    ops = [("outer:Map", 3, 9, {}), ("inner:Mul", 4, 6, {}), (RECORD, 5, 5, {"_p": 1}), (RECORD, 7, 7, {"_p": 2})]
    pieces = [(BEGIN, 5, 5, {"_c": 1}), (END, 6, 6, {}), (BEGIN, 7, 7, {"_c": 2}), (END, 8, 8, {})]
    read = trace.read(xspace(("python", [("labkit.record", 0, 10, {})]), ("tf_Compute/1", ops), ("Eigen/2", pieces)))
    assert [event.name for event in read if event.kind == "part"] == ["inner", "outer"]


def test_an_accelerators_streams_are_read_with_the_op_that_a_kernel_is_for() -> None:
    """No GPU is needed to read what one's profiler writes: a plane, a line for each stream, the op as a statistic."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    host = space.planes.add(name="/host:CPU")
    host.event_metadata[1].name = "labkit.record"
    host.lines.add(name="python", timestamp_ns=1000).events.add(metadata_id=1, duration_ps=5_000_000)
    gpu = space.planes.add(name="/device:GPU:0")
    gpu.event_metadata[1].name = "sgemm_128x64"
    gpu.event_metadata[2].name = "derived"
    gpu.stat_metadata[7].name = "tf_op"
    gpu.stat_metadata[8].name = "layer/product:MatMul"
    stream = gpu.lines.add(name="Stream #13(Compute)", timestamp_ns=2000)
    stream.events.add(metadata_id=1, offset_ps=1000, duration_ps=3_000_000).stats.add(metadata_id=7, ref_value=8)
    gpu.lines.add(name="TensorFlow Ops", timestamp_ns=2000).events.add(metadata_id=2, duration_ps=1)
    (kernel,) = trace.read(space.SerializeToString())
    assert (kernel.name, kernel.op, kernel.kind) == ("layer/product", "MatMul", "kernel")
    assert kernel.thread == "GPU:0 Stream #13(Compute)"
    assert kernel.start == pytest.approx(1.001e-6) and kernel.end == pytest.approx(4.001e-6)
