"""Checks of lab 09, Put threads to work."""

from typing import Any

from labkit.checks import exercise, is_number
from labkit.devices import Event
from labkit.threads import Measurement, Measurements


@exercise(
    "09.1",
    hints=(
        "What cannot be shared out takes as long as before.",
        "`amdahl` gives how many times as fast; time is divided by that.",
    ),
)
def _time(answer: Any) -> str | None:
    if not is_number(answer):
        return f"a number of milliseconds is asked for; yours is of type {type(answer).__name__}"
    if abs(answer - 15) < 0.01:
        return None
    if abs(answer - 40 / 15) < 0.01:
        return "that is how many times as fast; the time is asked for"
    if abs(answer - 40 / 6) < 0.01:
        return "not all of it can be shared out"
    if abs(answer - 5) < 0.01:
        return "the part that cannot be shared out is missing"
    return "another number of milliseconds"


@exercise(
    "09.2",
    hints=(
        "Handing work over takes the same time for a large piece as for a small one.",
        "`small_ops` has 60,000 numbers. Try ten times as many, and a hundred times.",
    ),
)
def _larger(answer: Any) -> str | None:
    if not isinstance(answer, Measurements):
        return f"what `measure` returns is asked for; yours is of type {type(answer).__name__}"
    if [one.intra for one in answer] != [1, 2]:
        return f"intra was {', '.join(str(one.intra) for one in answer)}; one thread and two are asked for"
    one, two = answer
    if one.function == "small_ops":
        return "these are still the small ops"
    if two.difference is None or two.difference > 1e-5:
        return "the two settings computed different things"
    quickest = min(one.seconds) / min(two.seconds)
    if quickest < 0.9:
        return f"two threads take {1 / quickest:.1f} times as long as one"
    return None


@exercise(
    "09.3",
    hints=(
        "Which two may start at once? The others have to wait for both.",
        "What is made inside `with tf.control_dependencies(results):` starts when all of `results` are there.",
    ),
)
def _two_at_a_time(answer: Any) -> str | None:
    if isinstance(answer, Measurements) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, Measurement):
        return f"what `measure` returns for one setting is asked for; yours is of type {type(answer).__name__}"
    if answer.inter < 4:
        return f"it was measured with {answer.inter} inter-op threads; ask for four"
    if answer.trace is None:
        return "nothing was recorded; `measure` takes `trace=True`"
    ops = [event for event in answer.trace.ops if event.op == "Qr"]
    if len(ops) != 4:
        return f"{len(ops)} factorisations ran; four are asked for"
    most = _at_once(ops)
    if most > 2:
        return f"{most} were under way at the same time"
    return None if most == 2 else "no two were under way at the same time"


def _at_once(events: list[Event]) -> int:
    """The most that were under way at one moment: it is a moment at which one of them started."""
    return max(sum(other.start <= event.start < other.end for other in events) for event in events)
