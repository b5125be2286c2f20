"""Small TFLite models for the tests of the model server, made with TensorFlow's converter once in a test session.

half        x [-1, 1] float -> x / 2 + 2
pair        a, b [-1, 2] float -> a + b, a * b
text        t [-1] string -> t == "a", t[:1]
dense       x [-1, 3] float -> x @ WEIGHTS                  (also as dense_half: its weights are of 16 bits)
dense_int8  the same quantised, int8 in and out
count       n [] int32 -> n, counted up to in a loop        (takes as long as n says)
recurrent   x [1, 4, 2] float -> what an LSTM layer of tf_keras makes of it; it keeps a state
large       x [1, 4096] float -> x @ ones [4096, 4096]      (64 MiB of weights)
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
_METADATA = "signature_defs_metadata"


def make(folder: Path) -> Mapping[str, Path]:
    """Write all models under `folder`: name -> a folder that holds one version, `1`."""
    import tensorflow as tf

    functions = _functions(tf)
    files = {name: _converted(tf, functions[name]) for name in functions}
    files["dense_half"] = _converted(tf, functions["dense"], _in_16_bits)
    files["dense_int8"] = _converted(tf, functions["dense"], _in_8_bits)
    files["recurrent"] = _recurrent(tf, folder / "keras")
    for name, content in files.items():
        write(folder / name / "1", content)
    return {name: folder / name for name in files}


def write(version: Path, content: bytes) -> None:
    """Put a ``.tflite`` file into the version's folder, complete from the first moment it is seen."""
    version.mkdir(parents=True, exist_ok=True)
    aside = version / "model.tmp"
    aside.write_bytes(content)
    aside.rename(version / "model.tflite")


def _functions(tf: Any) -> dict[str, Any]:
    def spec(name: str, shape: list, dtype: Any = tf.float32) -> Any:
        return tf.TensorSpec(shape, dtype, name)

    def function(*inputs: Any) -> Any:
        return tf.function(input_signature=inputs)

    weights, ones = tf.constant(WEIGHTS), tf.ones([4096, 4096])

    @function(spec("x", [None, 1]))
    def half(x):
        return {"y": x / 2 + 2}

    @function(spec("a", [None, 2]), spec("b", [None, 2]))
    def pair(a, b):
        return {"sum": a + b, "product": a * b}

    @function(spec("t", [None], tf.string))
    def text(t):
        return {"is_a": tf.equal(t, "a"), "first": tf.gather(t, [0])}

    @function(spec("x", [None, 3]))
    def dense(x):
        return {"y": x @ weights}

    @function(spec("n", [], tf.int32))
    def count(n):
        return {"n": tf.while_loop(lambda i: i < n, lambda i: [i + 1], [tf.constant(0)])[0]}

    @function(spec("x", [1, 4096]))
    def large(x):
        return {"y": x @ ones}

    return {"half": half, "pair": pair, "text": text, "dense": dense, "count": count, "large": large}


def _converted(tf: Any, function: Any, prepare: Any = None) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
        if prepare:
            prepare(tf, converter)
        return converter.convert()


def _recurrent(tf: Any, aside: Path) -> bytes:
    import tf_keras

    model = tf_keras.Sequential([tf_keras.layers.LSTM(3, input_shape=(4, 2), kernel_initializer="ones")])
    called = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec([1, 4, 2], name="x"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(aside), save_format="tf", signatures=called)
        return tf.lite.TFLiteConverter.from_saved_model(str(aside)).convert()


def _in_16_bits(tf: Any, converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _in_8_bits(tf: Any, converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[np.array([[i, i, i]], np.float32)] for i in (-1, 0, 1)])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


def tensor_names(content: bytes) -> tuple[list[str], list[str]]:
    """The names of a model's input and output tensors."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    details = interpreter.get_input_details(), interpreter.get_output_details()
    return tuple([tensor["name"] for tensor in tensors] for tensors in details)


def quantised(content: bytes, x: np.ndarray) -> tuple[np.ndarray, Any]:
    """`x` as a quantised model wants it, and a function that turns what it answers into numbers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    (scale, zero), (scale_out, zero_out) = (
        details[0]["quantization"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    return np.round(x / scale + zero).astype(np.int8), lambda y: (np.asarray(y, np.float32) - zero_out) * scale_out


def with_metadata(content: bytes, buffer: bytes) -> bytes:
    """The same model with `buffer` as the metadata in which TensorFlow Serving looks for signatures."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    model.metadata = [*(model.metadata or []), schema.MetadataT(_METADATA, len(model.buffers))]
    model.buffers.append(schema.BufferT(np.frombuffer(buffer, np.uint8)))
    return _packed(model)


def as_of_old(content: bytes) -> bytes:
    """The same model as early converters wrote it: tensors without the ``:0`` of their names."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = tensor.name.decode().removesuffix(":0")
    return _packed(model)


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def signatures(definitions: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, str]]]) -> bytes:
    """A metadata buffer: name -> (method, inputs, outputs), these name -> tensor."""
    from flatbuffers import flexbuffers
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

    builder = flexbuffers.Builder()
    with builder.Map():
        for name, (method, inputs, outputs) in definitions.items():
            definition = SignatureDef(method_name=f"tensorflow/serving/{method}")
            for key, tensor in inputs.items():
                definition.inputs[key].name = tensor
            for key, tensor in outputs.items():
                definition.outputs[key].name = tensor
            builder.Key(name)
            builder.String(_AnyBytes(definition.SerializeToString()))
    return bytes(builder.Finish())


class _AnyBytes:
    """Bytes where the builder asks for text; TensorFlow's own writer stores the messages as strings, too."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def encode(self, _: str) -> bytes:
        return self._content
