"""What learners answer in labs 08 to 10."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .answers import exercise

X = 4 * 256 * 4096  # bytes of exercise 10.1's input


@exercise("08.3", "tf.Variable(one)")
def lean(_: Path) -> dict[str, Any]:
    from .test_checks_lab_08 import placement

    sent = ("x", 4_194_304)
    return {
        "the variable is where it was": placement(copies=(sent, ("MatMul/ReadVariableOp", 4_194_304))),
        "one tower stayed": placement(device="CPU:0"),
        "a tower's result goes over": placement(copies=(sent, ("Relu", 8_388_608))),
        "the mean of all rows": placement(rows=1),
        "the result, not its placement": np.zeros(1024),
    }


@exercise("08.2", "175", "largest_batch(11", "optimizer=keras.optimizers.SGD()")
def batch(_: Path) -> dict[str, Any]:
    import keras

    from labkit.devices.memory import GIB, training_memory

    def small() -> keras.Model:  # with VGG16's number of weights below, which takes seconds to trace
        return keras.Sequential([keras.Input((1000,)), keras.layers.Dense(10)])

    need = replace(training_memory(small, 1, optimizer=keras.optimizers.SGD()), weights=4 * 138_357_544)
    largest = need.largest_batch(11 * GIB)
    return {
        "Adam, the default": (replace(need, slots=8 * 138_357_544), largest),
        "without its 1,000 classes": (replace(need, weights=4 * 14_714_688), largest),
        "11 GB and a half": (need, 2 * largest),
        "with some room": (need, largest // 2),
        "only the batch": largest,
        "not rounded": (need, largest - 0.5),
    }


@exercise("08.1", "57")
def weeks(_: Path) -> dict[str, Any]:
    hours = 3600 / (1.60 - 0.70 * 0.25)
    return {
        "hours": hours,
        "not rounded": hours / 45,
        "rounded down": hours // 45,
        "the power of one card": np.ceil(3600 / (1.60 - 0.35 * 0.25) / 45),
        "the power forgotten": 3600 / 1.60 / 45,
        "never": None,
        "one card": 12,
    }


@exercise("09.1", "15")
def promised(_: Path) -> dict[str, Any]:
    return {
        "how many times as fast": 40 / 15,
        "all of it shared out": 40 / 6,
        "the rest forgotten": 30 / 6,
        "shares mixed up": 30 + 10 / 6,
        "with its unit": "20 ms",
    }


@exercise("09.2", "4_000_000", "4 million", "600_000")
def larger(_: Path) -> dict[str, Any]:
    from .test_checks_lab_09 import settings

    return {
        "still too small": settings(1.0, 2.0),
        "measured the old one": settings(1.0, 0.6, function="small_ops"),
        "drawn anew at each call": settings(1.0, 0.6, difference=0.1),
        "other settings": settings(1.0, 0.6, threads=(1, 16)),
        "how large": 600_000,
    }


@exercise("09.3", "tf.control_dependencies(first)")
def two_by_two(_: Path) -> dict[str, Any]:
    from .test_checks_lab_09 import PAIRS, measured

    return {
        "nothing waits": measured((0, 1), (0, 1), (0, 1), (0, 1)),
        "a chain": measured((0, 1), (1, 2), (2, 3), (3, 4)),
        "one pair only": measured(*PAIRS[:2]),
        "two threads instead of an order": measured(*PAIRS, inter=2),
        "not recorded": measured(*PAIRS, traced=False),
        "the function": lambda: None,
    }


@exercise("10.1", "15,728,640", "15728640", "3.75")
def sent(_: Path) -> dict[str, Any]:
    return {
        "numbers": 3.75 * X / 4,
        "only there": 3 * X,
        "the first sends to itself": 5 * X,
        "two devices": 1.25 * X,
        "whole results come back": 6 * X,
        "x is cut, too": 1.5 * X,
        "in MB": 15,
    }


@exercise("10.2", "if count", "count / total")
def together(_: Path) -> dict[str, Any]:
    def weighted(gradients: list, counts: list[int]) -> Any:
        return sum(n / sum(counts) * one for one, n in zip(gradients, counts, strict=True))

    return {
        "the average": lambda gradients, counts: sum(gradients) / len(gradients),
        "the sum": lambda gradients, counts: sum(gradients),
        "the mean of nothing": weighted,
        "only the first": lambda gradients, counts: gradients[0],
        "flattened": lambda gradients, counts: [float(each) for each in weighted(gradients, counts)[0]],
        "no return": lambda gradients, counts: None,
        "what it returned": np.zeros((1, 2)),
    }


@exercise("10.3", "-2:", ":2]")
def wide_halo(_: Path) -> dict[str, Any]:
    from .test_checks_lab_10 import placed

    return {
        "the halo of the lab": (placed(1, 1), 0.3),
        "padded wrongly": (placed(2, 2), 0.3),
        "half of the picture": (placed(16, 16), 0.0),
        "all on one": (placed(devices=("CPU:0",)), 0.0),
        "the placement only": placed(2, 2),
    }
