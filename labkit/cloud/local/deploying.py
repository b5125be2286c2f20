"""Starting, changing and ending the containers behind an endpoint."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.containers import ServingContainer
from labkit.cloud.local.deployments import Deployment, key
from labkit.cloud.local.local_cloud import LocalCloud
from labkit.cloud.local.machines import Scaling, scaling
from labkit.cloud.local.model_versions import ModelVersions, base_of
from labkit.cloud.local.replicas import Replicas
from labkit.cloud.local.resources import new_id, now
from labkit.cloud.local.serving import serving_container
from labkit.cloud.local.status import ApiError, invalid, not_found, unimplemented

_MUTABLE = ("min_replica_count", "max_replica_count", "required_replica_count", "autoscaling_metric_specs")


class Deploying:
    """What endpoints need to know about containers. Methods with an endpoint want the resources' lock held."""

    def __init__(self, cloud: LocalCloud) -> None:
        """Deploy in `cloud`."""
        self._cloud = cloud
        self._versions = ModelVersions(cloud)

    def stop(self) -> None:
        """End all containers."""
        with self._cloud.resources.lock:
            deployments = list(self._cloud.deployments.values())
            self._cloud.deployments.clear()
        for deployment in deployments:
            deployment.replicas.stop(at_once=True)

    def _reserve(self, endpoint: types.Endpoint, deployed: types.DeployedModel) -> Deployment:
        """Fill in what a deployed model lacks, and keep a place for it; nothing is started yet.

        Raises:
            ApiError: it cannot be deployed.
        """
        _check(deployed)
        wanted = scaling(deployed)
        version = self._versions.get(deployed.model)
        deployed.id = deployed.id or new_id()
        place = key(endpoint.name, deployed.id)
        if place in self._cloud.deployments:
            raise ApiError(
                grpc.StatusCode.ALREADY_EXISTS, f"{endpoint.name} has a DeployedModel {deployed.id} already."
            )
        deployed.model, deployed.model_version_id = base_of(version.name), version.version_id
        deployed.display_name = deployed.display_name or version.display_name
        deployed.create_time = now()
        container = serving_container(
            self._cloud,
            version,
            deployed.id,
            endpoint.name.rpartition("/")[2],
            deployed.dedicated_resources.machine_spec.machine_type,
        )
        deployment = Deployment(
            endpoint.name,
            deployed.id,
            deployed.model,
            deployed.model_version_id,
            deployed.display_name,
            self._replicas(container, wanted),
        )
        self._cloud.deployments[place] = deployment
        return deployment

    def _replicas(self, container: ServingContainer, wanted: Scaling) -> Replicas:
        return Replicas(
            self._cloud.containers,
            container,
            minimum=wanted.minimum,
            maximum=wanted.maximum,
            cpu_target=wanted.cpu_target,
            requests_per_minute=wanted.requests_per_minute,
            cores=wanted.cores,
        )

    @contextmanager
    def _starting(self, deployment: Deployment) -> Iterator[None]:
        """Start a deployment's containers; if that or what follows fails, nothing of it is left."""
        place = key(deployment.endpoint, deployment.id)
        try:
            deployment.replicas.start()
            if place not in self._cloud.deployments:
                raise ApiError(grpc.StatusCode.CANCELLED, "The cloud ended while the model was deployed.")
            yield
        except BaseException:
            with self._cloud.resources.lock:
                self._cloud.deployments.pop(place, None)
            deployment.replicas.stop()
            raise

    def _released(self, endpoint: types.Endpoint, deployed_model_id: str) -> Deployment:
        return self._cloud.deployments.pop(key(endpoint.name, deployed_model_id))

    def _resized(self, endpoint: types.Endpoint, change: types.DeployedModel, fields: list[str]) -> types.DeployedModel:
        """Change how many containers a deployed model has, and when.

        Raises:
            ApiError: INVALID_ARGUMENT, something else is to be changed, or the numbers make no sense.
        """
        names = [field.removeprefix("dedicated_resources.") for field in fields]
        if wrong := [name for name in names if name not in _MUTABLE]:
            raise invalid(f"update_mask has {', '.join(wrong)}; what can be mutated is {', '.join(_MUTABLE)}.")
        stored = deployed_model(endpoint, change.id)
        changed = types.DeployedModel(stored)
        for name in names:
            setattr(changed.dedicated_resources, name, getattr(change.dedicated_resources, name))
        wanted = scaling(changed)
        stored.dedicated_resources = changed.dedicated_resources
        self._cloud.deployments[key(endpoint.name, stored.id)].replicas.resize(
            wanted.minimum, wanted.maximum, wanted.cpu_target, wanted.requests_per_minute
        )
        return stored

    def _with_status(self, endpoint: types.Endpoint) -> types.Endpoint:
        """The endpoint with how many replicas are healthy now."""
        with self._cloud.resources.lock:
            for deployed in endpoint.deployed_models:
                deployment = self._cloud.deployments.get(key(endpoint.name, deployed.id))
                if deployment is not None:
                    deployed.status.available_replica_count = deployment.replicas.available
                    deployed.status.last_update_time = now()
        return endpoint


def deployed_model(endpoint: types.Endpoint, id: str) -> types.DeployedModel:
    """The stored message of one deployed model.

    Raises:
        ApiError: NOT_FOUND.
    """
    for each in endpoint.deployed_models:
        if each.id == id:
            return each
    known = ", ".join(each.id for each in endpoint.deployed_models)
    raise not_found(f"{endpoint.name} has no DeployedModel {id!r}. It has: {known or 'none'}.")


def _check(deployed: types.DeployedModel) -> None:
    if deployed.id and not re.fullmatch(r"[1-9][0-9]{0,9}", deployed.id):
        raise invalid(f"deployed_model.id is {deployed.id!r}; expected 1 to 10 digits, the first not 0.")
    if len(deployed.display_name) > 128:
        raise invalid("deployed_model.display_name has more than 128 characters.")
    if "explanation_spec" in deployed and deployed.explanation_spec.parameters:
        raise unimplemented("deployed_model.explanation_spec")
