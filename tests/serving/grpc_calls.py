"""gRPC to a server under test: stubs of tensorflow-serving-api, raw bytes where wanted, and short requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
PREDICT = "/tensorflow.serving.PredictionService/Predict"
SECONDS = 60.0


class GrpcCalls:
    """The two services of one server."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)
        self.raw_predict = channel.unary_unary(PREDICT)  # bytes in, bytes out

    def predict(self, request: PredictRequest, timeout: float = SECONDS) -> PredictResponse:
        return self.prediction.Predict(request, timeout=timeout)


@contextmanager
def calls(port: int) -> Iterator[GrpcCalls]:
    """Calls to the server at `port`, over a channel of their own."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", UNLIMITED) as channel:
        yield GrpcCalls(channel)


def request(name: str | None, signature: str = "", version: int | None = None, **inputs: Any) -> PredictRequest:
    """A PredictRequest to model `name`; inputs are TensorProtos, or what `tf.make_tensor_proto` makes float ones of."""
    from tensorflow import make_tensor_proto
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    made = PredictRequest()
    if name is not None:
        made.model_spec.name = name
    if signature:
        made.model_spec.signature_name = signature
    if version is not None:
        made.model_spec.version.value = version
    for key, value in inputs.items():
        proto = value if isinstance(value, TensorProto) else make_tensor_proto(value, "float32")
        made.inputs[key].CopyFrom(proto)
    return made


def outcome(call: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """The code's name and the message with which `call` ends: OK, or an error."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def failure(call: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """The code's name and the message with which `call` fails."""
    code, message = outcome(call, *arguments, **options)
    assert code != "OK", "answered instead of failing"
    return code, message
