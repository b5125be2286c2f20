"""Checks of lab 12, Fill a link, and relieve it."""

from typing import Any

import numpy as np

from labkit.checks import exercise, is_number

_PARAMETERS = 25.6e6


@exercise(
    "12.1",
    hints=(
        "What has a ring of n workers each of them send, in sizes of the gradient? And how large is the gradient?",
        "A float16 has 2 bytes. A worker sends a sixteenth of the gradient in every round; how many rounds are there?",
    ),
)
def _ring(answer: Any) -> str | None:
    if not is_number(answer):
        return f"a number of bytes is asked for; yours is of type {type(answer).__name__}"
    size = 2 * _PARAMETERS
    if abs(answer - 2 * 15 / 16 * size) < 1:
        return None
    said = {
        2 * 15 / 16 * size * 2: "these are the bytes of float32",
        15 / 16 * size: "a float16 has more than one byte, and when the sums are made everybody has to get them",
        2 * size: "a worker need not send what the ring has brought to it already: count the rounds",
        size: "that is what a worker sends to a parameter server",
        2 * 15 * size: "in each round a worker sends a piece, not the whole gradient",
    }
    return next((text for value, text in said.items() if abs(answer - value) < 1), "another number of bytes")


@exercise(
    "12.2",
    hints=(
        "Half of the time computing: fetching and sending may take as long as computing does.",
        "All workers' bytes, both ways, over servers times bytes a second: 0.2 s at most. Is your rate in bytes?",
    ),
)
def _servers(answer: Any) -> str | None:
    if not is_number(answer):
        return f"a number of servers is asked for; yours is of type {type(answer).__name__}"
    if answer == 52:
        return None
    said = {
        51: "with so many, workers compute for a little less than half of the time",
        51.2: "servers come whole, not in parts",
        26: "each worker fetches and sends, and at once means one after the other",
        7: "the links have 10 gigabits, not gigabytes",
        1: "all workers share the servers' links",
        103: "half of the time, that is as long as they compute, not half as long",
    }
    if answer in said:
        return said[answer]
    return "fewer will do" if answer > 52 else "with so few, workers compute for less than half of the time"


@exercise(
    "12.3",
    hints=(
        "What could be sent is the sum of both arrays. Which entries of it are largest in size, whatever their sign?",
        "`np.argsort(np.abs(everything))` has them last. What is left is a copy of the sum, with 0 where it was sent.",
    ),
)
def _sparse(answer: Any) -> Any:
    if not callable(answer):
        return f"a function is asked for; yours is of type {type(answer).__name__}"
    gradient = np.array([1, -5, 2, 0.5, 0], np.float32)
    left = np.array([0.25, 0, -2, 0, 3], np.float32)
    mine = gradient.copy(), left.copy()
    found = answer(*mine, 2)
    if found is ...:
        return ...
    if not (isinstance(found, tuple | list) and len(found) == 3):
        return "three things are asked for: indices, values, and what is left over now"
    if not (np.array_equal(mine[0], gradient) and np.array_equal(mine[1], left)):
        return "the function has changed the arrays that it was given"
    indices, values, rest = (np.asarray(each) for each in found)
    if said := _differs(indices, values, rest, gradient + left):
        return said
    return None if np.size(answer(*mine, 1)[0]) == 1 else "with another `k` there have to be as many entries as it says"


def _differs(indices: np.ndarray, values: np.ndarray, rest: np.ndarray, everything: np.ndarray) -> str | None:
    if indices.shape != (2,) or values.shape != (2,):
        return f"with k = 2 there are {indices.size} indices and {values.size} values"
    if not np.issubdtype(indices.dtype, np.integer):
        return f"indices are whole numbers; yours are of type {indices.dtype}"
    chosen = set(indices.tolist())
    if chosen == {1, 2}:
        return "what was left over counts, too, when the largest are chosen"
    if chosen == {0, 4}:
        return "a large negative entry is large"
    if chosen != {1, 4}:
        return "other entries are larger"
    if not np.allclose(values, everything[indices]):
        return "the values are not those of the gradient and what was left over together"
    if rest.shape != everything.shape or np.any(rest[indices] != 0):
        return "what was sent is not left over"
    expected = everything.copy()
    expected[indices] = 0
    return None if np.allclose(rest, expected) else "what is left over lacks something that was not sent"
