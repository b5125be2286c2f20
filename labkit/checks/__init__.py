"""Exercise checks: ``check("01.1", answer)`` says *not answered yet*, *right*, or what differs.

The checks of lab NN live in ``labkit/checks/lab_NN.py``, one function each::

    @exercise("01.1", hints=("Look at the folder names.", "Count only the folders whose name is a number."))
    def _(answer):
        if isinstance(answer, int) and answer == len(SERVED):
            return None
        if answer == len(SERVED) + 1:
            return "you counted the folder that the server ignores"
        return "the number of versions the server loads"
"""

from collections.abc import Callable
from importlib import import_module
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

Judge = Callable[[Any], "str | EllipsisType | None"]


class _Exercise(NamedTuple):
    judge: Judge
    hints: tuple[str, str]


_exercises: dict[str, _Exercise] = {}


def exercise(number: str, *, hints: tuple[str, str]) -> Callable[[Judge], Judge]:
    """Registers the decorated function as the check of one exercise.

    The function takes the answer and returns None when it is right, a string that says what differs when it is not,
    and ``...`` when it sees that nothing was filled in (a function that returns ``...``). The string never holds the
    right answer. The function may raise on answers it cannot handle.

    Args:
        number: lab and exercise, ``"01.1"``.
        hints: two steps towards the answer; the second says more than the first.
    """

    def register(judge: Judge) -> Judge:
        _exercises[number] = _Exercise(judge, hints)
        return judge

    return register


def check(number: str, answer: Any = ...) -> None:
    """Prints what is to be said about an answer. Never raises, never prints the right answer.

    Args:
        number: lab and exercise, ``"01.1"``.
        answer: the reader's answer; ``...``, alone or inside a tuple, list or dict, means not answered yet.
    """
    number = str(number)
    found = _find(number)
    if found is not None:
        print(f"{number}: {_verdict(found.judge, answer)}")


def hint(number: str, step: int = 1) -> None:
    """Prints one of the two hints of an exercise. Never raises.

    Args:
        number: lab and exercise, ``"01.1"``.
        step: 1, or 2 for the one that says more.
    """
    number = str(number)
    found = _find(number)
    if found is None:
        return
    if step == 2:
        print(f"{number}: {found.hints[1]}")
    else:
        print(f'{number}: {found.hints[0]} (hint("{number}", 2) says more.)')


def is_number(answer: Any) -> bool:
    """Whether an answer is one number: Python's or NumPy's, and not True or False."""
    return isinstance(answer, int | float | np.number) and not isinstance(answer, bool)


def _find(number: str) -> _Exercise | None:
    """The exercise; where there is none, says so and returns None."""
    lab = number.partition(".")[0]
    try:
        import_module(f"labkit.checks.lab_{lab}")
    except Exception as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == f"labkit.checks.lab_{lab}"):
            print(f"{number}: the checks of lab {lab} cannot be loaded ({type(error).__name__}: {error})")
            return None
    if number not in _exercises:
        known = ", ".join(sorted(name for name in _exercises if name.startswith(f"{lab}."))) or "none"
        print(f"{number}: there is no such exercise; lab {lab} has: {known}")
        return None
    return _exercises[number]


def _verdict(judge: Judge, answer: Any) -> str:
    try:
        differs = ... if _is_blank(answer) else judge(answer)
    except Exception as error:  # whatever a reader passes, the check goes on
        if answer is None:
            return "not yet: the answer is None; does your cell give it a value, and your function return one?"
        return (
            f"not yet: this check cannot use an answer of type {type(answer).__name__} "
            f"(it stopped with {type(error).__name__})"
        )
    if differs is ...:
        return "not answered yet"
    return "right" if differs is None else f"not yet: {differs}"


def _is_blank(answer: Any) -> bool:
    if isinstance(answer, dict):
        answer = list(answer.values())
    return answer is ... or (isinstance(answer, list | tuple) and any(part is ... for part in answer))
