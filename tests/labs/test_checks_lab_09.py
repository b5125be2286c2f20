"""Checks of lab 09: the solution is right, each typical wrong answer hears what is wrong with it."""

from typing import Any

import numpy as np
import pytest

from labkit.checks import check, hint
from labkit.devices import Event, Trace
from labkit.threads import Measurement, Measurements


def verdict(number: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> str:
    check(number, answer)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (15, "right"),
        (15.000001, "right"),
        (np.float32(15), "right"),
        (40 / 15, "how many times as fast"),
        (40 / 6, "not all of it"),
        (5.0, "cannot be shared out is missing"),
        (7, "another number"),
        ("15", "not a str"),
        (True, "not a bool"),
        (..., "not answered yet"),
    ],
)
def test_time_on_six_cores(answer, said, capsys) -> None:
    assert said in verdict("09.1", answer, capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (9, "right"),
        (np.int64(9), "right"),
        (8, "not yet four times"),
        (10, "fewer are enough"),
        (8.5, "cores are whole"),
        (None, "four is less"),
        ([9], "not a list"),
        (..., "not answered yet"),
    ],
)
def test_cores_for_four_times(answer, said, capsys) -> None:
    assert said in verdict("09.2", answer, capsys)


def measured(*times: tuple[float, float], inter: int = 4, traced: bool = True) -> Measurement:
    ops = tuple(Event(f"qr_{n}", "Qr", "inter-op 1", start, end, "op") for n, (start, end) in enumerate(times))
    other = Event("together", "AddN", "inter-op 1", 0.0, 9.0, "op")
    trace = Trace((*ops, other)) if traced else None
    return Measurement("one", "two_by_two", 1, inter, None, {}, (), 5, "", 0.0, trace)


PAIRS = ((0.0, 1.0), (0.5, 1.5), (2.0, 3.0), (2.5, 3.5))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (measured(*PAIRS), "right"),
        (Measurements((measured(*PAIRS),)), "right"),
        (measured((0, 1), (0, 1), (0.5, 2), (2, 3)), "3 were under way"),
        (measured((0, 1), (1, 2), (2, 3), (3, 4)), "no two were under way"),
        (measured(*PAIRS[:3]), "3 factorisations ran"),
        (measured(*PAIRS, inter=2), "2 inter-op threads"),
        (measured(*PAIRS, traced=False), "`trace=True`"),
        (Measurements((measured(*PAIRS), measured(*PAIRS))), "one setting"),
        (3, "not a int"),
        (..., "not answered yet"),
    ],
)
def test_two_at_a_time(answer, said, capsys) -> None:
    assert said in verdict("09.3", answer, capsys)


@pytest.mark.parametrize(("number", "answer"), [("09.1", "15"), ("09.2", "9 "), ("09.3", "first")])
def test_hints_do_not_give_the_answer(number, answer, capsys) -> None:
    hint(number)
    assert answer not in capsys.readouterr().out
