"""Checks of lab 10, Split a model, or copy it."""

from typing import Any

import numpy as np

from labkit.checks import exercise, is_number
from labkit.devices import Placement

_INPUT = 4 * 256 * 4096  # bytes of x, and of the whole result
_ROW = 4 * 64 * 32 * 32  # bytes of one row of all 64 pictures


@exercise(
    "10.1",
    hints=(
        "Which devices lack what, before the product and after it?",
        "Every device but the first is sent all of x, and sends back its share of the columns.",
    ),
)
def _bytes(answer: Any) -> str | None:
    if not is_number(answer):
        return f"a number of bytes is asked for; yours is of type {type(answer).__name__}"
    if answer == 3 * _INPUT + 3 * _INPUT // 4:
        return None
    said = {
        (3 * _INPUT + 3 * _INPUT // 4) / 4: "these are numbers; a float32 has more than one byte",
        3 * _INPUT: "the result has to be joined on the first device",
        4 * _INPUT + _INPUT: "the first device need not send anything to itself",
        _INPUT + _INPUT // 4: "there are more devices than two",
        6 * _INPUT: "a device makes only its own columns of the result",
        3 * (_INPUT // 4 + _INPUT // 4): "for its columns a device needs all of x",
    }
    return said.get(float(answer), "another number of bytes")


@exercise(
    "10.2",
    hints=(
        "A replica with more examples counts for more.",
        "Each gradient times its count, divided by the sum of all counts; without those that have no example at all.",
    ),
)
def _together(answer: Any) -> Any:
    if not callable(answer):
        return f"a function is asked for; yours is of type {type(answer).__name__}"
    gradients = [np.array([[3.0, -1.0]], np.float32), np.array([[1.0, 7.0]], np.float32)]
    for counts in ([2, 2], [3, 1]):
        if (found := _one(answer, gradients, counts)) is ...:
            return ...
        if found is None:
            return "your function returns None; is there a `return` at its end?"
        if (said := _differs(found, gradients, counts)) is not None:
            return said
    nothing = np.full((1, 2), np.nan, np.float32)
    found = _one(answer, [*gradients, nothing], [3, 1, 0])
    if np.isnan(found).any():
        return "with a replica that had no example, the result is nan"
    return _differs(found, gradients, [3, 1])


def _one(answer: Any, gradients: list[np.ndarray], counts: list[int]) -> Any:
    """What the reader's function makes of them; TensorFlow is there by now."""
    import tensorflow as tf

    found = answer([tf.constant(one) for one in gradients], counts)
    return found if found is None or found is ... else np.asarray(found)


def _differs(found: np.ndarray, gradients: list[np.ndarray], counts: list[int]) -> str | None:
    right = np.average(gradients, axis=0, weights=counts)
    if found.shape != right.shape:
        return f"the result's shape is {found.shape}; each gradient's was {right.shape}"
    if np.allclose(found, right, atol=1e-5):
        return None
    if np.allclose(found, np.mean(gradients, axis=0), atol=1e-5):
        return f"with {counts[0]} and {counts[1]} examples, both replicas count the same"
    if np.allclose(found, np.sum(gradients, axis=0), atol=1e-5) or np.allclose(found, right * sum(counts), atol=1e-5):
        return "that is a sum; the gradient of a mean is asked for"
    return f"with {counts[0]} and {counts[1]} examples, the gradient of the mean over all is another"


@exercise(
    "10.3",
    hints=(
        "How many rows above and below does a filter of five rows look at?",
        "Two rows go each way; a row of zeros is added on the outer side only for those that are missing there.",
    ),
)
def _wide_halo(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not isinstance(answer[0], Placement):
        return "what `place` returns is asked for, and the difference"
    placement, difference = answer
    ran_on = {op.device for op in placement.ops if op.op in ("Conv2D", "_FusedConv2D")}
    if len(ran_on) != 2:
        return f"convolutions ran on {', '.join(sorted(ran_on)) or 'no device'}; each half on its own is asked for"
    sent = [copy.bytes or 0 for copy in placement.copies if {copy.source, copy.target} == ran_on]
    if sum(sent) == 2 * _ROW:
        return "one row each way is not enough for a filter of five rows"
    if not difference < 1e-2:
        return "the result is not that of the uncut layer"
    if sum(sent) > 4 * _ROW:
        return f"{sum(sent):,} bytes are sent; fewer rows are needed"
    return None
