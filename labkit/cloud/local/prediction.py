"""Online predictions: Vertex AI's PredictionService."""

from typing import Any

import grpc
import orjson
from google.api import httpbody_pb2
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local import traffic_split, values
from labkit.cloud.local.deployments import Deployment, key
from labkit.cloud.local.http_messages import HttpAnswer
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.replicas import LARGEST_BODY
from labkit.cloud.local.status import ApiError, invalid

_SECONDS = 60.0  # for a container's answer, unless the endpoint has a timeout of its own
_LONGEST_WORDS = 2000
_CODES = {
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class Prediction:
    """What PredictionService answers."""

    def __init__(self, cloud: LocalCloud) -> None:
        """Ask the models that are deployed in `cloud`."""
        self._cloud = cloud

    def Predict(self, request: types.PredictRequest) -> types.PredictResponse:
        bare = types.PredictRequest.pb(request)
        size = bare.ByteSize()
        if size > 16 * LARGEST_BODY:  # a number takes eleven bytes here, and two in JSON
            raise invalid(f"Request size too large: {size} bytes; max is {LARGEST_BODY} bytes as JSON.")
        given = bare.HasField("parameters") and bare.parameters.WhichOneof("kind") not in (None, "null_value")
        body = values.to_json(bare.instances, **({"parameters": bare.parameters} if given else {}))
        deployment, answer = self._ask(request.endpoint, body, "application/json")
        response = _response(answer)
        response.deployed_model_id = deployment.id
        response.model = deployment.model
        response.model_version_id = deployment.version_id
        response.model_display_name = deployment.display_name
        return types.PredictResponse.wrap(response)

    def RawPredict(self, request: types.RawPredictRequest) -> tuple[httpbody_pb2.HttpBody, dict[str, str]]:
        body = request.http_body
        deployment, answer = self._ask(request.endpoint, body.data, body.content_type or "application/json")
        headers = {
            "X-Vertex-AI-Endpoint-Id": deployment.endpoint.rpartition("/")[2],
            "X-Vertex-AI-Deployed-Model-Id": deployment.id,
            "X-Vertex-AI-Model": deployment.model,
            "X-Vertex-AI-Model-Version-Id": deployment.version_id,
        }
        content_type = next(
            (value for name, value in answer.headers.items() if name.lower() == "content-type"), "application/json"
        )
        return httpbody_pb2.HttpBody(content_type=content_type, data=bytes(answer.body)), headers

    def _ask(self, name: str, body: bytes, content_type: str) -> tuple[Deployment, HttpAnswer]:
        """One model's good answer; which model's, the traffic split and chance decide."""
        while True:
            deployment, seconds = self._chosen(name)
            try:
                answer = deployment.replicas.predict(body, {"Content-Type": content_type}, timeout=seconds)
            except ApiError as error:
                gone = key(deployment.endpoint, deployment.id) not in self._cloud.deployments
                if gone and error.code is grpc.StatusCode.UNAVAILABLE:
                    continue  # it was undeployed after it had been chosen
                raise
            if answer.status != 200:
                raise _failure(answer)
            return deployment, answer

    def _chosen(self, name: str) -> tuple[Deployment, float]:
        with self._cloud.resources.lock:
            endpoint = self._cloud.resources.get(name)
            if not isinstance(endpoint, types.Endpoint):
                raise invalid(f"{name!r} is not the name of an endpoint.")
            chosen = traffic_split.choose(endpoint.traffic_split, endpoint.name)
            timeout = endpoint.client_connection_config.inference_timeout
            deployment = self._cloud.deployments.get(key(endpoint.name, chosen))
        if deployment is None:
            raise ApiError(grpc.StatusCode.UNAVAILABLE, "The cloud ended while the model was asked.")
        return deployment, timeout.total_seconds() or _SECONDS


def _response(answer: HttpAnswer) -> Any:
    """The container's JSON as the service's message."""
    try:
        content = orjson.loads(answer.body)
    except ValueError as error:
        raise _misshapen(answer, f"it is no JSON: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("predictions"), list):
        raise _misshapen(answer, "expected an object with a list of predictions")
    response = types.PredictResponse.pb().FromString(values.encoded_items(content["predictions"]))
    if "metadata" in content:
        response.metadata.MergeFromString(values.encoded(content["metadata"]))
    return response


def _misshapen(answer: HttpAnswer, why: str) -> ApiError:
    return ApiError(
        grpc.StatusCode.INTERNAL,
        f'The model server\'s answer is not {{"predictions": [...]}}: {why}. It starts with '
        f"{bytes(answer.body[:200])!r}. With raw_predict any answer is passed on as it is.",
    )


def _failure(answer: HttpAnswer) -> ApiError:
    """A container's error in Google's terms, with the container's own words."""
    code = grpc.StatusCode.INVALID_ARGUMENT if answer.status < 500 else grpc.StatusCode.INTERNAL
    words = bytes(answer.body[:_LONGEST_WORDS]).decode(errors="replace").strip()
    return ApiError(
        _CODES.get(answer.status, code), words or f"The model server answered HTTP {answer.status} without words."
    )
