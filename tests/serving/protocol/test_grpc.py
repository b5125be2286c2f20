"""gRPC Predict, GetModelMetadata and GetModelStatus: §5."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from ..grpc_calls import GrpcCalls, calls, failure, request
from .cases import Case, begins, parameters
from .grpc_cases import METADATA_ERRORS, PREDICT_ERRORS, STATUS_ERRORS, TRUNCATED


@pytest.fixture
def many(grpc_in_c_api: GrpcCalls) -> GrpcCalls:
    return grpc_in_c_api


@pytest.fixture
def many_both(grpc_both: GrpcCalls) -> GrpcCalls:
    return grpc_both


@parameters(PREDICT_ERRORS)
def test_predict_error(many_both: GrpcCalls, case: Case) -> None:
    code, message = failure(many_both.predict, text_format.Parse(case.request, PredictRequest()))
    assert code == case.status, message
    assert begins(message, case.error), message


@parameters(METADATA_ERRORS)
def test_metadata_error(many: GrpcCalls, case: Case) -> None:
    sent = text_format.Parse(case.request, GetModelMetadataRequest())
    code, message = failure(many.prediction.GetModelMetadata, sent, timeout=60)
    assert code == case.status, message
    assert begins(message, case.error), message


@parameters(STATUS_ERRORS)
def test_status_error(many: GrpcCalls, case: Case) -> None:
    sent = text_format.Parse(case.request, GetModelStatusRequest())
    code, message = failure(many.model.GetModelStatus, sent, timeout=60)
    assert code == case.status, message
    assert begins(message, case.error), message


@pytest.mark.parametrize("text", TRUNCATED, ids=["ASCII", "not ASCII"])
def test_long_errors_are_cut(many: GrpcCalls, text: str) -> None:
    """§5.1: over 1024 bytes."""
    code, message = failure(many.predict, text_format.Parse(text, PredictRequest()))
    assert code == "INVALID_ARGUMENT"
    assert message.startswith("Signature input alias: x(feed name: x:0) not found")
    assert message.endswith("...TRUNCATED")
    assert 1000 < len(message.removesuffix("...TRUNCATED").encode()) <= 1024


def test_not_a_message(many: GrpcCalls) -> None:
    """Bytes that are no PredictRequest fail, and only that call."""
    code, _ = failure(many.raw_predict, b"\xff\xff\xff", timeout=60)
    assert code in ("INTERNAL", "INVALID_ARGUMENT")
    assert many.predict(request("many", x=[1.0])).outputs["y"].float_val == [2.5]


def test_unknown_method_and_service(many: GrpcCalls) -> None:
    """§5: no reflection, no SessionService."""
    for method in (
        "/tensorflow.serving.PredictionService/Nothing",
        "/tensorflow.serving.SessionService/SessionRun",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ):
        assert failure(many.channel.unary_unary(method), b"", timeout=60)[0] == "UNIMPLEMENTED"


def test_answer(many_both: GrpcCalls) -> None:
    """§5.8: typed values, and a model_spec with the resolved signature and version."""
    answer = many_both.predict(request("many", x=[[1.0], [2.0]]))
    assert (answer.model_spec.name, answer.model_spec.signature_name) == ("many", "serving_default")
    assert answer.model_spec.version.value == 1
    assert answer.model_spec.WhichOneof("version_choice") == "version"
    y = answer.outputs["y"]
    assert (list(y.float_val), y.tensor_content, y.dtype) == ([2.5, 3.0], b"", tf.float32.as_datatype_enum)
    assert [dim.size for dim in y.tensor_shape.dim] == [2, 1]


def test_version_and_signature(many: GrpcCalls) -> None:
    """§5.2."""
    answer = many.predict(request("many", "matmul", 1, x=[[1.0, 2.0, 3.0]]))
    assert (answer.model_spec.signature_name, answer.model_spec.version.value) == ("matmul", 1)
    assert list(answer.outputs["y"].float_val) == [6.0, 6.0]


@pytest.mark.parametrize("shape", [[], [0], [3], [1, 1, 1], [2, 0, 3], [1] * 10])
def test_any_shape_goes_to_the_graph(many_both: GrpcCalls, shape: list[int]) -> None:
    """§3.7: the request's shape is never compared with the signature's."""
    y = many_both.predict(request("many", x=np.ones(shape, np.float32))).outputs["y"]
    assert tf.make_ndarray(y).tolist() == np.full(shape, 2.5, np.float32).tolist()


def test_defaults_fill_missing_inputs(many_both: GrpcCalls) -> None:
    """§5.4: SignatureDef.defaults."""
    assert list(many_both.predict(request("many", "with_default", x=[2.0])).outputs["y"].float_val) == [20.0]
    given = many_both.predict(request("many", "with_default", x=[2.0], scale=3.0))
    assert list(given.outputs["y"].float_val) == [6.0]


def test_output_filter(many_both: GrpcCalls) -> None:
    """§5.7: only what is asked for; nothing asked for is all."""
    sent = request("many", "sum_and_product", a=[2.0], b=[3.0])
    assert {name: list(value.float_val) for name, value in many_both.predict(sent).outputs.items()} == {
        "sum": [5.0],
        "product": [6.0],
    }
    sent.output_filter.append("product")
    answer = many_both.predict(sent)
    assert {name: list(value.float_val) for name, value in answer.outputs.items()} == {"product": [6.0]}


def test_a_signature_without_inputs(many_both: GrpcCalls) -> None:
    y = many_both.predict(request("many", "constant")).outputs["y"]
    assert (list(y.float_val), len(y.tensor_shape.dim)) == ([1.0], 0)


@pytest.mark.parametrize(("signature", "output"), [("classify", "scores"), ("regress", "outputs")])
def test_predict_on_other_signatures(many: GrpcCalls, signature: str, output: str) -> None:
    """§5.9."""
    example = tf.train.Example(features=tf.train.Features(feature={"x": tf.train.Feature(float_list={"value": [2.0]})}))
    sent = request("many", signature, inputs=tf.make_tensor_proto([example.SerializeToString()]))
    assert list(many.predict(sent).outputs[output].float_val) == [3.0]


def test_an_example_that_is_none_is_the_clients_fault(many: GrpcCalls) -> None:
    """§4.2, §5.6: the graph's own words."""
    sent = request("many", "classify", inputs=tf.make_tensor_proto([b""]))
    code, message = failure(many.predict, sent)
    assert code == "INVALID_ARGUMENT"
    assert "Feature: x (data type: float) is required but could not be found." in message


@pytest.mark.parametrize("runtime", ["c_api", "python"])
def test_deadline(saved_models, serve, runtime: str) -> None:
    """§5.1, §5.6: the client's deadline ends the run too: nothing is left to drain when the server is told to stop."""
    server = serve("slow", saved_models.slow, f"--tensorflow_runtime={runtime}", "--drain_seconds=600")
    with calls(server.grpc_port) as slow:
        code, _ = failure(slow.predict, request("slow", "wait", seconds=600.0, x=1.0), timeout=0.3)
        assert code == "DEADLINE_EXCEEDED"
        assert list(slow.predict(request("slow", x=[1.0])).outputs["y"].float_val) == [2.5]
    server.terminate()
    assert server.exit_status(20) == 0


def test_many_megabytes(many: GrpcCalls) -> None:
    """§5.1: the server's limit is 2 GiB, not gRPC's usual 4 MiB."""
    sent = np.arange(4 << 20, dtype=np.float32)
    answer = many.predict(request("many", "echo_float", x=sent)).outputs["y"]
    assert np.array_equal(np.array(answer.float_val, np.float32), sent)


def test_metadata(many: GrpcCalls, saved_models) -> None:
    """§5.13: Any-packed SignatureDefMap as in the SavedModel; model_spec has name and version only."""
    sent = GetModelMetadataRequest(metadata_field=["signature_def"])
    sent.model_spec.name = "many"
    answer = many.prediction.GetModelMetadata(sent, timeout=60)
    assert (answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name) == (
        "many",
        1,
        "",
    )
    assert list(answer.metadata) == ["signature_def"]
    packed = answer.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    found = SignatureDefMap()
    assert packed.Unpack(found)
    saved = SavedModel.FromString((saved_models.many / "1" / "saved_model.pb").read_bytes())
    assert dict(found.signature_def) == dict(saved.meta_graphs[0].signature_def)


@pytest.mark.parametrize(
    "spec", ['name: "many"', 'name: "many" version { value: 1 }', 'name: "many" version_label: "none"']
)
def test_status(many: GrpcCalls, spec: str) -> None:
    """§5.14: as REST; a label is ignored."""
    answer = many.model.GetModelStatus(
        text_format.Parse(f"model_spec {{ {spec} }}", GetModelStatusRequest()), timeout=60
    )
    (status,) = answer.model_version_status
    assert (status.version, status.state) == (1, ModelVersionStatus.AVAILABLE)
    assert (status.status.error_code, status.status.error_message) == (0, "")


def test_a_client_that_compresses(many: GrpcCalls, many_in_c_api) -> None:
    """gRPC's own compression of messages, which any client may switch on."""
    with grpc.insecure_channel(f"127.0.0.1:{many_in_c_api.grpc_port}", compression=grpc.Compression.Gzip) as channel:
        assert list(GrpcCalls(channel).predict(request("many", x=[1.0])).outputs["y"].float_val) == [2.5]
