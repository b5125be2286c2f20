"""The model registry: Vertex AI's ModelService."""

from typing import Any

import grpc
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from labkit.cloud.local import artifacts
from labkit.cloud.local.listing import order, selects
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.model_checks import check_artifacts, check_display_name, check_labels, check_model
from labkit.cloud.local.model_versions import DEFAULT, ModelVersions, base_of, parent_of
from labkit.cloud.local.resources import new_id, page
from labkit.cloud.local.status import ApiError, invalid, unmet

_OF_MODEL = ("display_name", "description", "labels")
_OF_VERSION = ("version_description", "labels")


class Models:
    """What ModelService answers. It keeps nothing itself, so there may be several."""

    def __init__(self, cloud: LocalCloud) -> None:
        """Answer for the models of `cloud`."""
        self._cloud = cloud
        self._versions = ModelVersions(cloud)

    def version(self, name: str) -> types.Model:
        """A version's message, its name ending in ``@`` and its number.

        Args:
            name: a model's name, alone (the default version) or with ``@`` and a version's number or alias.

        Raises:
            ApiError: NOT_FOUND.
        """
        with self._cloud.resources.lock:
            return types.Model(self._versions.get(name))

    def UploadModel(self, request: types.UploadModelRequest) -> operations_pb2.Operation:
        model = types.Model(request.model)
        check_model(model, request.model_id)
        if request.parent_model:
            base = base_of(request.parent_model)
            self._versions.of(base)  # or there is no such model
        else:
            base = f"{request.parent}/models/{request.model_id or new_id()}"
            self._check_new(base)

        def work() -> types.UploadModelResponse:
            return self._upload(base, model, new=not request.parent_model)

        return self._cloud.operations.start(base, types.UploadModelOperationMetadata(), work)

    def _check_new(self, base: str) -> None:
        if any(base_of(each.name) == base for each in self._versions.all(parent_of(base))):
            raise ApiError(
                grpc.StatusCode.ALREADY_EXISTS,
                f"The Model {base} already exists. Upload a new version of it with parent_model, or use another id.",
            )

    def _upload(self, base: str, model: types.Model, *, new: bool) -> types.UploadModelResponse:
        if model.artifact_uri:
            check_artifacts(self._cloud, model)
        number, folder = self._versions.reserve(base)
        aliases = list(model.version_aliases)
        model.name, model.version_id, model.version_aliases = f"{base}@{number}", number, []
        if model.artifact_uri:
            artifacts.keep(self._cloud, model, folder)
        _fill(model)
        with self._cloud.resources.lock:
            if new:
                self._check_new(base)
            older = [] if new else self._versions.of(base)
            self._cloud.resources.add(model)
            model.version_create_time = model.version_update_time = model.create_time
            if older:
                model.create_time = older[0].create_time
            self._versions.give_aliases(model, aliases if older else [*aliases, DEFAULT])
        return types.UploadModelResponse(model=base, model_version_id=number)

    def GetModel(self, request: types.GetModelRequest) -> types.Model:
        with self._cloud.resources.lock:
            stored = self._versions.get(request.name)
            return self._shown(stored, with_version="@" in request.name)

    def ListModels(self, request: types.ListModelsRequest) -> types.ListModelsResponse:
        with self._cloud.resources.lock:
            defaults = [each for each in self._versions.all(request.parent) if DEFAULT in each.version_aliases]
            shown = [self._shown(each, with_version=False) for each in defaults]
        return _page(shown, request, types.ListModelsResponse)

    def ListModelVersions(self, request: types.ListModelVersionsRequest) -> types.ListModelVersionsResponse:
        with self._cloud.resources.lock:
            shown = [self._shown(each, with_version=True) for each in self._versions.of(request.name)]
        return _page(shown, request, types.ListModelVersionsResponse)

    def UpdateModel(self, request: types.UpdateModelRequest) -> types.Model:
        name, fields = request.model.name, list(request.update_mask.paths)
        of_version = "@" in name and not name.endswith("@-")
        allowed = _OF_VERSION if of_version else _OF_MODEL
        if wrong := [field for field in fields if field not in allowed]:
            raise unmet(
                f"update_mask {', '.join(wrong)} cannot be updated on {name}. Of a model (without @): "
                f"{', '.join(_OF_MODEL)}; of a version (with @): {', '.join(_OF_VERSION)}."
            )
        if "display_name" in fields:
            check_display_name(request.model.display_name)
        check_labels(request.model.labels)
        with self._cloud.resources.lock:
            wanted = self._versions.get(name)
            for version in [wanted] if of_version else self._versions.of(name):
                for field in fields:
                    setattr(version, field, getattr(request.model, field))
                self._cloud.resources.changed(version)
                version.version_update_time = version.update_time
            return self._shown(wanted, with_version=of_version)

    def MergeVersionAliases(self, request: types.MergeVersionAliasesRequest) -> types.Model:
        if not request.version_aliases:
            raise invalid("version_aliases is required.")
        with self._cloud.resources.lock:
            version = self._versions.get(request.name)
            self._versions.give_aliases(version, list(request.version_aliases))
            return self._shown(version, with_version=True)

    def DeleteModelVersion(self, request: types.DeleteModelVersionRequest) -> operations_pb2.Operation:
        if "@" not in request.name:
            raise invalid(f"{request.name} names no version; expected …/models/MODEL@VERSION.")
        with self._cloud.resources.lock:
            version = self._versions.get(request.name)
            if len(self._versions.of(request.name)) == 1:
                raise unmet(f"{version.name} is the last version of its model; delete the model instead.")
            if DEFAULT in version.version_aliases:
                raise unmet(
                    f"{version.name} is the default version of its model. Give the alias default to another one first."
                )
            self._check_idle(base_of(version.name), version.version_id)
            self._versions.forget(version)
        return self._deleted(version.name)

    def DeleteModel(self, request: types.DeleteModelRequest) -> operations_pb2.Operation:
        base = base_of(request.name)
        if base != request.name:
            raise invalid(f"{request.name} is a version; delete it with DeleteModelVersion, or delete {base}.")
        with self._cloud.resources.lock:
            self._versions.of(base)
            self._check_idle(base)
            self._versions.forget_model(base)
        return self._deleted(base)

    def _deleted(self, name: str) -> operations_pb2.Operation:
        return self._cloud.operations.start(parent_of(name), types.DeleteOperationMetadata(), empty_pb2.Empty)

    def _check_idle(self, base: str, version_id: str = "") -> None:
        busy = sorted(
            {
                each.endpoint
                for each in self._cloud.deployments.values()
                if each.model == base and version_id in ("", each.version_id)
            }
        )
        if busy:
            name = f"{base}@{version_id}" if version_id else base
            raise unmet(
                f'The Model "{name}" is deployed or being deployed at the following Endpoint(s): {", ".join(busy)}.'
            )

    def _shown(self, version: types.Model, *, with_version: bool) -> types.Model:
        """A copy of a stored version as it is answered, with where it is deployed now."""
        shown = types.Model(version)
        base = base_of(version.name)
        shown.name = version.name if with_version else base
        shown.deployed_models = [
            types.DeployedModelRef(endpoint=each.endpoint, deployed_model_id=each.id)
            for each in self._cloud.deployments.values()
            if each.ready and (each.model, each.version_id) == (base, version.version_id)
        ]
        return shown


def _fill(model: types.Model) -> None:
    """Set what the service knows about each custom model; without BigQuery, which the local cloud does not have."""
    if not model.container_spec.ports:
        model.container_spec.ports = [types.Port(container_port=8080)]
    model.supported_deployment_resources_types = [types.Model.DeploymentResourcesType.DEDICATED_RESOURCES]
    model.supported_input_storage_formats = ["jsonl", "csv", "tf-record", "tf-record-gzip", "file-list"]
    model.supported_output_storage_formats = ["jsonl"]
    model.model_source_info = types.ModelSourceInfo(source_type=types.ModelSourceInfo.ModelSourceType.CUSTOM)


def _page(models: list[types.Model], request: Any, response: type) -> Any:
    found = [model for model in models if selects(request.filter, model)]
    return page(order(found, request.order_by), request, response, "models")
