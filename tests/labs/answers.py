"""What learners answer: for every exercise its typical mistakes, and the words that would give its answer away.

The tables are in `answers_serving` (labs 00 to 05), `answers_pages` (06, 07), `answers_devices` (08 to 10) and
`answers_clusters` (11 to 13); `test_answers` puts them to the checks, and `test_hints` to the hints.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Mistakes = Callable[[Path], dict[str, Any]]


class Exercise(NamedTuple):
    """`secrets` stand in no message and in no hint; `mistakes` makes, in an empty folder, thought -> answer."""

    secrets: tuple[str, ...]
    mistakes: Mistakes


EXERCISES: dict[str, Exercise] = {}


def exercise(number: str, *secrets: str) -> Callable[[Mistakes], Mistakes]:
    """Registers what the decorated function returns as typical mistakes of an exercise."""

    def register(mistakes: Mistakes) -> Mistakes:
        EXERCISES[number] = Exercise(secrets, mistakes)
        return mistakes

    return register
