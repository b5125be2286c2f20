"""`place`: every op's device and times, what was copied, for graphs, methods, models, loops and training steps."""

from typing import Any

import pytest

from labkit.devices import Event, Trace, placement
from labkit.devices.placement import short_name

from .child import run

PROGRAM = """
import keras
from labkit.devices import place

def told(placement):
    return {
        "ops": [[op.name, op.op, op.device, op.start, op.end, list(op.inputs)] for op in placement.ops],
        "copies": [[copy.name, copy.source, copy.target, copy.bytes] for copy in placement.copies],
        "table": placement.table().to_dict("split"),
    }

weights = tf.Variable(tf.ones([64, 64]))
x = tf.ones([64, 64])

@tf.function
def two_devices(x):
    with tf.device("CPU:1"):
        y = tf.matmul(x, weights, name="product")
    with tf.device("CPU:0"):
        return tf.reduce_sum(tf.linalg.inv(y + tf.eye(64) * 1000.0, name="inverse"), name="sum")

@tf.function
def second_part(x):
    with tf.device("CPU:1"):
        _, wide = tf.split(x, [10, 54], axis=1, name="parts")
    with tf.device("CPU:0"):
        return tf.linalg.norm(wide)

@tf.function
def any_size(x):
    with tf.device("CPU:1"):
        chosen = tf.boolean_mask(x, x > 0, name="chosen")
    with tf.device("CPU:0"):
        return tf.linalg.norm(chosen)

class Counter:
    def __init__(self):
        self.count = tf.Variable(0.0)
    @tf.function
    def step(self, by):
        return self.count.assign_add(by, name="count")

@tf.function
def loop(x):
    for _ in tf.range(3):
        x = tf.matmul(x, x, name="again")
    return x

@tf.function
def loop_elsewhere(x):
    for _ in tf.range(3):
        with tf.device("CPU:1"):
            x = tf.matmul(x, x, name="again")
        with tf.device("CPU:0"):
            x = tf.linalg.inv(x + tf.eye(64) * 9.0)
    return x

@tf.function
def waiting(x):
    with tf.device("CPU:1"):
        first = tf.linalg.inv(x, name="first")
    with tf.device("CPU:0"), tf.control_dependencies([first]):
        return first, tf.linalg.norm(x * 2.0)

with tf.device("CPU:1"):
    there = [tf.Variable(tf.ones([64, 64])) for _ in range(2)]

@tf.function
def all_elsewhere(x):
    with tf.device("CPU:1"):
        return tf.reduce_sum(tf.matmul(tf.matmul(x, there[0]), there[1]))

model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
counter = Counter()
expected = float(two_devices(x))  # it has run before: still its ops are seen
try:
    place(lambda x: tf.linalg.inv(x), tf.zeros([4, 4]))
    failed = False
except tf.errors.InvalidArgumentError:
    failed = True
found = place(two_devices, x)
try:
    place(tf.function(lambda x: x + 1, jit_compile=True), x)
    refused = ""
except ValueError as error:
    refused = str(error)
mesh = tf.experimental.dtensor.create_mesh([("both", 2)], devices=["CPU:0", "CPU:1"])
shared = tf.experimental.dtensor.Layout.replicated(mesh, rank=1)
try:
    place(lambda x: x + 1.0, tf.experimental.dtensor.call_with_layout(tf.ones, shared, shape=[4]))
    refused_too = ""
except ValueError as error:
    refused_too = str(error)
answer({"dtensor": refused_too,
    "two devices": told(found), "result": [expected, float(found.result)],
    "method": told(place(counter.step, tf.constant(2.0))), "count": float(counter.count),
    "plain": told(place(lambda a, b=1.0: tf.exp(a * b, name="power"), x, b=2.0)),
    "model": told(place(model, tf.ones([2, 8]))),
    "loop": told(place(loop, x)), "failed": failed, "second part": told(place(second_part, x)),
    "pictures": [draw(title="t", alt="Ops on two devices.").alt for draw in (found.picture, found.timeline)],
    "devices": found.devices, "loop elsewhere": told(place(loop_elsewhere, x)),
    "all elsewhere": told(place(all_elsewhere, x)),
    "waiting": told(place(waiting, x + tf.eye(64) * 9.0)),
    "unknown size": told(place(any_size, x)),
    "refused": refused,
})
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return run(PROGRAM)


def devices(told: dict[str, Any]) -> dict[str, str]:
    return {name: device for name, _, device, *_ in told["ops"]}


def test_every_op_is_where_it_was_put(answers: dict[str, Any]) -> None:
    placed = answers["devices"]
    assert placed == devices(answers["two devices"])
    assert placed["product"] == "CPU:1"
    assert placed["inverse"] == placed["sum"] == "CPU:0"
    assert answers["result"][0] == answers["result"][1]


def test_the_ends_of_the_graph_constants_and_copies_are_no_ops(answers: dict[str, Any]) -> None:
    kinds = {kind for _, kind, *_ in answers["two devices"]["ops"]}
    assert {"MatMul", "MatrixInverse", "Sum"} <= kinds
    assert not kinds & {"_Arg", "_Retval", "Const", "NoOp", "_Send", "_Recv"}


def test_times_are_in_order_and_an_op_ends_before_one_that_needs_it_starts(answers: dict[str, Any]) -> None:
    ops = answers["two devices"]["ops"]
    times = {name: (start, end) for name, _, _, start, end, _ in ops if start is not None}
    assert {"product", "inverse", "sum"} <= set(times)
    assert all(0 <= start < end for start, end in times.values())
    assert times["product"][1] <= times["inverse"][0] < times["inverse"][1] <= times["sum"][0]
    assert [name for name, *_ in ops if name in times] == sorted(times, key=lambda name: times[name][0])


def test_an_op_reads_from_the_op_on_the_other_device_and_not_from_the_copy(answers: dict[str, Any]) -> None:
    inputs = {name: read for name, *_, read in answers["two devices"]["ops"]}
    assert inputs["product"] == ["x", "product/ReadVariableOp"]
    assert inputs["sum"][0] == "inverse"
    (added,) = [read for read in inputs.values() if "product" in read]
    assert "_Recv" not in added and not any(name.startswith("product/_") for name in added)


def test_copies_have_both_devices_and_bytes(answers: dict[str, Any]) -> None:
    copies = {name: rest for name, *rest in answers["two devices"]["copies"]}
    assert copies["x"] == ["CPU:0", "CPU:1", 64 * 64 * 4]
    assert copies["product"] == ["CPU:1", "CPU:0", 64 * 64 * 4]
    assert answers["plain"]["copies"] == []


def test_a_copy_whose_size_is_known_only_when_it_runs_has_none(answers: dict[str, Any]) -> None:
    copied = answers["unknown size"]["copies"]
    assert any(size is None for *_, size in copied), copied


def test_a_copys_size_is_that_of_the_output_that_went_over(answers: dict[str, Any]) -> None:
    sizes = {name: size for name, _, target, size in answers["second part"]["copies"] if target == "CPU:0"}
    assert sizes == {"parts": 64 * 54 * 4}


def test_a_copy_inside_a_loop_does_not_have_the_loops_own_size(answers: dict[str, Any]) -> None:
    inside = [size for name, *_, size in answers["loop elsewhere"]["copies"] if name.endswith("again")]
    assert inside == [None]


def test_waiting_for_an_op_elsewhere_is_no_copy_and_no_op(answers: dict[str, Any]) -> None:
    waiting = answers["waiting"]
    assert ["x", "CPU:0", "CPU:1", 64 * 64 * 4] in waiting["copies"]
    elsewhere = answers["all elsewhere"]
    names = [name for told in (waiting, elsewhere) for name, *_ in [*told["ops"], *told["copies"]]]
    assert not [name for name in names if "/ctrl/" in name or "ControlEdges" in name]


def test_an_accelerators_own_times_count_from_its_first_kernel_to_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    launch = Event("power", "Exp", "inter-op 1", 0.0, 1.0, "op")
    kernels = [Event("power", "Exp", "GPU:0 Stream #7", start, start + 1, "kernel") for start in (4.0, 2.0)]
    monkeypatch.setattr(placement, "record", lambda *_, **__: Trace((launch, *kernels)))
    found = placement.place(lambda x: tf.exp(x, name="power"), tf.ones([2]))
    (times,) = [(op.start, op.end) for op in found.ops if op.name == "power"]
    assert times == (2.0, 5.0)


def test_a_call_that_failed_is_not_shown_later(answers: dict[str, Any]) -> None:
    assert answers["failed"]
    assert "inv" not in answers["devices"]


def test_pictures_can_be_drawn(answers: dict[str, Any]) -> None:
    assert answers["pictures"] == ["Ops on two devices."] * 2


def test_a_bound_method_runs_twice_and_changes_its_object_twice(answers: dict[str, Any]) -> None:
    assert answers["count"] == 4.0
    assert "AssignAddVariableOp" in {kind for _, kind, *_ in answers["method"]["ops"]}


def test_a_plain_function_takes_keyword_arguments(answers: dict[str, Any]) -> None:
    assert devices(answers["plain"])["power"] == "CPU:0"


def test_a_keras_model_shows_the_ops_that_tensorflow_fused(answers: dict[str, Any]) -> None:
    kinds = [kind for _, kind, *_ in answers["model"]["ops"]]
    assert kinds.count("_FusedMatMul") == 1
    assert "BiasAdd" not in kinds


def test_a_loops_body_is_seen(answers: dict[str, Any]) -> None:
    (product,) = [op for op in answers["loop"]["ops"] if op[1] == "MatMul"]
    assert product[0].endswith("again")
    assert product[3] is not None


def test_the_table_has_a_row_for_each_op(answers: dict[str, Any]) -> None:
    table = answers["two devices"]["table"]
    assert table["columns"] == ["type", "device", "start", "end"]
    assert table["index"] == [name for name, *_ in answers["two devices"]["ops"]]
    rows = dict(zip(table["index"], table["data"], strict=True))
    assert rows["product"][:2] == ["MatMul", "CPU:1"]
    assert rows["product"][2].endswith(" ms")


def test_a_function_that_xla_compiles_is_refused(answers: dict[str, Any]) -> None:
    assert "jit_compile=True" in answers["refused"]


def test_a_function_of_dtensors_is_refused(answers: dict[str, Any]) -> None:
    assert answers["dtensor"].startswith("place() was given a function that TensorFlow does not show as a graph")


def test_a_clusters_task_is_part_of_a_devices_name_and_this_machines_is_not() -> None:
    assert short_name("/job:localhost/replica:0/task:0/device:GPU:1") == "GPU:1"
    assert short_name("/job:worker/replica:0/task:3/device:CPU:0") == "worker:3/CPU:0"
    assert short_name("") == "not placed"
