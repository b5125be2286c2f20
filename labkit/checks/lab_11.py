"""Checks of lab 11, Train with parameter servers."""

from typing import Any

import numpy as np

from labkit.checks import exercise
from labkit.parallel import History


@exercise(
    "11.1",
    hints=(
        "How long does one of its steps take now? What do the others do meanwhile?",
        "Each of the other seven pushes once in 100 ms.",
    ),
)
def _staleness(answer: Any) -> str | None:
    if isinstance(answer, bool) or not isinstance(answer, int | float | np.number):
        return f"a number of versions is asked for, not a {type(answer).__name__}"
    if 26 <= answer <= 29:
        return None
    if answer == 7:
        return "that was its staleness before it became slow"
    if answer == 32:
        return "it does not make its own gradients stale"
    if answer in (4, 3):
        return "the others are seven, not one"
    return "another number of versions goes by"


@exercise(
    "11.2",
    hints=(
        "A rule is a function: staleness in, factor out. At 0 a gradient is dropped.",
        "Three cases; begin with the one over 10. A staleness of 0 cannot be divided by.",
    ),
)
def _rule(answer: Any) -> str | None:
    if not callable(answer):
        return f"a function is asked for, not a {type(answer).__name__}"
    for staleness, wanted in ((0, 1), (1, 1), (2, 1), (4, 0.5), (10, 0.2), (11, 0), (50, 0)):
        try:
            factor = answer(staleness)
        except Exception as error:
            return f"it failed for a staleness of {staleness} with {type(error).__name__}: {error}"
        if not isinstance(factor, int | float | np.number):
            return f"for a staleness of {staleness} it gave {factor!r}, which is no number"
        if abs(factor - wanted) > 1e-9:
            return f"for a staleness of {staleness} the factor is not what the exercise says"
    return None


@exercise(
    "11.3",
    hints=(
        "A version should wait for as many gradients as there are quick workers.",
        "`required` says how many the chief waits for; the rest are backups.",
    ),
)
def _backups(answer: Any) -> str | None:
    if not isinstance(answer, History):
        return f"what `trained` returns is asked for, not a {type(answer).__name__}"
    steps = answer.table()
    if sorted(steps.worker.unique()) != [0, 1, 2, 3]:
        return f"{steps.worker.nunique()} workers took part; four are asked for"
    quick, slow = steps[steps.worker < 2], steps[steps.worker >= 2]
    if not len(slow) or slow.seconds.min() < 0.2:
        return "workers 2 and 3 are not slow"
    if steps.applied.all() and len(quick) > 20 and steps.staleness.max() > 0:
        return "this training was asynchronous"
    if len(quick) < 15 or quick.waited.mean() > 0.5 * slow.seconds.mean():
        return "the quick workers waited for slow ones"
    return None
