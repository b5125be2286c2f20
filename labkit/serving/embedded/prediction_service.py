"""PredictionService: messages in, messages out, as bytes. What they mean stands in `predict` and `examples`."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from labkit.serving.embedded import tensor_proto
from labkit.serving.embedded.dispatch import Dispatcher
from labkit.serving.embedded.grpc_requests import Context, check_spec, milliseconds_left, parsed, servable
from labkit.serving.embedded.manager import ModelManager
from labkit.serving.embedded.predict_message import predict_steps
from labkit.serving.embedded.servable import Servable
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.steps import Steps, StepTimes, timed

if TYPE_CHECKING:
    from tensorflow_serving.apis.model_pb2 import ModelSpec

    from labkit.serving.embedded.metrics import Metrics


class PredictionService:
    """The methods of `tensorflow.serving.PredictionService`.

    Each raises StatusError with the code and message that the client is to get.
    """

    def __init__(
        self, manager: ModelManager, dispatcher: Dispatcher, *, tensor_content: bool, metrics: "Metrics | None"
    ) -> None:
        from tensorflow_serving.apis.predict_pb2 import PredictRequest

        self._manager = manager
        self._predict_request = PredictRequest
        self._dispatcher = dispatcher
        self._predict_steps = partial(predict_steps, tensor_content=tensor_content)
        self._metrics = metrics

    async def predict(self, message: bytes, context: Context) -> bytes:
        """Predict."""
        started = perf_counter()
        request = parsed(self._predict_request, message)
        size = max(len(message), tensor_proto.declared_bytes(request.inputs.values()))
        return await self._counted("Predict", started, request, size, context, self._predict_steps)

    async def classify(self, message: bytes, context: Context) -> bytes:
        """Classify."""
        from tensorflow_serving.apis.classification_pb2 import ClassificationRequest

        from labkit.serving.embedded import examples

        started = perf_counter()
        request = parsed(ClassificationRequest, message)
        size = examples.fed_bytes(request.input)
        return await self._counted("Classify", started, request, size, context, examples.classify_steps)

    async def regress(self, message: bytes, context: Context) -> bytes:
        """Regress."""
        from tensorflow_serving.apis.regression_pb2 import RegressionRequest

        from labkit.serving.embedded import examples

        started = perf_counter()
        request = parsed(RegressionRequest, message)
        size = examples.fed_bytes(request.input)
        return await self._counted("Regress", started, request, size, context, examples.regress_steps)

    async def multi_inference(self, message: bytes, context: Context) -> bytes:
        """MultiInference; the model_spec of the first task counts for all. As upstream, it is not in the metrics."""
        from tensorflow_serving.apis.inference_pb2 import InferenceTask, MultiInferenceRequest

        from labkit.serving.embedded import examples

        request = parsed(MultiInferenceRequest, message)
        first = request.tasks[0] if request.tasks else InferenceTask()
        size = examples.fed_bytes(request.input)
        return await self._answered(first.model_spec, request, size, context, examples.multi_inference_steps)

    async def metadata(self, message: bytes, context: Context) -> bytes:
        """GetModelMetadata."""
        from tensorflow_serving.apis.get_model_metadata_pb2 import (
            GetModelMetadataRequest,
            GetModelMetadataResponse,
            SignatureDefMap,
        )

        request = parsed(GetModelMetadataRequest, message)
        check_spec(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid_argument(f"Metadata field {field} is not supported")
        found = servable(self._manager, request.model_spec)
        response = GetModelMetadataResponse()
        response.model_spec.name = found.name
        response.model_spec.version.value = found.version
        response.metadata["signature_def"].Pack(SignatureDefMap(signature_def=found.definitions))
        return response.SerializeToString()

    async def _answered(
        self,
        spec: "ModelSpec",
        request: Any,
        size: int,
        context: Context,
        steps: Callable[[Any, Servable], Steps[Any]],
        times: StepTimes | None = None,
    ) -> bytes:
        found = servable(self._manager, spec)
        to_bytes = _to_bytes(steps(request, found))
        if times:
            to_bytes = timed(to_bytes, times)
        return await self._dispatcher.run(found, size, milliseconds_left(context), to_bytes)

    async def _counted(
        self,
        api: str,
        started: float,
        request: Any,
        size: int,
        context: Context,
        steps: Callable[[Any, Servable], Steps[Any]],
    ) -> bytes:
        """The same, and a line in the metrics; `started` is when there were only bytes."""
        code, name = Code.CANCELLED, request.model_spec.name
        times = StepTimes(started) if self._metrics else None
        try:
            check_spec(request)
            answer = await self._answered(request.model_spec, request, size, context, steps, times)
            code = Code.OK
            return answer
        except StatusError as error:
            code = error.code
            raise
        except Exception:
            code = Code.INTERNAL
            raise
        finally:
            if self._metrics:
                seconds = perf_counter() - started
                self._metrics.note_request(name, api, "GRPC", code, seconds, times, known=name in self._manager.models)


def _to_bytes(steps: Steps[Any]) -> Steps[bytes]:
    return (yield from steps).SerializeToString()
