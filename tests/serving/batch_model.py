"""A SavedModel that shows what batching does to requests, made with TensorFlow once in a test session.

serving_default     x [-1, 1] float -> y = x / 2 + 2
rows                x float -> x, rows = the rows of the run that answered, for each row
content             x float -> all = everything that was in the run, once for each row   (x: [-1])
checked             x float -> y = x, and an error where x is not a number
pair                a, b float -> a, b
length              x float [-1, -1] -> y = the sum of each row, size = the row's length in the run
total               x float -> y, a scalar
first_row           x float -> y = x[:1]
slow                seconds float -> seconds              (the run takes as long as its largest)
classify            serialized tf.Examples -> scores = x / 2 + 2
"""

from pathlib import Path

from .savedmodels import _add_half_plus, _Graph


def make_batch_model(folder: Path) -> Path:
    """Write the model under `folder` as version 1; the folder."""
    made = _Graph()
    with made.graph.as_default():
        _add_half_plus(made, 2)
        _add_mirrors(made)
        _add_trouble(made)
        _add_classify(made)
        made.save(folder / "1")
    return folder


def _add_mirrors(made: _Graph) -> None:
    tf = made.tf
    x = made.placeholder("float32")
    rows = tf.shape(x)[:1]
    made.signature("rows", {"x": x}, {"x": tf.identity(x), "rows": tf.repeat(rows, rows)})
    x = made.placeholder("float32", [None])
    made.signature("content", {"x": x}, {"all": tf.tile(x[None], [tf.size(x), 1])})
    a, b = made.placeholder("float32"), made.placeholder("float32")
    made.signature("pair", {"a": a, "b": b}, {"a": tf.identity(a), "b": tf.identity(b)})
    x = made.placeholder("float32", [None, None])
    length = tf.shape(x)[1:]
    made.signature("length", {"x": x}, {"y": tf.reduce_sum(x, 1), "size": tf.repeat(length, tf.shape(x)[:1])})


def _add_trouble(made: _Graph) -> None:
    tf = made.tf
    x = made.placeholder("float32")
    made.signature("checked", {"x": x}, {"y": tf.debugging.check_numerics(x, "not a number")})
    x = made.placeholder("float32")
    made.signature("total", {"x": x}, {"y": tf.reduce_sum(x)})
    x = made.placeholder("float32")
    made.signature("first_row", {"x": x}, {"y": x[:1]})
    seconds = made.placeholder("float32")
    end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), "float64")
    _, waited = tf.while_loop(
        lambda now, _: now < end,
        lambda now, work: (tf.timestamp(), work + 0 * tf.reduce_sum(tf.ones([64, 64]) @ tf.ones([64, 64]))),
        [tf.timestamp(), tf.constant(0.0)],
    )
    made.signature("slow", {"seconds": seconds}, {"seconds": seconds + waited})


def _add_classify(made: _Graph) -> None:
    serialized = made.placeholder("string", [None])
    parsed = made.tf.io.parse_example(serialized, {"x": made.tf.io.FixedLenFeature([1], "float32")})["x"]
    made.signature("classify", {"inputs": serialized}, {"scores": parsed / 2 + 2}, "classify")
