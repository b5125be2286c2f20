"""Checks of lab 11: the solution is right, each typical wrong answer hears what is wrong with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labkit.parallel import History, keep_all, scale_down


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (28, "right"),
        (27, "right"),
        (28.0, "right"),
        (np.int64(28), "right"),
        (7, "before it became slow"),
        (21, "not 300 ms"),
        (31, "not more than one"),
        (32, "its own gradients"),
        (4, "others than one"),
        (2800, "not in milliseconds"),
        (100, "another number"),
        ("28", "of type str"),
        (True, "of type bool"),
        (..., "not answered yet"),
    ],
)
def test_how_stale(answer, said, hears) -> None:
    hears("11.1", answer, said)


def three_cases(staleness: int) -> float:
    if staleness > 10:
        return 0.0
    return min(1.0, 2 / staleness) if staleness else 1.0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (three_cases, "right"),
        (lambda staleness: (staleness <= 10) * 2 / max(2, staleness), "right"),
        (lambda staleness: np.float32(three_cases(staleness)), "right"),
        (lambda staleness: int(staleness <= 2) or three_cases(staleness), "right"),
        (lambda staleness: min(1, 2 / staleness), "of 0 with ZeroDivisionError"),
        (lambda staleness: 2 / staleness if staleness else 1.0, "of 1 the gradient is made larger, by 2"),
        (lambda staleness: 2 / max(2, staleness), "of 11 the gradient is not dropped, but counts 0.182"),
        (lambda staleness: three_cases(staleness) if staleness < 10 else 0.0, "of 10 the gradient is dropped"),
        (lambda staleness: 2 // max(2, staleness), "of 3 the gradient is dropped"),
        (lambda staleness: three_cases(staleness) or None, "of 11 it gave None"),
        (scale_down, "of 1 it gave 0.5"),
        (keep_all, "of 3 it gave 1, which is not"),
        (lambda: 1.0, "TypeError"),
        (lambda staleness: ..., "not answered yet"),
        (0.5, "of type float"),
        (..., "not answered yet"),
    ],
)
def test_rule(answer: Callable, said, hears) -> None:
    hears("11.3", answer, said)


def gradient(worker: int, read: int, staleness: int = 0) -> dict[str, Any]:
    seconds = 0.03 if worker < 2 else 0.24
    one = {"worker": worker, "read": read, "applied_at": read + staleness, "staleness": staleness, "applied": True}
    return one | {"loss": 2.0, "seconds": seconds, "waited": 0.01}


def synchronous(*used: list[int], versions: int = 15, workers: int = 4) -> History:
    """Who is in `used` has a gradient in every version, the lists in turn; the others are late with each fifth."""
    taken = [{"read": read, "used": used[read % len(used)]} for read in range(versions)]
    steps = [gradient(worker, one["read"]) for one in taken for worker in one["used"]]
    late = {*range(workers)} - {worker for who in used for worker in who}
    return History([*steps, *(gradient(worker, read, 5) for worker in late for read in range(0, versions, 5))], taken)


def asynchronous() -> History:
    quick = [gradient(worker, 2 * number, worker) for number in range(8) for worker in (0, 1)]
    return History([*quick, gradient(2, 0, 9), gradient(3, 0, 10)])


def other_workers_slow() -> History:
    mirrored = synchronous([0, 1]).table()
    return History([row | {"worker": 3 - row["worker"]} for row in mirrored.to_dict("records")])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (synchronous([0, 1]), "right"),
        (synchronous([0], [1]), "right"),
        (synchronous([0, 1], [0, 1], [0, 1], [1, 2], [0, 3]), "right"),
        (synchronous([0, 1], versions=20), "right"),
        (synchronous([0, 1, 2, 3]), "no backup"),
        (synchronous([0, 1, 2], [0, 1, 3]), "no backup"),
        (synchronous([0, 1, 2]), "15 of 15 versions waited"),
        (asynchronous(), "asynchronous"),
        (other_workers_slow(), "workers 2 and 3 are not slow"),
        (synchronous([0, 1], workers=3), "3 workers took part"),
        (synchronous([0, 1], versions=5), "5 versions were made"),
        (synchronous([0, 1]).table(), "of type DataFrame"),
        (2, "of type int"),
        (..., "not answered yet"),
    ],
)
def test_unhurried(answer, said, hears) -> None:
    hears("11.2", answer, said)
