"""Endpoints and what is deployed to them: Vertex AI's EndpointService."""

import re
from collections.abc import Mapping

import grpc
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from labkit.cloud.local import traffic_split
from labkit.cloud.local.deploying import Deploying, deployed_model
from labkit.cloud.local.model_checks import check_display_name, check_labels
from labkit.cloud.local.model_versions import parent_of
from labkit.cloud.local.resources import new_id, page
from labkit.cloud.local.status import ApiError, invalid, unmet

_ENDPOINT_ID = re.compile(r"[1-9][0-9]{0,9}|[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_CHANGEABLE = ("display_name", "description", "labels", "traffic_split")
_NOT_HERE = (
    "network",
    "enable_private_service_connect",
    "private_service_connect_config",
    "dedicated_endpoint_enabled",
    "predict_request_response_logging_config",
    "gen_ai_advanced_features_config",
)


class Endpoints(Deploying):
    """What EndpointService answers."""

    def CreateEndpoint(self, request: types.CreateEndpointRequest) -> operations_pb2.Operation:
        endpoint = types.Endpoint(request.endpoint)
        _check_new(endpoint, request.endpoint_id)
        endpoint.name = f"{request.parent}/endpoints/{request.endpoint_id or new_id()}"
        with self._cloud.resources.lock:
            if any(each.name == endpoint.name for each in self._all(request.parent)):
                raise ApiError(grpc.StatusCode.ALREADY_EXISTS, f"The Endpoint {endpoint.name} already exists.")
            self._cloud.resources.add(endpoint)
        return self._cloud.operations.start(
            endpoint.name, types.CreateEndpointOperationMetadata(), lambda: types.Endpoint(endpoint)
        )

    def GetEndpoint(self, request: types.GetEndpointRequest) -> types.Endpoint:
        return self._with_status(self._endpoint(request.name))

    def ListEndpoints(self, request: types.ListEndpointsRequest) -> types.ListEndpointsResponse:
        found = self._all(request.parent, request.filter, request.order_by)
        return page(map(self._with_status, found), request, types.ListEndpointsResponse, "endpoints")

    def UpdateEndpoint(self, request: types.UpdateEndpointRequest) -> types.Endpoint:
        fields = list(request.update_mask.paths)
        if wrong := [field for field in fields if field not in _CHANGEABLE]:
            raise invalid(f"update_mask has {', '.join(wrong)}; what can be updated is {', '.join(_CHANGEABLE)}.")
        if "display_name" in fields:
            check_display_name(request.endpoint.display_name)
        if "labels" in fields:
            check_labels(request.endpoint.labels)
        with self._cloud.resources.lock:
            endpoint = self._endpoint(request.endpoint.name)
            if "traffic_split" in fields:
                traffic_split.check(request.endpoint.traffic_split, _ids(endpoint))
            for field in fields:
                setattr(endpoint, field, getattr(request.endpoint, field))
            self._cloud.resources.changed(endpoint)
        return self._with_status(endpoint)

    def UpdateEndpointLongRunning(self, request: types.UpdateEndpointLongRunningRequest) -> operations_pb2.Operation:
        with self._cloud.resources.lock:
            endpoint = self._endpoint(request.endpoint.name)
            endpoint.client_connection_config = request.endpoint.client_connection_config
            self._cloud.resources.changed(endpoint)
        return self._cloud.operations.start(
            endpoint.name, types.UpdateEndpointOperationMetadata(), lambda: types.Endpoint(endpoint)
        )

    def DeleteEndpoint(self, request: types.DeleteEndpointRequest) -> operations_pb2.Operation:
        with self._cloud.resources.lock:
            endpoint = self._endpoint(request.name)
            if any(each.endpoint == endpoint.name for each in self._cloud.deployments.values()):
                raise unmet(
                    f"Endpoint {endpoint.name} has deployed or being-deployed DeployedModel(s). Undeploy them first, "
                    "as endpoint.undeploy_all() and endpoint.delete(force=True) do."
                )
            self._cloud.resources.remove(endpoint.name)
        return self._cloud.operations.start(parent_of(endpoint.name), types.DeleteOperationMetadata(), empty_pb2.Empty)

    def DeployModel(self, request: types.DeployModelRequest) -> operations_pb2.Operation:
        deployed = types.DeployedModel(request.deployed_model)
        split = dict(request.traffic_split)
        with self._cloud.resources.lock:
            endpoint = self._endpoint(request.endpoint)
            traffic_split.check(split, [*_ids(endpoint), "0"])
            deployment = self._reserve(endpoint, deployed)

        def work() -> types.DeployModelResponse:
            with self._starting(deployment), self._cloud.resources.lock:
                traffic_split.check(split, [*_ids(endpoint), "0"])  # others may have gone meanwhile
                endpoint.deployed_models.append(deployed)
                if split:
                    endpoint.traffic_split = _resolved(split, deployed.id)
                deployment.ready = True
                self._cloud.resources.changed(endpoint)
            return types.DeployModelResponse(deployed_model=deployed)

        return self._cloud.operations.start(endpoint.name, types.DeployModelOperationMetadata(), work)

    def UndeployModel(self, request: types.UndeployModelRequest) -> operations_pb2.Operation:
        with self._cloud.resources.lock:
            endpoint = self._endpoint(request.endpoint)
            gone = deployed_model(endpoint, request.deployed_model_id)
            rest = [types.DeployedModel(each) for each in endpoint.deployed_models if each.id != gone.id]
            endpoint.traffic_split = _without(endpoint, gone.id, dict(request.traffic_split))
            endpoint.deployed_models = rest
            self._cloud.resources.changed(endpoint)
            deployment = self._released(endpoint, gone.id)

        def work() -> types.UndeployModelResponse:
            deployment.replicas.stop()
            return types.UndeployModelResponse()

        return self._cloud.operations.start(endpoint.name, types.UndeployModelOperationMetadata(), work)

    def MutateDeployedModel(self, request: types.MutateDeployedModelRequest) -> operations_pb2.Operation:
        with self._cloud.resources.lock:
            endpoint = self._endpoint(request.endpoint)
            deployed = self._resized(endpoint, request.deployed_model, list(request.update_mask.paths))
            self._cloud.resources.changed(endpoint)

        def work() -> types.MutateDeployedModelResponse:
            return types.MutateDeployedModelResponse(deployed_model=deployed)

        return self._cloud.operations.start(endpoint.name, types.MutateDeployedModelOperationMetadata(), work)

    def _endpoint(self, name: str) -> types.Endpoint:
        endpoint = self._cloud.resources.get(name)
        if not isinstance(endpoint, types.Endpoint):
            raise invalid(f"{name!r} is not the name of an endpoint.")
        return endpoint

    def _all(self, parent: str, filter: str = "", order_by: str = "") -> list[types.Endpoint]:
        return self._cloud.resources.list(parent, types.Endpoint, filter, order_by)


def _check_new(endpoint: types.Endpoint, endpoint_id: str) -> None:
    check_display_name(endpoint.display_name)
    check_labels(endpoint.labels)
    if endpoint_id and not _ENDPOINT_ID.fullmatch(endpoint_id):
        raise invalid(
            f"Invalid endpoint_id {endpoint_id!r}. Expected up to 10 digits, the first not 0, or up to 63 of "
            "[a-z0-9-], the first a letter, the last a letter or a digit."
        )
    if endpoint.traffic_split or endpoint.deployed_models:
        raise invalid("A new endpoint has neither deployed_models nor traffic_split; deploy to it afterwards.")
    if wanted := [field for field in _NOT_HERE if field in endpoint]:
        raise ApiError(
            grpc.StatusCode.UNIMPLEMENTED,
            f"endpoint.{wanted[0]} is not part of the local cloud, which has public, shared endpoints only; leave it "
            "out. docs/cloud.md lists what is.",
        )


def _ids(endpoint: types.Endpoint) -> list[str]:
    return [each.id for each in endpoint.deployed_models]


def _resolved(split: Mapping[str, int], new: str) -> dict[str, int]:
    return {new if key == "0" else key: share for key, share in split.items()}


def _without(endpoint: types.Endpoint, gone: str, wanted: Mapping[str, int]) -> dict[str, int]:
    """The traffic split of an endpoint once a model has gone.

    Raises:
        ApiError: FAILED_PRECONDITION, the model would still get traffic; INVALID_ARGUMENT, `wanted` cannot be one.
    """
    rest = [each for each in _ids(endpoint) if each != gone]
    if not rest:
        return {}
    split = dict(wanted or endpoint.traffic_split)
    if split.get(gone):
        raise unmet(
            f"DeployedModel {gone} gets {split[gone]}% of the traffic of {endpoint.name}. Undeploy it with a "
            f"traffic_split that gives all to others: {', '.join(rest)}."
        )
    split.pop(gone, None)
    traffic_split.check(split, rest)
    return split
