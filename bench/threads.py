"""Thread settings of TensorFlow: what it takes to measure one, and what a second thread or another kernel brings here.

Each setting is a process, for TensorFlow fixes its threads when its first op runs. `labkit.threads` forks it from one
that has imported TensorFlow; the other side is what everybody does, a new Python for each.
"""

import subprocess
import sys
import time

from bench import report
from bench.turns import take_turns
from bench.words import middle, paragraph, ratio, table
from labkit.bench.results import Spread
from labkit.threads import Measurements, measure

START = "threads, one setting from start to result"
FORKED, PLAIN = "labkit.threads.measure", "a new Python"
BROUGHT = "threads, what a step gains"
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

# The sources of functions that are sent to the processes.
_PRODUCT = """
def product():
    a = tf.random.stateless_normal([{rows}, {rows}], [1, 2])
    return tf.function(lambda: tf.matmul(a, a))
"""
_BRANCHES = """
def branches():
    a = tf.random.stateless_normal([4, 400, 400], [1, 2])
    return tf.function(lambda: tf.add_n([tf.linalg.qr(a[n]).r for n in range(4)]))
"""
_CHAIN = """
def {name}():
    x = tf.random.stateless_normal([2_000_000], [1, 2])

    @tf.function(jit_compile={compiled})
    def step():
        y = x
        for _ in range(12):
            y = y * 1.5 + 0.1 - tf.nn.relu(y)
        return y

    return step
"""
_CONVOLUTION = """
def convolution():
    x = tf.random.stateless_normal([8, 32, 32, 64], [1, 2])
    filters = tf.random.stateless_normal([3, 3, 64, 64], [1, 3])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(filters)
            loss = tf.reduce_sum(tf.nn.relu(tf.nn.conv2d(x, filters, 1, "SAME")) ** 2)
        return tape.gradient(loss, filters)

    return step
"""
_WHOLE = f"""
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
{_PRODUCT.format(rows=100)}
step = product()
for _ in range(2):
    step().numpy()
"""


def measure_threads(run: report.Run, _work: object, rounds: int) -> None:
    """Seconds of measuring one thread setting; what threads, XLA and oneDNN bring to a step."""
    sides = {FORKED: _forked, PLAIN: _plain}
    run.add(START, "s", take_turns(sides, rounds))
    turns = 2 * rounds
    one = measure(_PRODUCT.format(rows=1500), intra=[1, 2], inter=1, rounds=turns)
    two = measure(_BRANCHES, intra=1, inter=[1, 2], rounds=turns)
    chains = [_CHAIN.format(name=name, compiled=name == "compiled") for name in ("plain", "compiled")]
    three = measure(chains, intra=1, inter=1, rounds=turns)
    four = measure(_CONVOLUTION, intra=1, inter=1, env=[{_ONEDNN: "0"}, {_ONEDNN: "1"}], rounds=turns)
    gains = {
        "a product of matrices, 1,500 x 1,500: 2 intra-op threads, not 1": one,
        "four QR factorisations, 400 x 400: 2 inter-op threads, not 1": two,
        "48 ops on 2,000,000 numbers: XLA, not the graph": three,
        "the gradient of a convolution: oneDNN, not Eigen": four,
    }
    run.add(BROUGHT, "times", {name: _by_round(each) for name, each in gains.items()})


def _forked() -> float:
    start = time.perf_counter()
    measure(_PRODUCT.format(rows=100), intra=1, inter=1, rounds=1, repeats=1)
    return time.perf_counter() - start


def _plain() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _WHOLE], check=True, capture_output=True)
    return time.perf_counter() - start


def _by_round(measured: Measurements) -> list[float]:
    """How many times as fast the second setting is, in each turn."""
    before, after = (each.rounds for each in measured)
    return [sum(a.seconds) / sum(b.seconds) for a, b in zip(before, after, strict=True)]


def section(run: report.Run) -> list[str]:
    """The page's section, if the run has numbers for it."""
    if not {START, BROUGHT} <= set(run.cases):
        return []
    sides = run.cases[START]
    faster = Spread.of([plain / forked for plain, forked in zip(sides[PLAIN], sides[FORKED], strict=True)])
    said = (
        f"From the call to the result, one more setting takes {middle(sides[FORKED])} s with `labkit.threads.measure`, "
        f"which forks a process that has imported TensorFlow, and {middle(sides[PLAIN])} s with a new Python: "
        f"{_times(faster)} as long. The first setting pays for the import with both. On macOS and Windows both are a "
        "new Python."
    )
    rows = [[name, _times(Spread.of(values))] for name, values in run.cases[BROUGHT].items()]
    return [
        "## Threads",
        "",
        *paragraph(said),
        *paragraph("What the lab on threads shows, how many times as fast in the turns of this run:"),
        *table(["step", "speed-up"], rows, texts=2),
    ]


def _times(spread: Spread) -> str:
    return f"{ratio(spread.median)} times ({ratio(spread.low)} to {ratio(spread.high)})"
