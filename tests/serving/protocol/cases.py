"""What a case of the protocol tables is, and how an answer is compared with it.

Sections (§) are those of the notes on TensorFlow Serving's behaviour that the tables were written from: what its
sources at commit 9d981c5c do, seen from outside. `[deviation]` in a title marks where this server differs on purpose.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """One request and the answer it must get.

    answer: the answer's JSON, compared as values; text: the same, compared letter by letter but for white space;
    error: the message's beginning. Three dots (…) in it stand for anything.
    """

    section: str
    title: str
    request: Any
    status: int | str = 200
    answer: Any = None
    text: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        assert (self.answer is not None) + (self.text is not None) + (self.error is not None) == 1, self


def parameters(cases: Iterable[Case]) -> Any:
    """The cases as pytest parameters whose ids show their section (pytest escapes a § in them)."""
    named = [pytest.param(case, id=f"section {case.section}: {case.title}") for case in cases]
    return pytest.mark.parametrize("case", named)


def begins(message: str, expected: str) -> bool:
    """Whether `message` begins as `expected` says, where … stands for anything."""
    first, *rest = expected.split("…")
    if not message.startswith(first):
        return False
    place = len(first)
    for part in rest:
        found = message.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True


def without_white_space(text: str) -> str:
    return "".join(text.split())
