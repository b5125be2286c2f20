"""What a model is deployed on: the machine's type, how many of them, and when there are to be more."""

import re
from dataclasses import dataclass

import grpc
from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.status import ApiError, invalid

MOST_REPLICAS = 32
_CPU = "aiplatform.googleapis.com/prediction/online/cpu/utilization"
_REQUESTS = "aiplatform.googleapis.com/prediction/online/request_count"
_KINDS = r"(standard|highmem|highcpu)"
_SIZES = {
    "e2": (2, 4, 8, 16, 32),
    "n1": (2, 4, 8, 16, 32, 64, 96),
    "n2": (2, 4, 8, 16, 32, 48, 64, 80),
    "n2d": (2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224),
    "c2": (4, 8, 16, 30, 60),
    "c2d": (2, 4, 8, 16, 32, 56, 112),
    "c3": (4, 8, 22, 44, 88, 176),
}
_WITH_ACCELERATORS = re.compile(r"(a2|a3|a4|g2|g4|ct\w+)-.*")


@dataclass(frozen=True)
class Scaling:
    """How many replicas of a deployed model there are.

    Attributes:
        minimum: so many there are always.
        maximum: so many there are at most.
        cpu_target: percent of its processor at which a replica is kept; None if another target is given and not this.
        requests_per_minute: requests a replica should get; None if that does not matter.
        cores: vCPUs of a replica's machine.
    """

    minimum: int
    maximum: int
    cpu_target: int | None
    requests_per_minute: int | None
    cores: int


def scaling(deployed: types.DeployedModel) -> Scaling:
    """Read the resources of a model that is to be deployed; a maximum that is not there becomes the minimum.

    Raises:
        ApiError: INVALID_ARGUMENT, they make no sense; RESOURCE_EXHAUSTED, this machine has no such thing;
            UNIMPLEMENTED, they are not part of the local cloud.
    """
    kind = types.DeployedModel.pb(deployed).WhichOneof("prediction_resources")
    if kind == "shared_resources":
        raise ApiError(
            grpc.StatusCode.UNIMPLEMENTED,
            "Deployment resource pools (shared_resources) are not part of the local cloud; deploy with a machine type.",
        )
    if kind != "dedicated_resources":
        raise invalid(
            "deployed_model.dedicated_resources is required: custom models support DEDICATED_RESOURCES only. "
            "Pass a machine type, as in n1-standard-2."
        )
    resources = deployed.dedicated_resources
    cores = vcpus(resources.machine_spec)
    if not resources.max_replica_count:
        resources.max_replica_count = resources.min_replica_count
    _check_counts(resources)
    targets = _targets(resources)
    return Scaling(
        resources.min_replica_count,
        resources.max_replica_count,
        targets.get(_CPU) if targets else 60,
        targets.get(_REQUESTS),
        cores,
    )


def _check_counts(resources: types.DedicatedResources) -> None:
    least, most = resources.min_replica_count, resources.max_replica_count
    if least < 1:
        raise invalid(f"min_replica_count is {least}; it must be at least 1.")
    if most < least:
        raise invalid(f"max_replica_count is {most}; it must not be less than min_replica_count, which is {least}.")
    if most > MOST_REPLICAS:
        raise _exceeded("CustomModelServingCPUsPerProjectPerRegion", f"The local cloud has {MOST_REPLICAS} replicas.")
    if not 0 <= resources.required_replica_count <= least:
        raise invalid(
            f"required_replica_count is {resources.required_replica_count}; expected 1 to min_replica_count, {least}."
        )


def _targets(resources: types.DedicatedResources) -> dict[str, int]:
    found: dict[str, int] = {}
    for spec in resources.autoscaling_metric_specs:
        name = spec.metric_name
        if name not in (_CPU, _REQUESTS):
            raise invalid(f"Autoscaling by {name!r} is not possible here; expected {_CPU} or {_REQUESTS}.")
        if name in found:
            raise invalid(f"autoscaling_metric_specs has {name} twice; at most one entry is allowed per metric.")
        if spec.target < 1 or (name == _CPU and spec.target > 100):
            expected = "1 to 100 percent" if name == _CPU else "at least 1 request a minute"
            raise invalid(f"The target of {name} is {spec.target}; expected {expected}.")
        found[name] = spec.target
    return found


def vcpus(machine: types.MachineSpec) -> int:
    """The virtual processors of a machine type, as in 4 for ``n1-standard-4``.

    Raises:
        ApiError: INVALID_ARGUMENT, there is no such type; RESOURCE_EXHAUSTED, it has accelerators.
    """
    name = machine.machine_type
    if machine.accelerator_type or machine.accelerator_count or _WITH_ACCELERATORS.fullmatch(name):
        kind = machine.accelerator_type.name.removeprefix("NVIDIA_").removeprefix("TESLA_")
        quota = "" if kind == "ACCELERATOR_TYPE_UNSPECIFIED" else kind.replace("_", "")
        raise _exceeded(
            f"CustomModelServing{quota}GPUsPerProjectPerRegion",
            "The local cloud has no accelerators; deploy without them, or in the real one.",
        )
    if not name:
        raise invalid("dedicated_resources.machine_spec.machine_type is required, as in n1-standard-2.")
    match = re.fullmatch(rf"(\w+)-{_KINDS}-(\d+)", name)
    if not match or int(match[3]) not in _SIZES.get(match[1], ()):
        raise invalid(
            f"Machine type {name!r} is not supported. Expected one of {', '.join(_SIZES)}, as in n1-standard-2 or "
            "e2-highmem-4."
        )
    return int(match[3])


def _exceeded(quota: str, words: str) -> ApiError:
    return ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"The following quotas are exceeded: {quota}. {words}")
