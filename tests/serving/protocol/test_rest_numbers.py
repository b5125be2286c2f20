"""Section 3.10: how an answer writes many float32, number by number; few of them are cases of test_rest_predict."""

import re

import numpy as np
import pytest

from ..served import Served

RANDOM = np.random.default_rng(310)
NUMBERS = {
    "of any bits": RANDOM.integers(0, 2**32, 30_000, dtype=np.uint64).astype(np.uint32).view(np.float32),
    "as a model gives them": RANDOM.normal(size=30_000).astype(np.float32),
    "of all sizes": (10 ** RANDOM.uniform(-6, 8, 30_000)).astype(np.float32),
    "of few digits": np.round(RANDOM.uniform(-1000, 1000, 20_000), 3).astype(np.float32),
    "beside powers of ten": np.concatenate(
        [
            (np.float32(10.0**power).view(np.uint32) + np.arange(-100, 100)).astype(np.uint32).view(np.float32)
            for power in range(-6, 9)
        ]
    ),
    "half way between two": np.arange(-20_000, 20_000).astype(np.float32) / np.float32(1024),
    "whole": RANDOM.integers(-(10**7), 10**7, 10_000).astype(np.float32),
    "not finite, and zeros": np.array([np.nan, np.inf, -np.inf, 0.0, -0.0] * 20, np.float32),
}


def written(value: np.float32) -> str:
    """Six digits if they bring the same number back, else nine; a whole number has a point."""
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}" if np.float32(float(f"{value:.6g}")) == value else f"{value:.9g}"
    return text if re.search("[.e]", text) else text + ".0"


def body(key: str, numbers: np.ndarray) -> str:
    texts = ("NaN" if np.isnan(value) else repr(float(value)).replace("inf", "Infinity") for value in numbers)
    return f'{{"signature_name": "echo_float", "{key}": [{", ".join(texts)}]}}'


@pytest.mark.parametrize("key", ["instances", "inputs"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_each_float_of_many(many_in_c_api: Served, kind: str, key: str) -> None:
    numbers = NUMBERS[kind]
    answer = many_in_c_api.predict(body(key, numbers))
    assert answer.status == 200, answer.text[:500]
    assert re.findall(r"[^\s,\[\]]+", answer.text.partition("[")[2].rpartition("]")[0]) == [
        written(value) for value in numbers
    ]
