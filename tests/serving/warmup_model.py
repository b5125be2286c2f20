"""A SavedModel that remembers in which order it was asked, made with TensorFlow once in a test session.

Every run writes x behind what is remembered, as a digit: after runs with 1, 2 and 3 that is 123.

serving_default     x float [-1] -> digits = what is remembered now, for each row
recall              x float [-1] -> digits                              (the run does not count)
classify, regress   serialized tf.Examples with x -> scores / outputs = digits
"""

from pathlib import Path

from .savedmodels import _Graph


def make_warmup_model(folder: Path) -> Path:
    """Write the model under `folder` as version 1; the folder."""
    made = _Graph()
    with made.graph.as_default():
        tf = made.tf
        remembered = made.v1.get_variable("remembered", initializer=0.0, use_resource=True)

        def digits(x):
            return tf.zeros_like(x) + remembered.assign(remembered * 10 + tf.reduce_sum(x), read_value=True)

        x = made.placeholder("float32", [None])
        made.signature("serving_default", {"x": x}, {"digits": digits(x)})
        made.signature("recall", {"x": x}, {"digits": tf.zeros_like(x) + remembered})
        for method, output in {"classify": "scores", "regress": "outputs"}.items():
            serialized = made.placeholder("string", [None])
            parsed = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], "float32")})["x"]
            made.signature(method, {"inputs": serialized}, {output: digits(parsed)}, method)
        made.save(folder / "1")
    return folder
