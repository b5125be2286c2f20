"""TensorProtos in and out over gRPC: §5.5, §5.8."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from ..grpc_calls import GrpcCalls, request
from ..savedmodels import ECHOED
from .grpc_cases import packed

VALUES = {
    "float": [1.5, -0.0, np.inf],
    "double": [0.1, 1e300, -2.0],
    "half": [1.5, -2.0, 65504.0],
    "bfloat16": [1.5, -2.0, 3.0],
    "int8": [-128, 0, 127],
    "int16": [-32768, 0, 32767],
    "int32": [-(2**31), 0, 2**31 - 1],
    "int64": [-(2**63), 0, 2**63 - 1],
    "uint8": [0, 128, 255],
    "uint16": [0, 40000, 65535],
    "uint32": [0, 2**31, 2**32 - 1],
    "uint64": [0, 2**63, 2**64 - 1],
    "bool": [True, False, True],
    "string": [b"", b"hi", b"\x00\xff"],
    "complex64": [1 + 2j, -1j, 0],
}
OWN_FIELD = {"half": "half_val", "bfloat16": "half_val", "complex64": "scomplex_val"}
OWN_FIELD |= dict.fromkeys(["int8", "int16", "int32", "uint8", "uint16"], "int_val")
TYPED_FIELD = {dtype: OWN_FIELD.get(dtype, f"{dtype}_val") for dtype in VALUES}


def _numpy(dtype: str) -> np.ndarray:
    kind = {"float": "float32", "double": "float64", "string": "S2"}.get(dtype, dtype)
    if dtype == "string":
        return np.array(VALUES[dtype], object)
    return np.array(VALUES[dtype], tf.as_dtype(kind).as_numpy_dtype)


def _proto(values: np.ndarray, form: str) -> TensorProto:
    tensor = tf.constant(values) if values.dtype == object else tf.constant(values, tf.as_dtype(values.dtype))
    made = tf.make_tensor_proto(tensor.numpy(), tensor.dtype)  # content for numbers, typed values for strings
    if form == "content" or values.dtype == object:
        return made
    typed = type(made)(dtype=made.dtype, tensor_shape=made.tensor_shape)
    kind = tensor.dtype.name
    if kind in ("float16", "bfloat16"):
        typed.half_val.extend(values.view(np.uint16).tolist())
    elif kind == "complex64":
        typed.scomplex_val.extend(values.view(np.float32).tolist())
    else:
        field = {"float32": "float_val", "float64": "double_val"}.get(kind) or TYPED_FIELD[kind]
        getattr(typed, field).extend(values.tolist())
    return typed


@pytest.mark.parametrize("form", ["typed", "content"])
@pytest.mark.parametrize("dtype", ECHOED)
def test_every_dtype(grpc_both: GrpcCalls, dtype: str, form: str) -> None:
    """§5.5, §5.8: in as typed values or as content, out as typed values, bit for bit."""
    values = _numpy(dtype)
    y = grpc_both.predict(request("many", f"echo_{dtype}", x=_proto(values, form))).outputs["y"]
    assert y.tensor_content == b""
    set_fields = [field.name for field, _ in y.ListFields() if field.name.endswith("_val")]
    assert set_fields == [TYPED_FIELD[dtype]]
    if dtype == "string":
        assert list(y.string_val) == VALUES[dtype]
    else:
        assert tf.make_ndarray(y).tobytes() == values.tobytes()


def test_string_scalar(grpc_both: GrpcCalls) -> None:
    y = grpc_both.predict(request("many", "echo_string", x=tf.make_tensor_proto(b"hi"))).outputs["y"]
    assert (list(y.string_val), len(y.tensor_shape.dim)) == ([b"hi"], 0)


SHORT = {
    "fewer values repeat the last": ("DT_FLOAT", "float_val: 1 float_val: 2", "float_val", [1.0, 2.0, 2.0]),
    "one value fills": ("DT_INT64", "int64_val: 7", "int64_val", [7, 7, 7]),
    "no value is zeros": ("DT_FLOAT", "", "float_val", [0.0, 0.0, 0.0]),
    "no string is empty ones": ("DT_STRING", "", "string_val", [b"", b"", b""]),
    "fewer strings repeat the last": ("DT_STRING", 'string_val: "a" string_val: "b"', "string_val", [b"a", b"b", b"b"]),
    "extra values are ignored": ("DT_INT32", "int_val: 1 int_val: 2 int_val: 3 int_val: 4", "int_val", [1, 2, 3]),
    "uint8 wraps": ("DT_UINT8", "int_val: 300 int_val: -1 int_val: 5", "int_val", [44, 255, 5]),
    "int8 wraps": ("DT_INT8", "int_val: 300 int_val: -129 int_val: 5", "int_val", [44, 127, 5]),
    "bools": ("DT_BOOL", "bool_val: true bool_val: false", "bool_val", [True, False, False]),
}


@pytest.mark.parametrize("title", SHORT)
def test_typed_values(grpc_both: GrpcCalls, title: str) -> None:
    """§5.5."""
    dtype, values, field, expected = SHORT[title]
    signature = f"echo_{tf.as_dtype(types_pb2.DataType.Value(dtype)).name}"
    signature = {"echo_float32": "echo_float"}.get(signature, signature)
    text = (
        f'model_spec {{ name: "many" signature_name: "{signature}" }} '
        f'inputs {{ key: "x" value {{ dtype: {dtype} tensor_shape {{ dim {{ size: 3 }} }} {values} }} }}'
    )
    answer = grpc_both.predict(text_format.Parse(text, PredictRequest()))
    assert list(getattr(answer.outputs["y"], field)) == expected


def test_packed_strings(grpc_both: GrpcCalls) -> None:
    """§5.5: strings in tensor_content, as C++ clients may send them."""
    sent = text_format.Parse(packed(r"\001\203\001a" + "b" * 131), PredictRequest())
    assert list(grpc_both.predict(sent).outputs["y"].string_val) == [b"a", b"b" * 131]
