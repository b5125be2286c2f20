"""SavedModels of many makes, for the tests of what a model server can load; made once in a test session.

In each, serving_default is x float -> x * 3 + 7 unless its function says otherwise.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .savedmodels import _Graph

WORDS = ("red", "green", "blue")


def make(folder: Path) -> dict[str, Path]:
    """Write all models under `folder`: name -> a folder that holds one version, `1`."""
    for name, write in KINDS.items():
        write(folder / name / "1")
    return {name: folder / name for name in KINDS}


def _saved(folder: Path, build: Callable[[_Graph], dict[str, Any] | None], *, as_text: bool = False) -> None:
    """A SavedModel as TensorFlow 1 wrote them; `build` returns more arguments for its builder."""
    made = _Graph()
    with made.graph.as_default():
        more = build(made) or {}
        with made.v1.Session(graph=made.graph, config=made.v1.ConfigProto(allow_soft_placement=True)) as session:
            session.run(made.v1.global_variables_initializer())
            builder = made.v1.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=made.signatures, **more)
            builder.save(as_text)


def _line(made: _Graph, scale: Any, offset: Any) -> None:
    x = made.placeholder("float32", [None])
    made.signature("serving_default", {"x": x}, {"y": x * scale + offset})


def _reference_variables(folder: Path) -> None:
    """Variables of TensorFlow 1's first kind."""

    def build(made: _Graph) -> None:
        variables = [
            made.v1.get_variable(name, initializer=value, use_resource=False)
            for name, value in (("scale", 3.0), ("offset", 7.0))
        ]
        _line(made, *variables)
        assert {node.op for node in made.graph.as_graph_def().node} >= {"VariableV2", "Assign"}

    _saved(folder, build)


def _main_op(folder: Path) -> None:
    """The offset is 0 as saved; an operation sets it when the model is loaded."""

    def build(made: _Graph) -> dict[str, Any]:
        offset = made.v1.get_variable("offset", initializer=0.0, use_resource=False)
        _line(made, 3.0, offset)
        return {"main_op": made.v1.assign(offset, 7.0).op}

    _saved(folder, build)


def _legacy_init_op(folder: Path) -> None:
    """The same, the operation where the first versions of TensorFlow 1 wrote it down."""
    _main_op(folder)

    def rename(graph: Any) -> None:
        graph.collection_def["legacy_init_op"].CopyFrom(graph.collection_def.pop("saved_model_main_op"))

    edit(folder, rename)


def _constants_only(folder: Path) -> None:
    """No variables, and no folder for them."""
    _saved(folder, lambda made: _line(made, 3.0, 7.0))
    shutil.rmtree(folder / "variables", ignore_errors=True)


def _text_format(folder: Path) -> None:
    """saved_model.pbtxt"""

    def build(made: _Graph) -> None:
        _line(made, made.v1.get_variable("scale", initializer=3.0, use_resource=True), 7.0)

    _saved(folder, build, as_text=True)
    assert not (folder / "saved_model.pb").exists()


def _on_a_gpu(folder: Path) -> None:
    """Made on a machine with a GPU: every operation is pinned to it."""

    def build(made: _Graph) -> None:
        with made.graph.device("/device:GPU:0"):
            _line(made, made.v1.get_variable("scale", initializer=3.0, use_resource=True), 7.0)
        assert {"/device:GPU:0"} <= {operation.device for operation in made.graph.get_operations()}

    _saved(folder, build)


def _vocabulary_file(folder: Path) -> None:
    """words string -> the line it stands on, -1 if on none; the file is an asset. No serving_default, two others."""
    outside = folder.parent / "words.txt"
    outside.parent.mkdir(parents=True, exist_ok=True)
    outside.write_text("\n".join(WORDS))

    def build(made: _Graph) -> dict[str, Any]:
        tf, v1 = made.tf, made.v1
        file = tf.constant(str(outside))
        whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(file, tf.string, whole, tf.int64, number), default_value=-1
        )
        words = made.placeholder("string", [None])
        made.signature("number", {"words": words}, {"line": table.lookup(words)})
        made.signature("known", {"words": words}, {"known": table.lookup(words) >= 0})
        assets = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
        return {"main_op": v1.tables_initializer(), "assets_collection": assets}

    _saved(folder, build)
    outside.unlink()


def _tensorflow_2(folder: Path) -> None:
    """A tf.Module: a variable, a branch, a loop, a table; two signatures."""
    import tensorflow as tf

    class Line(tf.Module):
        def __init__(self) -> None:
            self.scale = tf.Variable(3.0)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(WORDS, tf.range(len(WORDS), dtype=tf.int64)), -1
            )

        @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
        def line(self, x):
            if tf.size(x) > 2:
                return {"y": x * self.scale + 7}
            added = x * self.scale
            for _ in tf.range(7):
                added += 1
            return {"y": added}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def number(self, words):
            return {"number": self.table.lookup(words)}

    made = Line()
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.line, "number": made.number})


def _xla(folder: Path) -> None:
    """A function that is to be compiled by XLA."""
    import tensorflow as tf

    class Line(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], name="x")], jit_compile=True)
        def line(self, x):
            return {"y": x * 3 + 7}

    made = Line()
    tf.saved_model.save(made, str(folder), signatures={"serving_default": made.line})


def _keras_layers(layers: Any) -> list[Any]:
    return [layers.Dense(1, kernel_initializer="ones", name="sum"), layers.Rescaling(3.0, 7.0, name="line")]


def _keras_3(folder: Path) -> None:
    """Keras 3, model.export; x of three columns -> their sum * 3 + 7."""
    import keras

    keras.Sequential([keras.Input((3,), name="x"), *_keras_layers(keras.layers)]).export(str(folder), verbose=False)


def _keras_3_text(folder: Path) -> None:
    """Keras 3 with TextVectorization: a text -> the numbers of its words."""
    import keras

    text = keras.Input((1,), dtype="string", name="text")
    words = keras.layers.TextVectorization(vocabulary=list(WORDS), output_sequence_length=4)(text)
    keras.Model(text, words).export(str(folder), verbose=False)


def _keras_2(folder: Path) -> None:
    """tf_keras, model.save: what Keras 2 wrote for years. The output has the last layer's name."""
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((3,), name="x"), *_keras_layers(tf_keras.layers)])
    model.save(str(folder), save_format="tf")


def _keras_2_exported(folder: Path) -> None:
    """tf_keras, model.export, with StringLookup from a vocabulary file."""
    import tf_keras

    vocabulary = folder.parent / "words.txt"
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("\n".join(WORDS))
    word = tf_keras.Input((1,), dtype="string", name="word")
    number = tf_keras.layers.StringLookup(vocabulary=str(vocabulary))(word)
    tf_keras.Model(word, number).export(str(folder))
    vocabulary.unlink()


KINDS: dict[str, Callable[[Path], None]] = {
    "reference_variables": _reference_variables,
    "main_op": _main_op,
    "legacy_init_op": _legacy_init_op,
    "constants_only": _constants_only,
    "text_format": _text_format,
    "on_a_gpu": _on_a_gpu,
    "vocabulary_file": _vocabulary_file,
    "tensorflow_2": _tensorflow_2,
    "xla": _xla,
    "keras_3": _keras_3,
    "keras_3_text": _keras_3_text,
    "keras_2": _keras_2,
    "keras_2_exported": _keras_2_exported,
}


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    """Apply `change` to the first MetaGraphDef of the SavedModel in `folder`."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = folder / "saved_model.pb"
    model = SavedModel.FromString(file.read_bytes())
    change(model.meta_graphs[0])
    file.write_bytes(model.SerializeToString())


def several_graphs(folder: Path, tags: Sequence[Sequence[str]]) -> None:
    """Write a SavedModel with a MetaGraphDef for each of `tags`: x -> x + its place among them."""
    import tensorflow as tf

    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(folder))
    for place, of_graph in enumerate(tags):
        made = _Graph()
        with made.graph.as_default(), v1.Session(graph=made.graph) as session:
            # All graphs share the variables that were saved with the first.
            _line(made, v1.get_variable("one", initializer=1.0, use_resource=True), float(place))
            session.run(v1.global_variables_initializer())
            if place == 0:
                builder.add_meta_graph_and_variables(session, of_graph, signature_def_map=made.signatures)
            else:
                builder.add_meta_graph(of_graph, signature_def_map=made.signatures)
    builder.save()
