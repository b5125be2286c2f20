"""Checks of lab 06, Run a model in the browser."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labkit.checks import exercise

_BYTES_OF_FLOAT32 = 4


@exercise(
    "06.1",
    hints=(
        "Part 2 has written models of half and of a quarter. What was different?",
        "`export_graph_model` takes `quantize`; its docstring says what each kind weighs.",
    ),
)
def _slim(answer: Any) -> str | None:
    if not isinstance(answer, str | os.PathLike):
        return f"the folder of the web model is asked for; yours is of type {type(answer).__name__}"
    description = Path(answer) / "model.json"
    if not description.is_file():
        return f"there is no model.json in {Path(answer).name or 'this folder'}"
    model = json.loads(description.read_text(encoding="utf-8"))
    if model.get("format") != "graph-model":
        return f"this is a {model.get('format')}; a graph model is asked for"
    specs = [one for group in model["weightsManifest"] for one in group["weights"]]
    whole = sum(_BYTES_OF_FLOAT32 * int(np.prod(one["shape"])) for one in specs)
    files = [Path(answer) / name for group in model["weightsManifest"] for name in group["paths"]]
    if not all(file.is_file() for file in files):
        return "its weights are missing"
    if Path(answer).name != "slim":
        return f"the folder is called {Path(answer).name}; write it once more, to slim"
    found = sum(file.stat().st_size for file in files)
    if found > 0.26 * whole:
        return f"its weights have {100 * found / whole:.0f} % of the bytes that they have as float32"
    return None


@exercise(
    "06.2",
    hints=(
        "`tf.topk(x, k)` returns two tensors; which of them are digits?",
        "Return the tensor itself: `run` brings it back as a numpy array with its shape.",
    ),
)
def _three_likeliest(answer: Any) -> str | None:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return "two things are asked for: what the page returned, and Python's probabilities"
    page, probabilities = answer
    if isinstance(page, Mapping):
        return "the script returned an object; one tensor is asked for"
    page, probabilities = np.asarray(page), np.asarray(probabilities)
    if probabilities.shape != (20, 10):
        return f"Python's probabilities have the shape {probabilities.shape}; those of 20 drawings are asked for"
    if page.shape != (len(probabilities), 3):
        return f"its shape is {page.shape}; three digits are asked for, for each of {len(probabilities)} drawings"
    if page.dtype.kind == "f" and (page % 1 != 0).any():
        return "these are probabilities; the digits that have them are asked for"
    chosen = np.take_along_axis(probabilities, page.astype(int), axis=1)
    likeliest = np.sort(probabilities, axis=1)[:, ::-1][:, :3]
    if np.allclose(np.sort(chosen, axis=1), np.sort(likeliest, axis=1), atol=1e-4) and not _falling(chosen):
        return "the right digits, in another order"
    if not np.allclose(chosen, likeliest, atol=1e-4):
        return "other digits have higher probabilities in Python"
    return None


def _falling(rows: np.ndarray) -> bool:
    return bool((np.diff(rows, axis=1) <= 1e-4).all())


@exercise(
    "06.3",
    hints=(
        "Two lines: seconds waited after n questions. The page's begins at what is fetched and rises slowly.",
        "A question of 40 kB is on a link of 2 MB/s for a while, too; add that to round trip and answer.",
    ),
)
def _break_even(answer: Any) -> str | None:
    if answer is None:
        return "the page begins late; is each of its answers later than the server's, too?"
    if isinstance(answer, float | np.floating) and answer % 1 == 0:  # as numpy's ceil has it
        answer = int(answer)
    if isinstance(answer, bool) or not isinstance(answer, int | np.integer):
        return f"a whole number is asked for, not {answer!r}"
    page, server = _waited(int(answer))
    if page >= server:
        return f"after {answer} questions that are {page:.2f} s of waiting with the page, {server:.2f} with the server"
    page, server = _waited(int(answer) - 1)
    return "one question fewer would do, too" if page < server else None


def _waited(questions: int) -> tuple[float, float]:
    """Seconds waited in all, with the page and with the server of the exercise."""
    return 12 / 2 + 0.020 * questions, (0.004 + 0.030 + 0.040 / 2) * questions
