"""Whatever is sent over gRPC, the server stands, blames who is to blame, and answers the next good request."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.example.feature_pb2 import Feature, Features, FloatList
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from ..grpc_calls import GrpcCalls, calls, failure, outcome, request
from ..savedmodels import ECHOED
from ..served import Served
from .profile import fuzzed

FAULTS = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}


@pytest.fixture(scope="module")
def grpc_many(many_in_c_api: Served):
    with calls(many_in_c_api.grpc_port) as made:
        yield made


def assert_grpc_fair(grpc_many: GrpcCalls, sent: PredictRequest) -> None:
    code, message = outcome(grpc_many.predict, sent)
    assert code in FAULTS | {"OK"}, f"{code}: {message}\n{sent}"
    assert code == "OK" or message
    assert list(grpc_many.predict(request("many", x=[1.0])).outputs["y"].float_val) == [2.5]


@fuzzed
@given(body=st.binary(max_size=200))
def test_any_bytes_as_a_message(grpc_many: GrpcCalls, body: bytes) -> None:
    """Bytes that are a message are answered as one; others fail in the transport's way (INTERNAL), alone."""
    code, _ = failure(grpc_many.raw_predict, body, timeout=60)
    assert code in FAULTS | {"INTERNAL"}
    assert list(grpc_many.predict(request("many", x=[1.0])).outputs["y"].float_val) == [2.5]


example_bytes = st.binary(max_size=20) | st.just(
    Example(features=Features(feature={"x": Feature(float_list=FloatList(value=[1.0]))})).SerializeToString()
)


@st.composite
def example_inputs(draw: st.DrawFn) -> Input:
    """An Input with examples, some of which carry unknown fields; with or without a context."""
    message, examples = Input(), [_parsed(data) for data in draw(st.lists(example_bytes, max_size=4))]
    if draw(st.booleans()):
        message.example_list_with_context.context.CopyFrom(_parsed(draw(example_bytes)))
        message.example_list_with_context.examples.extend(examples)
    else:
        message.example_list.examples.extend(examples)
    return message


def _parsed(data: bytes) -> Example:
    try:
        return Example.FromString(data)
    except DecodeError:
        return Example()


names = st.sampled_from(
    ["classify", "classify_both", "classify_wide", "regress", "regress_flat", "serving_default", "foo"]
)
methods = st.sampled_from(
    ["tensorflow/serving/classify", "tensorflow/serving/regress", "tensorflow/serving/predict", ""]
)


@fuzzed
@given(input=example_inputs(), tasks=st.lists(st.tuples(names, methods), min_size=1, max_size=3))
def test_any_examples(grpc_many: GrpcCalls, input: Input, tasks: list[tuple[str, str]]) -> None:
    """§5.10 to §5.12."""
    spec = ModelSpec(name="many", signature_name=tasks[0][0])
    several = MultiInferenceRequest(input=input)
    for name, method in tasks:
        several.tasks.add(model_spec=ModelSpec(name="many", signature_name=name), method_name=method)
    for call, sent in (
        (grpc_many.prediction.Classify, ClassificationRequest(model_spec=spec, input=input)),
        (grpc_many.prediction.Regress, RegressionRequest(model_spec=spec, input=input)),
        (grpc_many.prediction.MultiInference, several),
    ):
        code, message = outcome(call, sent, timeout=60)
        assert code in FAULTS | {"OK", "UNIMPLEMENTED"}, f"{code}: {message}\n{sent}"
    assert list(grpc_many.predict(request("many", x=[1.0])).outputs["y"].float_val) == [2.5]


sizes = st.one_of(st.integers(-1, 4), st.sampled_from([2**31, 2**40, 2**62, 2**63 - 1, -(2**63)]))
DTYPES = [types_pb2.DataType.Value(f"DT_{name.upper()}") for name in ECHOED]
int32, int64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
VALUES = {
    "float_val": st.floats(width=32),
    "double_val": st.floats(),
    "int_val": int32,
    "int64_val": int64,
    "string_val": st.binary(max_size=5),
    "bool_val": st.booleans(),
    "half_val": int32,
    "scomplex_val": st.floats(width=32),
    "uint32_val": st.integers(0, 2**32 - 1),
    "uint64_val": st.integers(0, 2**64 - 1),
}


@st.composite
def lying_tensors(draw: st.DrawFn) -> TensorProto:
    """TensorProtos whose dtype, shape, values and content need not agree."""
    tensor = TensorProto(dtype=draw(st.one_of(st.sampled_from(DTYPES), st.integers(0, 140))))
    tensor.tensor_shape.unknown_rank = draw(st.integers(0, 9)) == 0
    for size in draw(st.lists(sizes, max_size=4)):
        tensor.tensor_shape.dim.add(size=size)
    if draw(st.booleans()):
        tensor.tensor_content = draw(st.binary(max_size=40))
    for field, values in VALUES.items():
        if draw(st.integers(0, 3)) == 0:
            getattr(tensor, field).extend(draw(st.lists(values, max_size=4)))
    return tensor


echoes = st.sampled_from([*(f"echo_{dtype}" for dtype in ECHOED), "matmul", "total", ""])
input_names = st.sampled_from(["x", "a", "b", "", "scale"]) | st.text(max_size=3)


@fuzzed
@given(tensor=lying_tensors(), signature=echoes)
def test_lying_tensors(grpc_many: GrpcCalls, tensor: TensorProto, signature: str) -> None:
    """§5.5."""
    assert_grpc_fair(grpc_many, request("many", signature, x=tensor))


@fuzzed
@given(
    inputs=st.dictionaries(input_names, lying_tensors(), max_size=3),
    signature=st.sampled_from(["sum_and_product", "with_default", "", "constant"]) | st.text(max_size=5),
    version=st.none() | int64 | st.just(1),
    output_filter=st.lists(st.sampled_from(["y", "sum", "product", ""]), max_size=2),
)
def test_lying_requests(
    grpc_many: GrpcCalls, inputs: dict, signature: str, version: int | None, output_filter: list[str]
) -> None:
    sent = request("many", signature, version)
    for name, tensor in inputs.items():
        sent.inputs[name].CopyFrom(tensor)
    sent.output_filter.extend(output_filter)
    assert_grpc_fair(grpc_many, sent)


HUGE = {
    "2^40 floats without a value": ("DT_FLOAT", [2**40], ""),
    "2^40 floats of one value": ("DT_FLOAT", [2**40], "float"),
    "2^40 empty strings": ("DT_STRING", [2**40], ""),
    "4 million empty strings": ("DT_STRING", [4_000_000], ""),
    "2^62 x 4": ("DT_FLOAT", [2**62, 4], ""),
    "2^32 x 2^32": ("DT_INT8", [2**32, 2**32], ""),
    "300 dimensions": ("DT_FLOAT", [1] * 300, "float"),
}


@pytest.mark.parametrize("title", HUGE)
def test_huge_tensors_in_small_messages(grpc_many: GrpcCalls, title: str) -> None:
    """§5.5 repeats the last value: a message of a few bytes may ask for more memory than there is. It is refused."""
    dtype, dims, value = HUGE[title]
    tensor = TensorProto(dtype=types_pb2.DataType.Value(dtype))
    for size in dims:
        tensor.tensor_shape.dim.add(size=size)
    if value:
        tensor.float_val.append(1.0)
    signature = {"DT_STRING": "echo_string", "DT_INT8": "echo_int8"}.get(dtype, "echo_float")
    code, message = failure(grpc_many.predict, request("many", signature, x=tensor))
    assert code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), message
    assert message
    assert list(grpc_many.predict(request("many", x=[1.0])).outputs["y"].float_val) == [2.5]


def test_a_huge_shape_without_elements(grpc_many: GrpcCalls) -> None:
    """TensorFlow takes [0, 2^62, 2^62] for an empty tensor; to refuse it is fair too."""
    tensor = TensorProto(dtype=types_pb2.DT_FLOAT)
    for size in (0, 2**62, 2**62):
        tensor.tensor_shape.dim.add(size=size)
    assert_grpc_fair(grpc_many, request("many", "echo_float", x=tensor))
