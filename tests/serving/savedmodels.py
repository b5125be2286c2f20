"""Small SavedModels for the tests of the model server, made with TensorFlow once in a test session.

Most are signatures of one SavedModel, ``many``, because one server serves one model; a server may run such a model on
its event loop, as there is no loop in its graph:

    serving_default     x [-1, 1] float -> y = x / 2 + 2      (two variables, so the variables file is read)
    echo_DTYPE          x -> y, any shape, for every dtype of `ECHOED`
    echo_qint8          the same for a quantised type, which cannot be sent
    to_DTYPE            x float -> y of a dtype that JSON cannot say
    sum_and_product     a, b float -> sum, product
    with_default        x float, scale float (default 10) -> y = x * scale
    matmul              x float -> y = x @ ones [3, 2]        (the graph itself refuses other shapes)
    total               x float -> y, a scalar
    first_row           x float -> all = x, first = x[:1]     (outputs of different batch size)
    text                text string -> text, text_bytes
    none, twice         x float -> y = x[:0], y = x and x again
    constant            -> y = 1                              (no input at all)
    classify, regress   serialized tf.Examples -> scores / outputs = x / 2 + 2
    classify_*          the same input for all: classes low, high; scores x, 1 - x; see `_add_classifiers`
    regress_*           the same input, too; outputs of every wrong kind, see `_add_regressors`
    odd                 x -> y, its method_name is tensorflow/serving/odd
    grow                n int32 -> y = sum(ones [n, n] @ ones [n, n])   (a small request, as much work as n says)

``slow`` has a loop: serving_default as above, and

    wait                seconds float, x float -> y = x       (answers after that many seconds)

``convolution`` takes images: x [-1, 4, 4, 1] -> y [-1, 2, 2, 1], the sums of 3 x 3 pixels.
``half_plus[N]`` is x / 2 + N alone; ``keras`` an export of Keras 3 with its preprocessing, a table and an asset inside.
"""

from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
ECHOED = ("float", "double", *INTEGERS, "bool", "string", "half", "bfloat16", "complex64")
UNWRITABLE = ("half", "bfloat16", "uint16", "complex64")

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class SavedModels:
    """Folders that hold one version, `1`, each."""

    many: Path
    slow: Path
    keras: Path
    convolution: Path
    half_plus: dict[int, Path]

    def add_version(self, base: Path, number: str, plus: int = 2) -> Path:
        """Put x / 2 + `plus` under `base` as version folder `number`, complete from the first moment it is seen."""
        aside = base.parent / f"{base.name}-{number}.tmp"
        copytree(self.half_plus[plus] / "1", aside)
        base.mkdir(parents=True, exist_ok=True)
        return aside.rename(base / number)


def make(folder: Path) -> SavedModels:
    """Write all models under `folder` (about five seconds, most of it TensorFlow's import)."""
    many, slow, keras = folder / "many", folder / "slow", folder / "keras"
    _make_many(many / "1")
    _make_slow(slow / "1")
    _make_keras(keras / "1")
    _make_convolution(folder / "convolution" / "1")
    half_plus = {plus: folder / f"half_plus_{plus}" for plus in (2, 3, 4)}
    for plus, base in half_plus.items():
        _make_half_plus(base / "1", plus)
    return SavedModels(many, slow, keras, folder / "convolution", half_plus)


class _Graph:
    """A TF1 graph in the making: placeholders by dtype and name, signatures, one save at the end."""

    def __init__(self) -> None:
        import tensorflow as tf

        self.tf, self.v1 = tf, tf.compat.v1
        self.graph = tf.Graph()
        self.signatures: dict = {}

    def placeholder(self, dtype: str, shape: list | None = None):
        return self.v1.placeholder(dtype, shape)

    def signature(self, name: str, inputs: dict, outputs: dict, method: str = "predict", defaults: dict | None = None):
        info = self.v1.saved_model.build_tensor_info
        definition = self.v1.saved_model.build_signature_def(
            {key: info(tensor) for key, tensor in inputs.items()},
            {key: info(tensor) for key, tensor in outputs.items()},
            f"tensorflow/serving/{method}",
        )
        for key, value in (defaults or {}).items():
            definition.defaults[key].CopyFrom(self.tf.make_tensor_proto(value))
        self.signatures[name] = definition

    def save(self, folder: Path) -> None:
        with self.v1.Session(graph=self.graph) as session:
            session.run(self.v1.global_variables_initializer())
            builder = self.v1.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=self.signatures)
            builder.save()


def _add_half_plus(made: _Graph, plus: float) -> None:
    half = made.v1.get_variable("half", initializer=0.5, use_resource=True)
    offset = made.v1.get_variable("plus", initializer=float(plus), use_resource=True)
    x = made.v1.placeholder("float32", [None, 1], name="x")
    made.signature("serving_default", {"x": x}, {"y": made.tf.identity(x * half + offset, name="y")})


def _make_half_plus(folder: Path, plus: float) -> None:
    made = _Graph()
    with made.graph.as_default():
        _add_half_plus(made, plus)
        made.save(folder)


def _make_many(folder: Path) -> None:
    made = _Graph()
    with made.graph.as_default():
        _add_half_plus(made, 2)
        _add_echoes(made)
        _add_arithmetic(made)
        _add_unusual_answers(made)
        _add_examples(made)
        made.save(folder)


def _make_slow(folder: Path) -> None:
    made = _Graph()
    with made.graph.as_default():
        _add_half_plus(made, 2)
        _add_wait(made)
        made.save(folder)


def _make_convolution(folder: Path) -> None:
    made = _Graph()
    with made.graph.as_default():
        x = made.placeholder("float32", [None, 4, 4, 1])
        sums = made.tf.nn.conv2d(x, made.tf.ones([3, 3, 1, 1]), strides=1, padding="VALID")
        made.signature("serving_default", {"x": x}, {"y": sums})
        made.save(folder)


def _add_echoes(made: _Graph) -> None:
    for dtype in ECHOED:
        x = made.placeholder({"float": "float32", "double": "float64"}.get(dtype, dtype))
        made.signature(f"echo_{dtype}", {"x": x}, {"y": made.tf.identity(x)})
    x = made.placeholder("qint8")
    made.signature("echo_qint8", {"x": x}, {"y": made.tf.identity(x)})
    for dtype in UNWRITABLE:
        x = made.placeholder("float32")
        made.signature(f"to_{dtype}", {"x": x}, {"y": made.tf.cast(x, dtype)})


def _add_arithmetic(made: _Graph) -> None:
    tf = made.tf
    a, b = made.placeholder("float32"), made.placeholder("float32")
    made.signature("sum_and_product", {"a": a, "b": b}, {"sum": a + b, "product": a * b})
    x, scale = made.placeholder("float32"), made.placeholder("float32")
    made.signature("with_default", {"x": x, "scale": scale}, {"y": x * scale}, defaults={"scale": 10.0})
    x = made.placeholder("float32")
    made.signature("matmul", {"x": x}, {"y": tf.matmul(x, tf.ones([3, 2]), name="product")})
    n = made.placeholder("int32")
    square = tf.ones(tf.stack([tf.reshape(n, []), tf.reshape(n, [])]))
    made.signature("grow", {"n": n}, {"y": tf.reduce_sum(square @ square)})


def _add_unusual_answers(made: _Graph) -> None:
    tf = made.tf
    x = made.placeholder("float32")
    made.signature("total", {"x": x}, {"y": tf.reduce_sum(x)})
    x = made.placeholder("float32")
    made.signature("first_row", {"x": x}, {"all": tf.identity(x), "first": x[:1]})
    x = made.placeholder("float32")
    made.signature("none", {"x": x}, {"y": x[:0]})
    made.signature("twice", {"x": x}, {"y": tf.concat([x, x], 0)})
    made.signature("constant", {}, {"y": tf.constant(1.0)})

    text = made.placeholder("string")
    made.signature("text", {"text": text}, {"text": tf.identity(text), "text_bytes": tf.identity(text)})


def _add_wait(made: _Graph) -> None:
    tf = made.tf
    seconds, x = made.placeholder("float32"), made.placeholder("float32")
    end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), "float64")
    # Each turn works a little, so that the clock is not all that is measured; a deadline can stop it between two turns.
    _, waited = tf.while_loop(
        lambda now, _: now < end,
        lambda now, work: (tf.timestamp(), work + 0 * tf.reduce_sum(tf.ones([64, 64]) @ tf.ones([64, 64]))),
        [tf.timestamp(), tf.constant(0.0)],
    )
    made.signature("wait", {"seconds": seconds, "x": x}, {"y": x + waited})


def _add_examples(made: _Graph) -> None:
    tf = made.tf
    for method, output in (("classify", "scores"), ("regress", "outputs")):
        serialized = made.placeholder("string", [None])
        parsed = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([1], "float32")})["x"]
        made.signature(method, {"inputs": serialized}, {output: parsed / 2 + 2}, method)

    serialized = made.placeholder("string", [None])
    features = {"x": tf.io.FixedLenFeature([1], "float32"), "bias": tf.io.FixedLenFeature([1], "float32", [0.0])}
    parsed = tf.io.parse_example(serialized, features)
    _add_classifiers(made, serialized, parsed["x"] + parsed["bias"])
    _add_regressors(made, serialized, parsed["x"] + parsed["bias"])
    x = made.placeholder("float32")
    made.signature("odd", {"x": x}, {"y": tf.identity(x)}, "odd")


def _add_classifiers(made: _Graph, serialized, x) -> None:
    tf = made.tf
    both = tf.concat([x, 1 - x], 1)
    labels = tf.tile([["low", "high"]], [tf.shape(x)[0], 1])
    for name, outputs in {
        "both": {"classes": labels, "scores": both},
        "labels": {"classes": labels},
        "with_more": {"scores": both, "more": tf.identity(x)},
        "of_two_sizes": {"classes": labels, "scores": x},
        "flat": {"scores": both[:, 0]},
        "double": {"scores": tf.cast(both, "float64")},
        "numbers_for_labels": {"classes": both},
        "first_row": {"scores": both[:1]},
        "first_label": {"classes": labels[:1]},
        "nothing": {"y": both},
        "three": {"classes": labels, "scores": both, "y": both},
    }.items():
        made.signature(f"classify_{name}", {"inputs": serialized}, outputs, "classify")


def _add_regressors(made: _Graph, serialized, x) -> None:
    tf = made.tf
    for name, outputs in {
        "flat": {"outputs": x[:, 0]},
        "wide": {"outputs": tf.concat([x, x], 1)},
        "scalar": {"outputs": tf.reduce_sum(x)},
        "double": {"outputs": tf.cast(x, "float64")},
        "first_row": {"outputs": x[:1]},
        "nothing": {"y": tf.identity(x)},
    }.items():
        made.signature(f"regress_{name}", {"inputs": serialized}, outputs, "regress")


def _make_keras(folder: Path) -> None:
    """Keras 3, preprocessing inside: a colour (StringLookup, its vocabulary an asset file) and a size."""
    import keras

    vocabulary = folder.parent / "colours.txt"
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("\n".join(COLOURS))
    colour = keras.Input((1,), dtype="string", name="colour")
    size = keras.Input((1,), name="size")
    known = keras.layers.StringLookup(vocabulary=str(vocabulary), output_mode="one_hot")(colour)
    scaled = keras.layers.Rescaling(0.1)(size)
    joined = keras.layers.Concatenate()([known, scaled])
    # Weights 0, 1, 2, 3 for unknown, red, green, blue; and 1 for the size: an answer one can do in one's head.
    weights = keras.initializers.Constant([[0.0], [1.0], [2.0], [3.0], [1.0]])
    price = keras.layers.Dense(1, kernel_initializer=weights)(joined)
    keras.Model({"colour": colour, "size": size}, price).export(str(folder), verbose=False)
