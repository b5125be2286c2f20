"""Several ways to ask the same question, in turns, over payloads of several sizes."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from labkit.bench.load import need_positive
from labkit.bench.results import Comparison, Point

if TYPE_CHECKING:
    from labkit.bench.inputs import Inputs
    from labkit.bench.load import Progress
    from labkit.bench.targets import Connection, Target


def compare(
    targets: "Sequence[Target]",
    inputs_of: "Callable[[int], Inputs]",
    sizes: Sequence[int],
    *,
    rounds: int = 5,
    seconds: float = 0.05,
    progress: "Progress | None" = None,
) -> Comparison:
    """Time requests from arrays to arrays, one after the other, on connections that stay open.

    In each round every target has its turn, in every second one in reverse; a first round is warm-up and dropped. So
    what slows the machine for a while slows all of them.

    Args:
        targets: who is asked; their names must differ.
        inputs_of: makes the batch for a size.
        sizes: smallest first; what a size means is up to `inputs_of`.
        rounds: how many are measured.
        seconds: of one turn; at least one request is made.
        progress: called with the share that is done, 0 to 1.

    Raises:
        RequestError: a server refused.
        ValueError: two targets have the same name, exact forms of the same batch get different answers, or another
            argument is out of range.
    """
    need_positive(rounds=rounds)
    names = [target.name for target in targets]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"the targets are called {names}; give at least one, and each a name of its own")
    if not sizes or list(sizes) != sorted(sizes):
        raise ValueError(f"sizes are {list(sizes)}; give at least one, and the smallest first")
    sides: dict[str, list[Point]] = {name: [] for name in names}
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(target.connect())) for target in targets]
        pairs = list(zip(targets, connections, strict=True))
        for number, size in enumerate(sizes):
            for name, point in _points(pairs, inputs_of(size), rounds, seconds).items():
                sides[name].append(point)
            if progress:
                progress((number + 1) / len(sizes))
    return Comparison(sides)


def _points(
    pairs: "list[tuple[Target, Connection]]", inputs: "Inputs", rounds: int, seconds: float
) -> dict[str, Point]:
    values = sum(array.size for array in inputs.values())
    answers = {target.name: connection.send(target.encode(inputs)) for target, connection in pairs}
    _need_equal({target.name: target.decode(answers[target.name]) for target, _ in pairs if target.form.exact})
    times: dict[str, list[float]] = {target.name: [] for target, _ in pairs}
    for turn in range(rounds + 1):
        for target, connection in pairs if turn % 2 else reversed(pairs):
            times[target.name].append(_turn(target, connection, inputs, seconds))
    return {
        target.name: Point(values, len(target.form.encode(inputs)), len(answers[target.name]), times[target.name][1:])
        for target, _ in pairs
    }


def _turn(target: "Target", connection: "Connection", inputs: "Inputs", seconds: float) -> float:
    """The median time of the requests of one turn."""
    clock = [time.perf_counter()]
    while len(clock) < 2 or clock[-1] < clock[0] + seconds:
        target.decode(connection.send(target.encode(inputs)))
        clock.append(time.perf_counter())
    return median(np.diff(clock).tolist())


def _need_equal(answers: Mapping[str, object]) -> None:
    """A comparison of ways that bring different answers would compare nothing."""
    for (first, wanted), (name, answer) in pairwise(answers.items()):
        if not _alike(wanted, answer):
            raise ValueError(f"{first} and {name} give different answers to the same batch: {wanted!r} and {answer!r}")


def _alike(one: object, other: object) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape:
        return False
    if one.dtype.kind in "fiub" and other.dtype.kind in "fiub":
        return np.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)
    return [_text(value) for value in one.ravel()] == [_text(value) for value in other.ravel()]


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
