"""Checks of lab 08: the solution is right, each typical wrong answer hears what is wrong with it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from labkit.devices import Placement, Trace
from labkit.devices.memory import GIB, TrainingMemory, training_memory
from labkit.devices.placement import Copy, PlacedOp


def placement(
    device: str = "GPU:0", copies: tuple[tuple[str, int], ...] = (("x", 4_194_304),), rows: int = 1024
) -> Placement:
    ops = (
        PlacedOp("MatMul", "MatMul", device, 0.0, 1.0, ("x",)),
        PlacedOp("MatMul_1", "_FusedMatMul", "GPU:0", 0.0, 1.0, ("x",)),
    )
    copied = tuple(Copy(name, "CPU:0", device, size) for name, size in copies)
    return Placement(ops, copied, Trace(()), np.zeros(rows))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (placement(), "right"),
        (placement(copies=()), "right"),
        (placement(copies=(("x", 4_194_304), ("sum", 4_096))), "right"),
        (placement(copies=(("x", 4_194_304), ("MatMul/ReadVariableOp", 4_194_304))), "variable is still sent"),
        (placement(copies=(("x", 4_194_304), ("Relu", 4_194_304))), "8,388,608 bytes are copied to the accelerator"),
        (placement(device="CPU:0"), "CPU:0, GPU:0"),
        (placement(rows=1), "(1,)"),
        (3, "of type int"),
        (..., "not answered yet"),
    ],
)
def test_lean(answer, said, hears) -> None:
    hears("08.3", answer, said)


@cache
def vgg(optimizer: str = "sgd") -> TrainingMemory:
    import keras

    chosen = {"sgd": keras.optimizers.SGD(), "adam": keras.optimizers.Adam()}[optimizer]
    return training_memory(lambda: keras.applications.VGG16(weights=None), 1, optimizer=chosen)


def test_largest_batch(hears) -> None:
    largest = vgg().largest_batch(11 * GIB)
    hears("08.2", (vgg(), largest), "right")
    hears("08.2", (vgg(), np.int64(largest)), "right")
    hears("08.2", (vgg(), largest + 1), "does not fit")
    hears("08.2", (vgg(), 0), "does not fit")
    hears("08.2", [vgg(), largest - 1], "larger batch fits")
    hears("08.2", (vgg(), float(largest)), "whole number")
    adam = vgg("adam")
    hears("08.2", (adam, adam.largest_batch(11 * GIB)), "remembers something")
    hears("08.2", (replace(vgg(), weights=8), largest), "another number")
    hears("08.2", largest, "two things")
    hears("08.2", (1, 2), "the first is a int")
    hears("08.2", ..., "not answered yet")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (57, "right"),
        (np.int64(57), "right"),
        (57.0, "right"),
        (56, "not yet paid"),
        (56.14, "whole weeks"),
        (2526, "hours of use"),
        (53, "two cards"),
        (50, "the power is not free"),
        (12, "another number"),
        (None, "one day it has paid"),
        ("57", "of type str"),
        (True, "of type bool"),
        (..., "not answered yet"),
    ],
)
def test_weeks(answer, said, hears) -> None:
    hears("08.1", answer, said)
