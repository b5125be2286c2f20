"""Checks of lab 07: the solution is right, each typical wrong answer hears what is wrong with it."""

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({1: 120, 5: 180, 20: 210}, "right"),
        ({1: np.int64(120), 5: 180, 20: 210}, "right"),
        ({1: 120, 5: 180}, "1, 5 and 20"),
        ({1: 0.5, 5: 0.8, 20: 0.9}, "a whole number"),
        ({1: 210, 5: 210, 20: 210}, "was each head trained with its own"),
        ({1: 0, 5: 9, 20: 10**6}, "cannot 1000000 be right"),
        ({1: 20, 5: 30, 20: 60}, "the same order"),
        ([120, 180, 210], "a dict is asked for"),
        (..., "not answered yet"),
    ],
)
def test_few(answer, said, hears) -> None:
    hears("07.2", answer, said)


BEFORE, GAMMA = np.linspace(-1, 1, 16), np.linspace(0.9, 1.1, 16)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([BEFORE.tolist(), (BEFORE + 0.1).tolist(), GAMMA.tolist(), GAMMA.tolist()], "right"),
        ((BEFORE, BEFORE * 2, GAMMA, GAMMA), "right"),
        ([BEFORE, BEFORE * 2, GAMMA, GAMMA * 1.01], "were the layers frozen"),
        ([BEFORE, BEFORE, GAMMA, GAMMA], "has not changed"),
        ([BEFORE**2, BEFORE**2 + 1, GAMMA, GAMMA], "is this the moving mean"),
        ([BEFORE[:4], BEFORE[:4], GAMMA, GAMMA], "16 channels"),
        ([BEFORE, BEFORE * 2], "four arrays"),
        (..., "not answered yet"),
    ],
)
def test_drift(answer, said, hears) -> None:
    hears("07.3", answer, said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"b", "c", "e"}, "right"),
        (["(b)", "C", "e"], "right"),
        ({"b", "c"}, "not all"),
        ({"a", "b"}, "not (a)"),
        ({"d"}, "not (d)"),
        ({"x"}, "there is no (x)"),
        ("bce", "a set of letters"),
        (..., "not answered yet"),
    ],
)
def test_found_out(answer, said, hears) -> None:
    hears("07.1", answer, said)
