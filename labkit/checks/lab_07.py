"""Checks of lab 07, Fine-tune in the browser."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from labkit.checks import exercise

_KEPT_BACK = 231
_FOUND_OUT = {"b", "c", "e"}
_WHY = {
    "a": "weights do not hold every pixel; rebuilding pictures worked from gradients, and not for certain",
    "d": "visits are in a server's log, not in weights",
}


@exercise(
    "07.1",
    hints=(
        "Part 5 compares what a class has learned with its drawings. What follows from that, and what not?",
        "Membership inference answers with a probability, for one example that one already has.",
    ),
)
def _found_out(answer: Any) -> str | None:
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        return 'a set of letters is asked for, as {"a", "b"}'
    chosen = {str(each).strip("()").lower() for each in answer}
    if not chosen:
        return "something can be found out; the set is empty"
    if unknown := chosen - set("abcde"):
        return f"there is no ({sorted(unknown)[0]}) among these"
    if wrong := sorted(chosen - _FOUND_OUT):
        return f"not ({wrong[0]}): {_WHY[wrong[0]]}"
    if len(chosen) < len(_FOUND_OUT):
        return "right so far, but not all"
    return None


@exercise(
    "07.2",
    hints=(
        "`first(5)` has the drawings. What does part 2 do with `lesson`?",
        "`run(head_js, ...)` returns `after`: a kernel and a bias, for `with_head`.",
    ),
)
def _few(answer: Any) -> str | None:
    if not isinstance(answer, Mapping):
        return "a dict is asked for: drawings a digit -> how many are right"
    if set(answer) != {1, 5, 20}:
        return f"1, 5 and 20 drawings a digit are asked for; there are {sorted(answer)}"
    counts = [answer[number] for number in (1, 5, 20)]
    if not all(isinstance(count, int | np.integer) for count in counts):
        return "how many are right is a whole number; `right` counts them"
    if not all(0 <= count <= _KEPT_BACK for count in counts):
        return f"of {_KEPT_BACK} drawings cannot {max(counts)} be right"
    if not counts[0] < counts[1] <= counts[2]:
        return f"the counts are {counts}; more drawings should not know less: was each head trained with its own?"
    if counts[2] < _KEPT_BACK / 2:
        return f"with 20 drawings a digit only {counts[2]} are right; are drawings and labels in the same order?"
    return None


@exercise(
    "07.3",
    hints=(
        "`trainable = false` for all layers but the last, then `compile`, then read, train, read again.",
        "The moving mean is number 2 of `getWeights()`, gamma number 0. Take plain numbers before you train.",
    ),
)
def _drift(answer: Any) -> str | None:
    if not isinstance(answer, list | tuple) or len(answer) != 4:
        return "four arrays are asked for: the moving mean before and after, gamma before and after"
    before, after, gamma, gamma_after = (np.asarray(each, float) for each in answer)
    if any(each.shape != (16,) for each in (before, after, gamma, gamma_after)):
        return "the first BatchNormalization has 16 channels; not all of these have 16 numbers"
    if not np.array_equal(gamma, gamma_after):
        return "gamma has changed: were the layers frozen before `compile`?"
    if np.array_equal(before, after):
        return "the moving mean has not changed; is `call` as it comes, and was the first one read before the training?"
    if not ((before < 0).any() or (after < 0).any()):
        return "none of these numbers is negative; is this the moving mean, and not the variance?"
    return None
