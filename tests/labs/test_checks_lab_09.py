"""Checks of lab 09: the solution is right, each typical wrong answer hears what is wrong with it."""

import numpy as np
import pytest

from labkit.devices import Event, Trace
from labkit.threads import Measurement, Measurements
from labkit.threads.measurements import Round


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
        ("15", "of type str"),
        (True, "of type bool"),
        (..., "not answered yet"),
    ],
)
def test_time_on_six_cores(answer, said, hears) -> None:
    hears("09.1", answer, said)


def settings(
    one: float, two: float, *, function: str = "larger_ops", difference: float | None = 0.0, threads: tuple = (1, 2)
) -> Measurements:
    def setting(intra: int, seconds: float) -> Measurement:
        rounds = (Round((seconds, 3 * seconds), 1.0, 1.0),)
        return Measurement(f"intra {intra}", function, intra, 1, None, {}, rounds, 5, "", difference)

    return Measurements((setting(threads[0], one), setting(threads[1], two)))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (settings(1.0, 0.6), "right"),
        (settings(1.0, 1.05), "right"),
        (settings(1.0, 2.0), "2.0 times as long"),
        (settings(1.0, 0.6, function="small_ops"), "still the small ops"),
        (settings(1.0, 0.6, difference=None), "different things"),
        (settings(1.0, 0.6, difference=0.1), "different things"),
        (settings(1.0, 0.6, threads=(2, 1)), "intra was 2, 1"),
        (9, "of type int"),
        (..., "not answered yet"),
    ],
)
def test_ops_large_enough_for_two(answer, said, hears) -> None:
    hears("09.2", answer, said)


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
        (3, "of type int"),
        (..., "not answered yet"),
    ],
)
def test_two_at_a_time(answer, said, hears) -> None:
    hears("09.3", answer, said)
