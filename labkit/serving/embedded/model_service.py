"""ModelService: what state a model's versions are in, and a new configuration for the whole server."""

import logging

from labkit.serving.embedded import config
from labkit.serving.embedded.grpc_requests import Context, check_spec, parsed, version
from labkit.serving.embedded.manager import ModelManager
from labkit.serving.embedded.status import invalid_argument
from labkit.serving.embedded.status_answers import status_message

logger = logging.getLogger("labkit.serving")

_LATEST_ANSWER_SECONDS = 0.2


class ModelService:
    """The methods of `tensorflow.serving.ModelService`.

    Each raises StatusError with the code and message that the client is to get.
    """

    def __init__(self, manager: ModelManager, *, reload_seconds: float) -> None:
        """Args: reload_seconds: longest wait for the new models of a reload; 0 for no limit but the client's."""
        self._manager = manager
        self._reload_seconds = reload_seconds

    async def status(self, message: bytes, context: Context) -> bytes:
        """GetModelStatus; a label is ignored, as upstream does."""
        from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest

        request = parsed(GetModelStatusRequest, message)
        check_spec(request)
        versions = self._manager.statuses(request.model_spec.name, version(request.model_spec))
        return status_message(versions).SerializeToString()

    async def reload(self, message: bytes, context: Context) -> bytes:
        """HandleReloadConfigRequest: answers once every model that is new has a version that answers."""
        from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse

        request = parsed(ReloadConfigRequest, message)
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        configs = config.from_proto(request.config.model_config_list.config)
        logger.info("HandleReloadConfigRequest: %s", ", ".join(f"{c.name} at {c.base_path}" for c in configs) or "none")
        await self._manager.reload(configs, self._patience(context))
        response = ReloadConfigResponse()
        response.status.SetInParent()  # present, and OK
        return response.SerializeToString()

    def _patience(self, context: Context) -> float | None:
        """How long to wait: a little less than the client does, which would not hear what it waited for."""
        limits = [self._reload_seconds] if self._reload_seconds else []
        left = context.time_remaining()
        if left is not None:
            limits.append(max(0.0, left - min(_LATEST_ANSWER_SECONDS, left / 10)))
        return min(limits, default=None)
