"""Checks of lab 08, See where every op runs."""

from typing import Any

import numpy as np

from labkit.checks import exercise
from labkit.devices import Placement
from labkit.devices.memory import GIB, TrainingMemory

_X_BYTES = 1024 * 1024 * 4
_SMALL = 16_384  # the sums of 1,024 rows, which TensorFlow may hand to and fro
_VGG16_WEIGHTS = 138_357_544


@exercise(
    "08.1",
    hints=(
        "Hours until it pays: the price, divided by what an hour of renting costs more than an hour of power.",
        "Two cards need twice the power. A week has 45 hours of use, and a week that has begun counts as whole.",
    ),
)
def _weeks(answer: Any) -> str | None:
    if answer is None:
        return "renting costs more than the power for an hour, so one day it has paid"
    if not isinstance(answer, int | float | np.integer | np.floating) or isinstance(answer, bool):
        return f"a number of weeks is asked for; yours is of type {type(answer).__name__}"
    exact = 3600 / (1.60 - 0.70 * 0.25) / 45
    if answer == np.ceil(exact):
        return None
    if answer == np.floor(exact):
        return "at the end of that week it has not yet paid"
    if abs(answer - exact) < 0.5:
        return "whole weeks are asked for"
    if abs(answer - exact * 45) < 1:
        return "these are hours of use"
    if abs(answer - 3600 / (1.60 - 0.35 * 0.25) / 45) < 1:
        return "two cards take the power of two"
    if abs(answer - 3600 / 1.60 / 45) < 1:
        return "the power is not free"
    return "another number of weeks"


@exercise(
    "08.2",
    hints=(
        "`keras.optimizers.SGD()` remembers nothing, and Adam is the default.",
        "What `training_memory` returns has `largest_batch`, which takes bytes; `memory.GIB` is one GiB.",
    ),
)
def _batch(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "two things are asked for: what `training_memory` returned, and the batch"
    need, batch = answer
    if not isinstance(need, TrainingMemory):
        return f"the first is a {type(need).__name__}; what `training_memory` returned is asked for"
    if need.weights != 4 * _VGG16_WEIGHTS:
        return f"this model has {need.weights // 4:,} weights; VGG16 with its 1,000 classes has another number"
    if need.slots > 1000:
        return "this optimizer remembers something for every weight"
    if not isinstance(batch, int | np.integer):
        return f"the batch is {batch!r}; a whole number is asked for"
    if batch < 1 or need.at(int(batch)).total > 11 * GIB:
        return "this batch does not fit into 11 GiB"
    if need.at(int(batch) + 1).total <= 11 * GIB:
        return "a larger batch fits, too"
    return None


@exercise(
    "08.3",
    hints=(
        "Where a variable lives is decided where it is made: put `tf.device` around `tf.Variable`.",
        "The join and the sum may stay where the towers are.",
    ),
)
def _lean(answer: Any) -> str | None:
    if not isinstance(answer, Placement):
        return f"what `place` returns is asked for; yours is of type {type(answer).__name__}"
    result = np.asarray(answer.result)
    if result.shape != (1024,):
        return f"the result's shape is {result.shape}; a sum for each of 1,024 rows is asked for"
    products = {op.device for op in answer.ops if op.op in ("MatMul", "_FusedMatMul")}
    if len(products) != 1 or products == {"CPU:0"}:
        return f"the products run on {', '.join(sorted(products)) or 'no device'}; all on the accelerator are asked for"
    there = [copy for copy in answer.copies if copy.target != "CPU:0"]
    if any("ReadVariableOp" in copy.name for copy in there):
        return "a variable is still sent over on every call"
    if (copied := sum(copy.bytes or 0 for copy in there)) > _X_BYTES + _SMALL:
        return f"{copied:,} bytes are copied to the accelerator; x has {_X_BYTES:,}"
    return None
