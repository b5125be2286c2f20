"""Checks of lab 11, Train with parameter servers."""

from typing import Any

import numpy as np

from labkit.checks import exercise, is_number
from labkit.parallel import History

_VERSIONS = 15


@exercise(
    "11.1",
    hints=(
        "How long does one of its steps take now? What do the others do meanwhile?",
        "Each of the other seven pushes once in 100 ms.",
    ),
)
def _staleness(answer: Any) -> str | None:
    if not is_number(answer):
        return f"a number of versions is asked for; yours is of type {type(answer).__name__}"
    if 26 <= answer <= 29:
        return None
    said = {
        7: "that was its staleness before it became slow",
        21: "a step that takes four times as long takes 400 ms, not 300 ms",
        31: "its own pushes are not more than one in that time",
        32: "it does not make its own gradients stale",
        3: "others than one push meanwhile",
        4: "others than one push meanwhile",
        2800: "staleness is counted in versions, not in milliseconds",
    }
    return next((text for value, text in said.items() if answer == value), "another number of versions goes by")


@exercise(
    "11.2",
    hints=(
        "A version should wait for as many gradients as there are quick workers.",
        "`required` says how many the chief waits for; the rest are backups.",
    ),
)
def _backups(answer: Any) -> str | None:
    if not isinstance(answer, History):
        return f"what `trained` returns is asked for; yours is of type {type(answer).__name__}"
    steps = answer.table()
    if sorted(steps.worker.unique()) != [0, 1, 2, 3]:
        return f"{steps.worker.nunique()} workers took part; four are asked for"
    slow = steps[steps.worker >= 2]
    if slow.seconds.min() < 0.2:
        return "workers 2 and 3 are not slow"
    if (steps.applied & (steps.staleness > 0)).any():
        return "this training was asynchronous: stale gradients were applied"
    if (versions := steps.read.max() + 1) < _VERSIONS:
        return f"{versions} versions were made; {_VERSIONS} are asked for"
    # By what was used and not by the time it took, which says little on a busy machine.
    used = slow[slow.applied].read.nunique()
    if used <= versions / 2:
        return None
    if steps.applied.all():
        return "there was no backup: no gradient was thrown away"
    return f"{used} of {versions} versions waited for a slow worker's gradient"


@exercise(
    "11.3",
    hints=(
        "A rule is a function: staleness in, factor out. At 0 a gradient is dropped.",
        "Three cases; begin with the one over 10. A staleness of 0 cannot be divided by.",
    ),
)
def _rule(answer: Any) -> Any:
    if not callable(answer):
        return f"a function is asked for; yours is of type {type(answer).__name__}"
    for staleness in (0, 1, 2, 3, 4, 9, 10, 11, 12, 50):
        try:
            factor = answer(staleness)
        except Exception as error:
            return f"it failed for a staleness of {staleness} with {type(error).__name__}: {error}"
        if factor is ...:
            return ...
        if not isinstance(factor, int | float | np.number):
            return f"for a staleness of {staleness} it gave {factor!r}, which is no number"
        if (said := _wrong_factor(staleness, float(factor))) is not None:
            return f"for a staleness of {staleness} {said}"
    return None


def _wrong_factor(staleness: int, factor: float) -> str | None:
    wanted = 0.0 if staleness > 10 else 2 / max(staleness, 2)
    if abs(factor - wanted) < 1e-6:  # a float32 is as good
        return None
    if not wanted:
        return f"the gradient is not dropped, but counts {factor:.3g}"
    if not factor:
        return "the gradient is dropped, which is for those over 10"
    if factor > 1:
        return f"the gradient is made larger, by {factor:.3g}"
    return f"it gave {factor:.3g}, which is not what the exercise says"
