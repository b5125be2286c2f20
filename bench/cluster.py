"""A local cluster: how soon it is there, what a second worker brings, and how fast two workers exchange gradients.

Nothing here is compared with another library: what one would do without `labkit.cluster` is to start a Python for each
task, and the measure of an exchange is a plain socket between the same two processes.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import TextIO

from bench import report
from bench.words import middle, milliseconds, number, paragraph, ratio, table
from labkit.bench.results import Spread
from labkit.cluster import ClusterSpec, LocalCluster, Task
from labkit.errors import MeasurementFailed

START = "cluster, 2 workers and 1 parameter server ready"
IMPORT, FIRST, AGAIN, PLAIN = "import tensorflow", "labkit, first", "labkit, again", "three Pythons"
RATES = "cluster, training"
ALONE, APART, TOGETHER = "one worker on one core", "two that do not know each other", "two that train one model"
PARTS = "cluster, a step of two workers"
GRADIENTS, WAITING, ONE_NUMBER, ALL_REDUCE, UPDATE = "gradients", "waiting", "one number", "all gradients", "update"
EXCHANGE = "cluster, exchange"
RING, SOCKET = "ring all-reduce", "plain socket"
STEP_BYTES, EXCHANGE_BYTES, SENT = "cluster, bytes of a step", "cluster, bytes of an exchange", "each worker sends"

_TASKS = Path(__file__).parent / "cluster_tasks"
_SPEC = ClusterSpec(worker=2, ps=1)
_TWICE = """
import sys, time
from labkit.cluster import ClusterSpec, LocalCluster
for _ in range(2):
    start = time.perf_counter()
    with LocalCluster(ClusterSpec(worker=2, ps=1), sys.argv[1]) as cluster:
        cluster.wait_ready()
        print(time.perf_counter() - start, flush=True)
"""
_PATIENCE = 120.0  # seconds
_LOOK_SECONDS = 0.02  # as LocalCluster does


def measure_cluster(run: report.Run, _work: object, rounds: int) -> None:
    """Seconds until a cluster is ready; examples/s of one worker and of two; an all-reduce against a plain socket."""
    run.add(START, "s", starts(_TASKS / "serve.py", rounds))
    if _cores() > 1:
        train(run, rounds)
    exchange(run, rounds)


def starts(script: Path, rounds: int) -> report.Rounds:
    """Seconds until all tasks that run `script` have opened their ports, and those of an import of TensorFlow.

    The sides take turns. There is no round to warm up: TensorFlow's files have been read when a benchmark begins.
    """
    sides = {
        IMPORT: lambda: {IMPORT: _until_a_line("import tensorflow; print()")[0]},
        FIRST: lambda: _first_and_again(script),
        PLAIN: lambda: {PLAIN: _three_pythons(script)},
    }
    found: report.Rounds = {name: [] for name in (IMPORT, FIRST, AGAIN, PLAIN)}
    for turn in range(rounds):
        for name in sides if turn % 2 else reversed(sides):
            for side, seconds in sides[name]().items():
                found[side].append(seconds)
    return found


def _first_and_again(script: Path) -> dict[str, float]:
    seconds, rest = _until_a_line(_TWICE, str(script))
    return {FIRST: seconds, AGAIN: float(rest)}


def _until_a_line(source: str, *arguments: str) -> tuple[float, str]:
    """Seconds from the start of a new Python to the first line that it prints, and what it prints then."""
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        command = [sys.executable, "-c", source, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            seconds = time.perf_counter() - start
            rest = child.stdout.read()
        if child.returncode:
            raise MeasurementFailed(f"A Python failed that ran\n{source}\nIt wrote:\n{_end_of(log)}")
    return seconds, rest


def _three_pythons(script: Path) -> float:
    """Seconds with a new Python for each task, as one starts them without labkit."""
    addresses = _free_addresses(_SPEC.tasks)
    children: dict[Task, subprocess.Popen[bytes]] = {}
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        try:
            for task in _SPEC.tasks:
                environment = {**os.environ, "TF_CONFIG": _SPEC.tf_config(task, addresses)}
                children[task] = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=log)
            for task, child in children.items():
                if not _opens(addresses[task], child):
                    raise MeasurementFailed(f"{task} ended or did not open its port. They wrote:\n{_end_of(log)}")
            return time.perf_counter() - start
        finally:
            for child in children.values():
                child.kill()
                child.wait()


def _free_addresses(tasks: Sequence[Task]) -> dict[Task, str]:
    sockets = {task: socket.create_server(("127.0.0.1", 0)) for task in tasks}
    addresses = {task: f"127.0.0.1:{each.getsockname()[1]}" for task, each in sockets.items()}
    for each in sockets.values():
        each.close()
    return addresses


def _opens(address: str, child: subprocess.Popen[bytes]) -> bool:
    """Waits for it; whether `child` has opened its port."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port))).close()
            return True
        except OSError:
            time.sleep(_LOOK_SECONDS)
    return False


def _end_of(log: TextIO) -> str:
    log.seek(0)
    return log.read()[-2000:]


def train(run: report.Run, rounds: int, batch: int = 64, steps: int = 5) -> None:
    """Keep examples a second of one worker and of two, and where a step of two spends its time (seconds).

    There are twice as many rounds, but short ones: the machine's two cores are to be in the same state for all sides.
    """
    workers = _of_two_workers("train.py", batch, steps, 2 * rounds)
    first, second = workers
    if first["replicas"] != 2 or first["weights"] != second["weights"]:
        raise MeasurementFailed("The two workers did not train one model: their weights differ")
    examples = batch * steps

    def together(a: float, b: float) -> float:
        return examples / a + examples / b

    alone = zip(first["worker 0 alone"], second["worker 1 alone"], strict=True)
    rates = {ALONE: [together(*each) / 2 for each in alone]}
    for name, phase in ((APART, "side by side"), (TOGETHER, "together")):
        rates[name] = [together(*each) for each in zip(first[phase], second[phase], strict=True)]
    run.add(RATES, "examples/s", rates)
    rounds_of_both = [*zip(first["parts"], second["parts"], strict=True)]
    parts = {name: [mean(each[name] for each in both) for both in rounds_of_both] for name in first["parts"][0]}
    run.add(PARTS, "s", parts)
    run.add(STEP_BYTES, "bytes", {SENT: [first["bytes"]]})


def exchange(run: report.Run, rounds: int, numbers: int = 4_000_000, repeats: int = 5) -> None:
    """Keep how fast the bytes of `numbers` float32 go from each of two workers to the other, both ways at once."""
    workers = _of_two_workers("exchange.py", numbers, repeats, 2 * rounds)

    def rates(way: str) -> list[float]:
        slower = map(max, *(each[way] for each in workers))
        return [4 * numbers / seconds / 1e6 for seconds in slower]

    run.add(EXCHANGE_BYTES, "bytes", {SENT: [4 * numbers]})
    run.add(EXCHANGE, "MB/s", {RING: rates("all-reduce"), SOCKET: rates("socket")})


def _of_two_workers(script: str, *arguments: int) -> list[dict[str, list]]:
    with LocalCluster(ClusterSpec(worker=2), _TASKS / script, [*map(str, arguments)]) as cluster:
        cluster.wait(timeout=5 * _PATIENCE)
        return [json.loads((cluster.folder / f"worker-{index}.json").read_text()) for index in range(2)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def section(run: report.Run) -> list[str]:
    """The page's section, if the run has numbers for it."""
    if START not in run.cases:
        return []
    return ["## A cluster on this machine", "", *_about_starts(run), *_about_training(run), *_about_exchange(run)]


def _about_starts(run: report.Run) -> list[str]:
    sides = run.cases[START]
    share = median(_ratios(sides[FIRST], [1.5 * each + 3 for each in sides[IMPORT]]))
    again = median(sides[AGAIN])
    return paragraph(
        f"Until two workers and a parameter server have opened their ports, {middle(sides[FIRST])} s pass from the "
        f"start of a new Python, where `import tensorflow` alone takes {middle(sides[IMPORT])} s; the aim, 1.5 times "
        f"the import and 3 s, is {_met(share <= 1, share)}. A second cluster in the same Python takes "
        f"{middle(sides[AGAIN])} s; the aim, 2 s, is {_met(again <= 2, again / 2)}. Started by hand, as three Pythons "
        f"that each import TensorFlow, it takes {middle(sides[PLAIN])} s: "
        f"{_times(_ratios(sides[PLAIN], sides[FIRST]))} as long as the first one, "
        f"{_times(_ratios(sides[PLAIN], sides[AGAIN]))} as long as the second. On macOS and Windows a task is a new "
        "Python always. There was no round to warm up."
    )


def _about_training(run: report.Run) -> list[str]:
    if RATES not in run.cases:
        return paragraph("This machine has one core: two workers on two cores were not measured.")
    rates, parts = run.cases[RATES], run.cases[PARTS]
    twice = [2 * each for each in rates[ALONE]]
    reached = _ratios(rates[TOGETHER], twice)
    waiting = median(a - b for a, b in zip(parts[WAITING], parts[ONE_NUMBER], strict=True))
    sent, speed = run.cases[STEP_BYTES][SENT][0], median(run.cases[EXCHANGE][RING]) * 1e6
    return [
        *paragraph(
            "A small convolutional network in training, the same batch on each worker, and each worker with one thread "
            "for its ops, on Linux bound to a core of its own (twice as many rounds, as for the exchange):"
        ),
        *table(["", "examples/s"], [[name, middle(values)] for name, values in rates.items()]),
        *paragraph(
            f"Two that train one model reach {_spread(reached)} of twice the rate of one; the aim, 0.8, "
            f"is {_met(median(reached) >= 0.8, median(reached) / 0.8)}. Two that do not know each other reach "
            f"{_spread(_ratios(rates[APART], twice))}, the most that this machine's two cores allow. Measured "
            f"against those it is {_spread(_ratios(rates[TOGETHER], rates[APART]))}."
        ),
        *paragraph(
            "The rest, in a step whose parts run one after the other: "
            f"{milliseconds(median(parts[GRADIENTS]))} for a worker's own gradients, {milliseconds(waiting)} of "
            f"waiting for the slower worker, {milliseconds(median(parts[ALL_REDUCE]))} to sum all gradients, and "
            f"{milliseconds(median(parts[UPDATE]))} for the update. Each worker sends {number(sent / 1e6)} MB, "
            f"{milliseconds(sent / speed)} at the speed below; the sum of a single number takes "
            f"{milliseconds(median(parts[ONE_NUMBER]))}."
        ),
    ]


def _about_exchange(run: report.Run) -> list[str]:
    sides, sent = run.cases[EXCHANGE], run.cases[EXCHANGE_BYTES][SENT][0]
    return paragraph(
        f"TensorFlow's ring sums {number(sent / 1e6)} MB of float32 over loopback at {middle(sides[RING])} MB/s, bytes "
        "that each of two workers sends while it gets as many. Over a plain socket between the same two processes they "
        f"go at {middle(sides[SOCKET])} MB/s, unsummed; the ratio is {_spread(_ratios(sides[RING], sides[SOCKET]))}."
    )


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Within each round: what slows the machine for a while slows all sides of it."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def _met(met: bool, share: float) -> str:
    """Whether an aim was, of which this share was reached or needed."""
    return "met" if met else f"missed by {abs(1 - share):.0%}"


def _times(ratios: Sequence[float]) -> str:
    middle, low, high = map(ratio, Spread.of(ratios))
    return f"{middle} times ({low} to {high})"


def _spread(ratios: Sequence[float]) -> str:
    middle, low, high = Spread.of(ratios)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
