"""Checks of lab 04: the solution is right, each typical wrong answer hears what is wrong with it."""

import pytest

from labkit.serving import VersionStatus
from labkit.serving.traffic import Asked


def amounts(availability: float, resource: float) -> dict[str, float]:
    return {"availability_preserving": availability, "resource_preserving": resource}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (amounts(6.4, 3.4), "right"),
        (amounts(0.4 + 3 + 3, 0.4 + 3), "right"),
        (amounts(3.4, 6.4), "one policy keeps the old version"),
        (amounts(6, 3), "availability_preserving: the server itself needs memory"),
        (amounts(6.4, 3), "resource_preserving: the server itself needs memory"),
        (amounts(6.8, 3.4), "there is one server"),
        (amounts(3.4, 3.4), "availability_preserving: 3.4 GB; count"),
        (amounts(6.4, 0.4), "resource_preserving: 0.4 GB; count"),
        (amounts(6400, 3400), "in GB"),
        (6.4, "a dict is asked for"),
        ({"availability_preserving": 6.4}, "a dict is asked for"),
    ],
)
def test_memory(answer, said, hears) -> None:
    hears("04.1", answer, said)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"b", "d"}, "right"),
        (["d", "b"], "right"),
        ("bd", "right"),
        ({"B", "D"}, "right"),
        (set(), "at least one"),
        ({"a", "b", "d"}, "a is accepted: a label may stay"),
        ({"b", "c"}, "c is accepted: two labels"),
        ({"b", "d", "e"}, "e is accepted: a configuration without labels"),
        ({"b"}, "b is refused, and not alone"),
        ({"d"}, "d is refused, and not alone"),
        ({"a", "c", "e"}, "the ones that it accepts"),
        ({"f"}, "letters from a to e"),
        ({2}, "letters from a to e"),
        ({"ab"}, "letters from a to e"),
    ],
)
def test_refused(answer, said, hears) -> None:
    hears("04.2", answer, said)


def status(**states: str) -> list[VersionStatus]:
    return [VersionStatus(int(version[1:]), state, "OK", "") for version, state in states.items()]


def log(*answers: int | str) -> list[Asked]:
    """Sixty questions: what came back for the last ones, over and over; a word is an error."""
    errors = [answer if isinstance(answer, str) else "" for answer in answers]
    rows = zip(answers, errors, strict=True)
    return [Asked(0, 0.0, 0.0, None if error else answer, error) for answer, error in rows] * (60 // len(answers))


@pytest.mark.parametrize(
    ("states", "asked", "said"),
    [
        ({"v1": "END", "v2": "AVAILABLE"}, log(2), "right"),
        ({"v3": "END", "v2": "AVAILABLE", "v1": "END"}, log(2), "right"),
        ({"v1": "AVAILABLE", "v2": "AVAILABLE"}, log(1, 1, 2), "not answered yet"),
        ({"v1": "AVAILABLE", "v2": "AVAILABLE"}, log(2), "still in memory"),
        ({"v1": "AVAILABLE", "v2": "AVAILABLE"}, log(1), "the way back"),
        ({"v1": "UNLOADING", "v2": "AVAILABLE"}, log(2), "on its way out"),
        ({"v1": "END", "v2": "AVAILABLE"}, log(1, 2), "on its way out"),
        ({"v1": "AVAILABLE", "v2": "END"}, log(1), "version 2 is not being served"),
        ({"v1": "END", "v2": "AVAILABLE"}, log(2, 2, "INVALID_ARGUMENT"), "no such label any more"),
        ({"v1": "END", "v2": "AVAILABLE"}, log(2, "NOT_FOUND"), "a label led to a version that was not loaded"),
        ({"v1": "END", "v2": "AVAILABLE"}, log(2, "UNAVAILABLE"), "failed with UNAVAILABLE"),
    ],
)
def test_finished(states, asked, said, hears) -> None:
    hears("04.3", (status(**states), asked), said)


def test_a_mistyped_answer_hurts_nobody(hears) -> None:
    hears("04.3", 7, "two things are asked for")
