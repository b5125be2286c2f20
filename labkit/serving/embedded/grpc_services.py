"""gRPC's side of the server: which method answers which call, and errors as statuses."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from labkit.serving.embedded.dispatch import Dispatcher
from labkit.serving.embedded.grpc_requests import Context
from labkit.serving.embedded.manager import ModelManager
from labkit.serving.embedded.model_service import ModelService
from labkit.serving.embedded.prediction_service import PredictionService
from labkit.serving.embedded.status import Code, StatusError

if TYPE_CHECKING:
    from labkit.serving.embedded.metrics import Metrics

logger = logging.getLogger(__name__)

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", (1 << 31) - 1),
    ("grpc.max_send_message_length", (1 << 31) - 1),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared
]
_LONGEST_MESSAGE = 1024  # bytes
_STATUS_CODES = {status.value[0]: status for status in grpc.StatusCode}

Method = Callable[[bytes, Context], Awaitable[bytes]]


class GrpcApi(grpc.GenericRpcHandler):
    """Answers gRPC calls from the models that `manager` keeps. Messages arrive and leave as bytes."""

    def __init__(
        self,
        manager: ModelManager,
        dispatcher: Dispatcher,
        *,
        tensor_content: bool,
        reload_seconds: float = 0.0,
        metrics: "Metrics | None" = None,
    ) -> None:
        """Ready to be added to a server.

        Args:
            manager: keeps the models.
            dispatcher: runs the requests.
            tensor_content: Predict answers with tensor_content instead of typed fields.
            reload_seconds: longest wait for the new models of a reload; 0 for no limit but the client's.
            metrics: counts Predict, Classify and Regress.
        """
        prediction = PredictionService(manager, dispatcher, tensor_content=tensor_content, metrics=metrics)
        models = ModelService(manager, reload_seconds=reload_seconds)
        methods: dict[str, Method] = {
            "PredictionService/Predict": prediction.predict,
            "PredictionService/Classify": prediction.classify,
            "PredictionService/Regress": prediction.regress,
            "PredictionService/MultiInference": prediction.multi_inference,
            "PredictionService/GetModelMetadata": prediction.metadata,
            "ModelService/GetModelStatus": models.status,
            "ModelService/HandleReloadConfigRequest": models.reload,
        }
        self._handlers = {
            f"/tensorflow.serving.{name}": grpc.unary_unary_rpc_method_handler(answering(method))
            for name, method in methods.items()
        }

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        """The handler of one call; None makes gRPC answer UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)


def answering(method: Method) -> Method:
    """`method` with every error turned into a gRPC status."""

    async def answer(message: bytes, context: Context) -> bytes:
        try:
            return await method(message, context)
        except StatusError as error:
            code, details = error.code, error.message
        except Exception:
            logger.exception("A call failed")
            code, details = Code.INTERNAL, "The server failed on this request; its log has the details"
        await context.abort(_STATUS_CODES[code], _cut(details))
        raise AssertionError("abort raises")

    return answer


def _cut(details: str) -> str:
    """`details` in as many bytes as upstream sends; headers have little room, and each byte may take three in them."""
    written = details.encode(errors="replace")
    if len(written) <= _LONGEST_MESSAGE:
        return written.decode()
    return written[:_LONGEST_MESSAGE].decode(errors="ignore") + "...TRUNCATED"
