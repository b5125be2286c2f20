"""A model of the registry as the container that serves it: Vertex AI's variables, its routes and its files."""

from pathlib import Path

from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.artifacts import storage_uri
from labkit.cloud.local.containers import ServingContainer
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.model_versions import ModelVersions


def serving_container(
    cloud: LocalCloud,
    model: types.Model,
    name: str,
    endpoint: str = "0",
    machine_type: str = "",
) -> ServingContainer:
    """The container of a model.

    Args:
        cloud: where the model is.
        model: a version of the registry, as `Models.version` returns it, or one without a name, of a batch prediction
            job alone.
        name: the deployed model's id, or the job's.
        endpoint: the endpoint's id; batch prediction has none.
        machine_type: what it believes to run on.

    Raises:
        ApiError: the artifacts of a model without a name cannot be read.
    """
    spec = model.container_spec
    route = f"/v1/endpoints/{endpoint}/deployedModels/{name}"
    files = _files(cloud, model, name)
    contract = {
        "AIP_DEPLOYED_MODEL_ID": name,
        "AIP_ENDPOINT_ID": endpoint,
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "AIP_MACHINE_TYPE": machine_type,
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_MODEL_NAME": endpoint,
        "AIP_PROJECT_NUMBER": cloud.project_number,
        "AIP_STORAGE_URI": _storage_uri(cloud, model),
        "AIP_VERSION_NAME": name,
    }
    seconds = spec.deployment_timeout.total_seconds() if spec.deployment_timeout else 0.0
    return ServingContainer(
        name=name,
        image_uri=spec.image_uri,
        command=tuple(spec.command),
        args=tuple(spec.args),
        variables={**contract, **{variable.name: variable.value for variable in spec.env}},
        port=spec.ports[0].container_port if spec.ports else 8080,
        files=files,
        predict_route=spec.predict_route or f"{route}:predict",
        health_route=spec.health_route or route,
        **({"health_timeout": seconds} if seconds else {}),
    )


def _files(cloud: LocalCloud, model: types.Model, name: str) -> Path | None:
    """The copy of the artifacts that was made when the model was uploaded, or that is made now."""
    if not model.artifact_uri:
        return None
    if model.name:
        return ModelVersions(cloud).files(model)
    folder = cloud.folder / "models" / "unmanaged" / name
    cloud.objects.download_folder(model.artifact_uri.rstrip("/") + "/", folder)
    return folder


def _storage_uri(cloud: LocalCloud, model: types.Model) -> str:
    return storage_uri(cloud, model) if model.artifact_uri and model.name else model.artifact_uri.rstrip("/")
