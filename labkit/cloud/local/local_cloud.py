"""What every service of the local cloud stands on."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cloud.local.operations import Operations
from labkit.cloud.local.resources import Resources

if TYPE_CHECKING:
    from labkit.cloud.local.containers import Containers
    from labkit.cloud.local.deployments import Deployment
    from labkit.cloud.local.objects import Objects


@dataclass
class LocalCloud:
    """One project with one store of everything in it.

    Attributes:
        project: its id.
        project_number: its number, which Google's services write into some names.
        folder: where files of this run lie, readable for this user only.
        objects: what is in the buckets.
        containers: turns container images into processes.
        environment: the variables with which a child process sees this cloud as `googleapis.com`.
        resources: models, endpoints, jobs.
        operations: long-running operations.
        deployments: models behind endpoints, by endpoint and id; hold the resources' lock to read or change it.
        stopping: set when the cloud is about to end; what runs in threads stops then.
    """

    project: str
    project_number: str
    folder: Path
    objects: "Objects"
    containers: "Containers"
    environment: Mapping[str, str]
    resources: Resources = field(default_factory=Resources)
    operations: Operations = field(default_factory=Operations)
    deployments: dict[str, "Deployment"] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
