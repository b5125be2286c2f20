"""A training job's worker pools as commands and environments: which process is who in the cluster."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud.aiplatform_v1 import types

from labkit.cloud.local.container_arguments import program
from labkit.cloud.local.containers import Containers
from labkit.cloud.local.status import invalid
from labkit.ports import free_ports

# What TensorFlow calls the pools, in their order.
TASKS = ("chief", "worker", "ps", "evaluator")
_PREBUILT = re.compile(r"(us|europe|asia)-docker\.pkg\.dev/vertex-ai/training/(tf|scikit-learn|sklearn)-[^/]*")


@dataclass(frozen=True)
class Replica:
    """One process of a job.

    Attributes:
        name: as in ``workerpool0-0``; that one is the primary replica.
        command: what runs.
        environment: what it sees besides what all processes see.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def pool(self) -> str:
        """Its pool, as in ``workerpool0``."""
        return self.name.rpartition("-")[0]


def check(pools: Sequence[types.WorkerPoolSpec], containers: Containers) -> None:
    """Raise INVALID_ARGUMENT unless these pools can run here, which says what can."""
    if not pools or not pools[0].replica_count:
        raise invalid("worker_pool_specs[0] is required: the primary replica.")
    if pools[0].replica_count != 1:
        raise invalid(f"worker_pool_specs[0].replica_count is {pools[0].replica_count}; the primary replica is one.")
    if len(pools) > len(TASKS):
        raise invalid(f"There are {len(pools)} worker pools; at most {len(TASKS)} are supported: {', '.join(TASKS)}.")
    for number, pool in enumerate(pools):
        if pool.replica_count:
            _check_pool(f"worker_pool_specs[{number}]", pool, containers)


def _check_pool(where: str, pool: types.WorkerPoolSpec, containers: Containers) -> None:
    if not pool.machine_spec.machine_type:
        raise invalid(f"{where}.machine_spec.machine_type is required, as in n1-standard-4.")
    package, container = pool.python_package_spec, pool.container_spec
    if bool(package) == bool(container):
        raise invalid(f"{where} needs one of container_spec and python_package_spec.")
    image = package.executor_image_uri or container.image_uri
    if package and not (package.package_uris and package.python_module):
        raise invalid(f"{where}.python_package_spec needs package_uris and python_module.")
    stand_in = containers.stand_in(image)
    if not stand_in and not _PREBUILT.fullmatch(image):
        raise invalid(
            f"{where}: the image {image!r} cannot run on this machine. What can: Google's training images for "
            "TensorFlow and scikit-learn (us-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest), which stand "
            "for this Python, and images with a command that stands for them "
            '(cloud(images={"IMAGE": ["python", "train.py"]})).'
        )
    if container and not stand_in and not container.command:
        raise invalid(f"{where}.container_spec.command is required: {image} has no program of its own.")


def replicas(
    pools: Sequence[types.WorkerPoolSpec],
    containers: Containers,
    trial: str = "",
) -> list[Replica]:
    """The processes of a job, the primary replica first.

    Each has a port of its own in the cluster. The ports are free when this returns, but nobody holds them: a process
    that some other program overtakes cannot start.

    Args:
        pools: checked with `check`.
        containers: what stands for container images.
        trial: the trial that the job is for.
    """
    places = [(number, index) for number, pool in enumerate(pools) for index in range(pool.replica_count)]
    ports = dict(zip(places, free_ports(len(places)), strict=True))
    found = []
    for number, index in places:
        pool = pools[number]
        environment = {variable.name: variable.value for variable in _spec(pool).env}
        environment["CLUSTER_SPEC"] = json.dumps(_cluster_spec(pools, ports, number, index, trial))
        if len(places) > 1:
            environment["TF_CONFIG"] = json.dumps(_tf_config(pools, ports, number, index, trial))
        found.append(Replica(f"workerpool{number}-{index}", _command(pool, containers), environment))
    return found


def _spec(pool: types.WorkerPoolSpec) -> Any:
    return pool.python_package_spec or pool.container_spec


def _members(ports: Mapping[tuple[int, int], int], pool: int) -> list[str]:
    return [f"127.0.0.1:{port}" for (number, _), port in ports.items() if number == pool]


def _task(kind: str, index: int, trial: str) -> dict[str, Any]:
    return {"type": kind, "index": index, **({"trial": trial} if trial else {})}


def _cluster_spec(
    pools: Sequence[types.WorkerPoolSpec], ports: Mapping[tuple[int, int], int], number: int, index: int, trial: str
) -> dict[str, Any]:
    return {
        "cluster": {f"workerpool{each}": _members(ports, each) for each in sorted({pool for pool, _ in ports})},
        "environment": "cloud",
        "task": _task(f"workerpool{number}", index, trial),
        "job": _job(pools[number]),
    }


def _tf_config(
    pools: Sequence[types.WorkerPoolSpec], ports: Mapping[tuple[int, int], int], number: int, index: int, trial: str
) -> dict[str, Any]:
    present = sorted({pool for pool, _ in ports} - {TASKS.index("evaluator")})  # it is no part of the cluster
    return {
        "cluster": {TASKS[each]: _members(ports, each) for each in present},
        "environment": "cloud",
        "task": _task(TASKS[number], index, trial),
        "job": _job(pools[number]),
    }


def _job(pool: types.WorkerPoolSpec) -> str:
    package = pool.python_package_spec
    return json.dumps(
        {
            "python_module": package.python_module,
            "package_uris": list(package.package_uris),
            "job_args": list(_spec(pool).args),
        }
    )


def _command(pool: types.WorkerPoolSpec, containers: Containers) -> tuple[str, ...]:
    if package := pool.python_package_spec:
        return (sys.executable, "-m", package.python_module, *package.args)
    container = pool.container_spec
    return (*program(container.command, containers.stand_in(container.image_uri)), *container.args)
