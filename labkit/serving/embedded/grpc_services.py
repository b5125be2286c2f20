"""The gRPC services: PredictionService and ModelService. Codes and messages are TensorFlow Serving's."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from labkit.serving.embedded import tensor_proto
from labkit.serving.embedded.dispatch import Dispatcher
from labkit.serving.embedded.predict import predict, signature_of
from labkit.serving.embedded.servable import DEFAULT_SIGNATURE, Servable
from labkit.serving.embedded.session import RunLimits
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.status_answers import status_message
from labkit.serving.embedded.versions import ModelManager

if TYPE_CHECKING:
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

logger = logging.getLogger(__name__)

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", (1 << 31) - 1),
    ("grpc.max_send_message_length", (1 << 31) - 1),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared
]
_LONGEST_MESSAGE = 1024
_STATUS_CODES = {status.value[0]: status for status in grpc.StatusCode}

Context = grpc.aio.ServicerContext
Method = Callable[[bytes, Context], Awaitable[bytes]]


class GrpcApi(grpc.GenericRpcHandler):
    """Answers gRPC calls from the models that `manager` keeps. Messages arrive and leave as bytes."""

    def __init__(self, manager: ModelManager, dispatcher: Dispatcher, *, tensor_content: bool) -> None:
        self._manager = manager
        self._dispatcher = dispatcher
        self._tensor_content = tensor_content
        methods: dict[str, Method] = {
            "/tensorflow.serving.PredictionService/Predict": self._predict,
            "/tensorflow.serving.PredictionService/GetModelMetadata": self._metadata,
            "/tensorflow.serving.ModelService/GetModelStatus": self._status,
        }
        self._handlers = {
            path: grpc.unary_unary_rpc_method_handler(_answering(method)) for path, method in methods.items()
        }

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        """The handler of one call; None makes gRPC answer UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)

    async def _predict(self, message: bytes, context: Context) -> bytes:
        from tensorflow_serving.apis.predict_pb2 import PredictRequest

        request = _parsed(PredictRequest, message)
        servable = self._servable(request)

        def answer(limits: RunLimits) -> bytes:
            return _answer_predict(request, servable, limits, self._tensor_content)

        size = max(len(message), tensor_proto.declared_bytes(request.inputs.values()))
        return await self._dispatcher.run(servable, size, _milliseconds_left(context), answer)

    async def _metadata(self, message: bytes, context: Context) -> bytes:
        from tensorflow_serving.apis.get_model_metadata_pb2 import (
            GetModelMetadataRequest,
            GetModelMetadataResponse,
            SignatureDefMap,
        )

        request = _parsed(GetModelMetadataRequest, message)
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid_argument(f"Metadata field {field} is not supported")
        servable = self._servable(request)
        response = GetModelMetadataResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(SignatureDefMap(signature_def=servable.definitions))
        return response.SerializeToString()

    async def _status(self, message: bytes, context: Context) -> bytes:
        from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest

        request = _parsed(GetModelStatusRequest, message)
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        versions = self._manager.statuses(request.model_spec.name, _version(request.model_spec))
        return status_message(versions).SerializeToString()

    def _servable(self, request: Any) -> Servable:
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        if spec.WhichOneof("version_choice") == "version_label":
            raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        return self._manager.servable(spec.name, _version(spec))


def _version(spec: "ModelSpec") -> int | None:
    return spec.version.value if spec.WhichOneof("version_choice") == "version" else None


def _milliseconds_left(context: Context) -> int:
    seconds = context.time_remaining()
    return 0 if seconds is None else max(1, min(int(seconds * 1000), (1 << 31) - 1))


def _parsed(kind: type, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise invalid_argument(f"The message is not a {kind.__name__}: {error}") from None


def _answer_predict(request: "PredictRequest", servable: Servable, limits: RunLimits, tensor_content: bool) -> bytes:
    from tensorflow_serving.apis.predict_pb2 import PredictResponse

    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature_of(servable, signature_name)  # said before the inputs are looked at
    inputs = {name: tensor_proto.to_array(name, proto) for name, proto in request.inputs.items()}
    outputs = predict(
        servable, inputs, signature_name=signature_name, output_filter=request.output_filter, limits=limits
    )
    response = PredictResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.model_spec.signature_name = signature_name
    for name, array in outputs.items():
        tensor_proto.fill(response.outputs[name], array, as_content=tensor_content)
    return response.SerializeToString()


def _answering(method: Method) -> Method:
    """`method` with every error turned into a gRPC status."""

    async def answer(message: bytes, context: Context) -> bytes:
        try:
            return await method(message, context)
        except StatusError as error:
            code, details = error.code, error.message
        except Exception:
            logger.exception("A call failed")
            code, details = Code.INTERNAL, "The server failed on this request; its log has the details"
        if len(details) > _LONGEST_MESSAGE:
            details = details[:_LONGEST_MESSAGE] + "...TRUNCATED"
        await context.abort(_STATUS_CODES[code], details.encode(errors="replace").decode())
        raise AssertionError("abort raises")

    return answer
