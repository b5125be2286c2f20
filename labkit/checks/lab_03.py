"""Checks of lab 03, Weigh REST against gRPC."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from labkit.bench.results import Comparison
from labkit.checks import exercise

_PHOTOS, _NUMBERS = 32, 224 * 224 * 3
_PIXELS = 64


@exercise(
    "03.1",
    hints=(
        "How many numbers are there in all, and how many bytes has each of them?",
        "Photos times height times width times colours, and a float32 for each. What is beside them does not count.",
    ),
)
def _message(answer: Any) -> str | None:
    if not isinstance(answer, int | float | np.number):
        return "a number of bytes is asked for, without a unit"
    numbers = _PHOTOS * _NUMBERS
    named = {
        numbers: "that is the number of numbers; each of them takes more than a byte",
        32 * numbers: "those are bits, eight to a byte",
        8 * numbers: "that is for float64",
        2 * numbers: "that is for float16",
        4 * _NUMBERS: "that is one photo",
        4 * numbers // 3: "a pixel has three numbers, one for each colour",
        4 * numbers * 4 // 3: "only REST needs base64",
        5 * numbers: "an array has one tag for all its numbers, not one for each",
        4 * numbers / 1e6: "those are megabytes",
        4 * numbers / 2**20: "those are mebibytes",
    }
    for wrong, what in named.items():
        if _near(answer, wrong):
            return what
    if answer > 8 * numbers:
        return "so much it would be as text; a tensor's numbers travel as they lie in memory"
    return None if _near(answer, 4 * numbers) else "count the numbers first, then the bytes of one"


def _near(answer: Any, wanted: float) -> bool:
    return abs(float(answer) / wanted - 1) < 0.01


@exercise(
    "03.2",
    hints=(
        "bench.compare takes the two targets, what makes a batch, and the sizes. Ask what it returns for break_even.",
        "break_even takes the side that becomes quicker, then the other, and counts numbers. Here these are pixels.",
    ),
)
def _break_even(answer: Any) -> str | None:
    if not (isinstance(answer, tuple | list) and len(answer) == 2 and isinstance(answer[0], Comparison)):
        return "a pair is asked for: what bench.compare returned, and a number of pixels"
    comparison, pixels = answer
    if set(comparison.sides) != {"REST", "gRPC"}:
        return f"the comparison has the sides {sorted(comparison.sides)}; own_rest and own_grpc are asked for"
    if comparison.values[-1] < 64 * _PIXELS or len(comparison.values) < 3:
        return "that are few sizes; go from 1 to 256 digits"
    even = comparison.break_even("gRPC", "REST")
    if even is None:
        return "gRPC was not quicker here even with the most digits; was something else running? Measure again"
    other_way = comparison.break_even("REST", "gRPC")
    if pixels is None or (other_way and _near(pixels, other_way) and not _near(pixels, even)):
        return "from how many pixels on is gRPC the quicker one, and not REST?"
    if _near(pixels, even) or abs(pixels - even) <= 1:
        return None
    if _near(pixels, even / _PIXELS) or abs(pixels - even / _PIXELS) <= 1:
        return f"that counts digits; each has {_PIXELS} pixels"
    return "that is not what this comparison says"


@exercise(
    "03.3",
    hints=(
        "The new signature's only input is a vector of strings. What turns them into rows of numbers?",
        "tf.io.decode_raw does, but nobody knows how long its rows are until tf.ensure_shape says so. Then it is the "
        "same question as ever. Both signatures go into tf.saved_model.save.",
    ),
)
def _raw(folder: Any) -> Any:
    import tensorflow as tf

    if not (Path(folder) / "saved_model.pb").is_file():
        return (
            ... if not Path(folder).exists() else f"there is no saved_model.pb in {Path(folder).name or 'this folder'}"
        )
    loaded = tf.saved_model.load(str(folder))
    if missing := {"serving_default", "raw"} - set(loaded.signatures):
        return f"the signature {missing.pop()!r} is not there; it has {sorted(loaded.signatures)}"
    rows = np.random.default_rng(3).normal(size=(3, 784)).astype(np.float32)
    inputs = loaded.signatures["raw"].structured_input_signature[1]
    if list(inputs) != ["row_bytes"] or inputs["row_bytes"].dtype != tf.string:
        return f"the input of raw is asked to be row_bytes, of strings; it has {sorted(inputs)}"
    if inputs["row_bytes"].shape.rank != 1 or inputs["row_bytes"].shape[0] is not None:
        return "row_bytes is asked to take any number of rows; its shape is [None]"
    named = list(loaded.signatures["serving_default"].structured_input_signature[1])
    if named != ["x"]:
        return f"serving_default is asked to stay as it is, with the input x; it has {named}"
    wanted = _output(loaded.signatures["serving_default"](x=tf.constant(rows)))
    given = tf.constant([row.tobytes() for row in rows])
    try:
        answer = _output(loaded.signatures["raw"](row_bytes=given))
    except tf.errors.OpError as error:
        said = re.sub(r"\{\{.*?\}\}\s*", "", error.message).partition("\n")[0]
        return f"raw cannot read rows of 3,136 raw bytes (the server decodes base64 by itself): {said[:100]}"
    if answer.shape != wanted.shape:
        return f"for 3 rows raw answers with the shape {list(answer.shape)}, serving_default with {list(wanted.shape)}"
    return None if np.allclose(answer, wanted, atol=1e-5) else "raw answers with other numbers than serving_default"


def _output(answer: dict[str, Any]) -> np.ndarray:
    return next(iter(answer.values())).numpy()
