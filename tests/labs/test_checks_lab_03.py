"""Checks of lab 03: the solution is right, each typical wrong answer hears what is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from labkit.bench.results import Comparison, Point


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (32 * 224 * 224 * 3 * 4, "right"),
        (32 * 224 * 224 * 3 * 4 + 60, "right"),
        (np.prod([32, 224, 224, 3]) * 4, "right"),
        (32 * 224 * 224 * 3, "the number of numbers"),
        (32 * 224 * 224 * 3 * 32, "bits"),
        (32 * 224 * 224 * 3 * 8, "float64"),
        (32 * 224 * 224 * 3 * 2, "float16"),
        (224 * 224 * 3 * 4, "one photo"),
        (32 * 224 * 224 * 4, "three numbers"),
        (32 * 224 * 224 * 3 * 20, "as text"),
        (1000, "count the numbers"),
        (32 * 224 * 224 * 3 * 4 * 4 // 3, "base64"),
        (32 * 224 * 224 * 3 * 5, "one tag for all"),
        (19.27, "megabytes"),
        (18.375, "mebibytes"),
        ("19 MB", "without a unit"),
    ],
)
def test_message(answer: Any, said: str, hears) -> None:
    hears("03.1", answer, said)


TEXT = tf.TensorSpec([None], tf.string, name="row_bytes")
Body = Callable[[tf.Module, tf.Tensor], dict[str, tf.Tensor]]


def read(row_bytes: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
    return tf.ensure_shape(tf.io.decode_raw(row_bytes, dtype), [None, 784])


def export(folder: Path, raw: Body, spec: tf.TensorSpec = TEXT, name: str = "raw", default: str = "x") -> Path:
    model = tf.Module()
    model.kernel = tf.Variable(tf.random.stateless_normal([784, 10], seed=[1, 2]))
    specs = [tf.TensorSpec([None, 784], tf.float32, name=default)]
    model.classify = tf.function(lambda x: {"y": tf.nn.softmax(x @ model.kernel)}, specs)
    model.raw = tf.function(lambda given: raw(model, given), [spec])
    tf.saved_model.save(model, str(folder / "1"), signatures={"serving_default": model.classify, name: model.raw})
    return folder / "1"


def asked(model: tf.Module, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"y": tf.nn.softmax(rows @ model.kernel)}


@pytest.mark.parametrize(
    ("raw", "options", "said"),
    [
        (lambda model, given: asked(model, read(given)), {}, "right"),
        (lambda model, given: asked(model, read(given)), {"name": "row"}, "'raw' is not there"),
        (
            lambda model, given: asked(model, given),
            {"spec": tf.TensorSpec([None, 784], tf.float32, name="x")},
            "asked to be row_bytes, of strings",
        ),
        (
            lambda model, given: asked(model, read(given)),
            {"spec": tf.TensorSpec([3], tf.string, name="row_bytes")},
            "any number of rows",
        ),
        (lambda model, given: asked(model, tf.cast(read(given, tf.float64), tf.float32)), {}, "cannot read rows"),
        (lambda model, given: asked(model, read(given) / 255), {}, "other numbers"),
        (lambda model, given: asked(model, read(given)), {"default": "rows"}, "with the input x; it has ['rows']"),
        (
            lambda model, given: asked(model, read(tf.io.decode_base64(given))),
            {},
            "the server decodes base64 by itself): Invalid character",
        ),
        (lambda model, given: {"y": tf.reduce_sum(asked(model, read(given))["y"], 1)}, {}, "for 3 rows raw answers"),
    ],
)
def test_raw(raw: Body, options: dict[str, Any], said: str, tmp_path: Path, hears) -> None:
    hears("03.3", export(tmp_path, raw, **options), said)


def test_raw_that_was_not_written(tmp_path: Path, hears) -> None:
    hears("03.3", tmp_path / "1", "not answered yet")
    hears("03.3", tmp_path, "no saved_model.pb")


def comparison(sizes: tuple[int, ...] = (1, 16, 256), sides: tuple[str, str] = ("REST", "gRPC")) -> Comparison:
    """The first side takes a second for each row, the other ten for any number: they meet at ten rows."""
    first = [Point(64 * size, 0, 0, [float(size)]) for size in sizes]
    second = [Point(64 * size, 0, 0, [10.0]) for size in sizes]
    return Comparison(dict(zip(sides, (first, second), strict=True)))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((comparison(), 640.0), "right"),
        ((comparison(), 641), "right"),
        ([comparison(), np.float64(640)], "right"),
        ((comparison(), 10), "counts digits"),
        ((comparison(), None), "is gRPC the quicker one"),
        ((comparison(), 100), "not what this comparison says"),
        (10, "a pair is asked for"),
        ((10, comparison()), "a pair is asked for"),
        ((comparison((1, 2)), 640), "few sizes"),
        ((comparison(sides=("gRPC", "REST")), 640), "not quicker here even"),
        ((comparison(sides=("REST, json", "gRPC")), 640), "own_rest and own_grpc"),
        ((..., ...), "not answered yet"),
    ],
)
def test_break_even(answer: Any, said: str, hears) -> None:
    hears("03.2", answer, said)
