"""Checks of lab 10: the solution is right, each typical wrong answer hears what is wrong with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labkit.devices import Placement, Trace
from labkit.devices.placement import Copy, PlacedOp

X = 4 * 256 * 4096  # bytes


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (3 * X + 3 * X // 4, "right"),
        (3.75 * X, "right"),
        (np.int64(3 * X + 3 * X // 4), "right"),
        (3.75 * X / 4, "more than one byte"),
        (3 * X, "has to be joined"),
        (5 * X, "to itself"),
        (1.25 * X, "more devices than two"),
        (6 * X, "only its own columns"),
        (1.5 * X, "needs all of x"),
        (7, "another number"),
        ("15", "of type str"),
        (True, "of type bool"),
        (..., "not answered yet"),
    ],
)
def test_bytes_of_four_columns(answer, said, hears) -> None:
    hears("10.1", answer, said)


def weighted(gradients: list, counts: list[int]) -> Any:
    import tensorflow as tf

    return tf.add_n([n / sum(counts) * one for one, n in zip(gradients, counts, strict=True) if n])


def nan_with_an_empty_replica(gradients: list, counts: list[int]) -> Any:
    return sum(n / sum(counts) * one for one, n in zip(gradients, counts, strict=True))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (weighted, "right"),
        (lambda gradients, counts: weighted(gradients, counts).numpy(), "right"),
        (nan_with_an_empty_replica, "nan"),
        (lambda gradients, counts: sum(gradients) / len(gradients), "count the same"),
        (lambda gradients, counts: sum(gradients), "a sum"),
        (lambda gradients, counts: weighted(gradients, counts) * sum(counts), "a sum"),
        (lambda gradients, counts: gradients[0], "is another"),
        (lambda gradients, counts: 1.0, "shape is ()"),
        (lambda gradients, counts: None, "is there a `return`"),
        (lambda gradients, counts: ..., "not answered yet"),
        (lambda gradients: gradients, "TypeError"),
        (3, "of type int"),
        (..., "not answered yet"),
    ],
)
def test_together(answer: Callable, said, hears) -> None:
    hears("10.2", answer, said)


ROW = 64 * 32 * 32 * 4  # bytes of one row of all pictures


def placed(*rows: int, devices: tuple[str, ...] = ("CPU:0", "CPU:1")) -> Placement:
    """A placement with a convolution on each device, and these numbers of rows sent to and fro."""
    ops = tuple(PlacedOp(f"conv_{n}", "Conv2D", device, None, None, ()) for n, device in enumerate(devices))
    ways = (("CPU:0", "CPU:1"), ("CPU:1", "CPU:0"))
    copies = tuple(Copy("rows", *way, number * ROW) for way, number in zip(ways, rows, strict=False))
    return Placement(ops, copies, Trace(()), None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((placed(2, 2), 1e-7), "right"),
        ((placed(1, 1), 0.3), "one row each way"),
        ((placed(2, 2), 0.3), "not that of the uncut layer"),
        ((placed(2, 2), float("nan")), "not that of the uncut layer"),
        ((placed(16, 16), 0.0), "fewer rows"),
        ((placed(devices=("CPU:0",)), 0.0), "ran on CPU:0"),
        ((placed(devices=()), 0.0), "on no device"),
        (placed(2, 2), "and the difference"),
        ((..., 1.0), "not answered yet"),
        (..., "not answered yet"),
    ],
)
def test_wide_halo(answer, said, hears) -> None:
    hears("10.3", answer, said)
