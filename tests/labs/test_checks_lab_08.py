"""Checks of lab 08: the solution is right, each typical wrong answer hears what is wrong with it."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from labkit.checks import check, hint
from labkit.devices import Placement, Trace
from labkit.devices.memory import GIB, TrainingMemory, training_memory
from labkit.devices.placement import Copy, PlacedOp


def verdict(number: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> str:
    check(number, answer)
    return capsys.readouterr().out


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
        (3, "not a int"),
        (..., "not answered yet"),
    ],
)
def test_lean(answer, said, capsys) -> None:
    assert said in verdict("08.1", answer, capsys)


@cache
def vgg(optimizer: str = "sgd") -> TrainingMemory:
    import keras

    chosen = {"sgd": keras.optimizers.SGD(), "adam": keras.optimizers.Adam()}[optimizer]
    return training_memory(lambda: keras.applications.VGG16(weights=None), 1, optimizer=chosen)


def test_largest_batch(capsys) -> None:
    largest = vgg().largest_batch(11 * GIB)
    assert "right" in verdict("08.2", (vgg(), largest), capsys)
    assert "does not fit" in verdict("08.2", (vgg(), largest + 1), capsys)
    assert "does not fit" in verdict("08.2", (vgg(), 0), capsys)
    assert "larger batch fits" in verdict("08.2", [vgg(), largest - 1], capsys)
    assert "whole number" in verdict("08.2", (vgg(), float(largest)), capsys)
    adam = vgg("adam")
    assert "remembers something" in verdict("08.2", (adam, adam.largest_batch(11 * GIB)), capsys)
    assert "another number" in verdict("08.2", (replace(vgg(), weights=8), largest), capsys)
    assert "two things" in verdict("08.2", largest, capsys)
    assert "the first is a int" in verdict("08.2", (1, 2), capsys)
    assert "not answered yet" in verdict("08.2", ..., capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (57, "right"),
        (np.int64(57), "right"),
        (57.0, "right"),
        (56, "not a whole week, or"),
        (56.14, "not a whole week, or"),
        (2526, "hours of use"),
        (53, "two cards"),
        (50, "the power is not free"),
        (12, "another number"),
        (None, "one day it has paid"),
        ("57", "not a str"),
        (True, "not a bool"),
        (..., "not answered yet"),
    ],
)
def test_weeks(answer, said, capsys) -> None:
    assert said in verdict("08.3", answer, capsys)


@pytest.mark.parametrize("number", ["08.1", "08.2", "08.3"])
def test_hints_do_not_give_the_answer(number, capsys) -> None:
    hint(number)
    assert "57" not in capsys.readouterr().out
