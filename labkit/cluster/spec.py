"""Which tasks a cluster has, and what each of them is told about the others: `TF_CONFIG`.

https://www.tensorflow.org/api_docs/python/tf/distribute/cluster_resolver/TFConfigClusterResolver
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

TYPES = ("chief", "worker", "ps", "evaluator")


class Task(NamedTuple):
    """One process of a cluster.

    Attributes:
        type: ``chief``, ``worker``, ``ps`` (parameter server) or ``evaluator``.
        index: 0 is the first of its type.
    """

    type: str
    index: int  # type: ignore[assignment]  # TF_CONFIG's word; as a tuple's method nobody needs it here

    def __str__(self) -> str:
        return f"{self.type} {self.index}"


@dataclass(frozen=True)
class ClusterSpec:
    """How many tasks of each type a cluster has.

    Attributes:
        chief: 0 or 1. It leads: it writes checkpoints and summaries, and drives the workers of a parameter-server
            strategy. Without one, worker 0 is the chief.
        worker: they compute gradients.
        ps: parameter servers; they hold variables.
        evaluator: 0 or 1. It evaluates the checkpoints that it finds, and is no part of the cluster that trains: the
            others do not know of it.

    Raises:
        ValueError: a number does not fit.
    """

    chief: int = 0
    worker: int = 0
    ps: int = 0
    evaluator: int = 0

    def __post_init__(self) -> None:
        for name in TYPES:
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ValueError(f"{name} is {count!r}; a number of tasks is needed, 0 or more")
        for name in ("chief", "evaluator"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a cluster has one {name} at most")
        if not self.chief and not self.worker:
            raise ValueError("nobody would train: a cluster needs a chief or a worker")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks: chief, workers, parameter servers, evaluator."""
        return tuple(Task(name, index) for name in TYPES for index in range(getattr(self, name)))

    @property
    def training_tasks(self) -> tuple[Task, ...]:
        """The tasks that know each other, which is all of them but the evaluator."""
        return tuple(task for task in self.tasks if task.type != "evaluator")

    @property
    def deciding_types(self) -> tuple[str, ...]:
        """The types whose tasks' end is the end of the training: chief and workers.

        With parameter servers it is the chief alone where there is one. It drives the workers, which then are servers
        themselves and never end, as in https://www.tensorflow.org/tutorials/distribute/parameter_server_training.
        """
        if self.chief and self.ps:
            return ("chief",)
        return tuple(name for name in ("chief", "worker") if getattr(self, name))

    def tf_config(self, task: Task, addresses: Mapping[Task, str]) -> str:
        """What `task` finds in its environment variable ``TF_CONFIG``.

        Args:
            task: one of `tasks`.
            addresses: ``host:port`` of each of `training_tasks`.

        Raises:
            ValueError: `task` is not in this cluster, or an address is missing.
        """
        task = Task(*task)
        if task not in self.tasks:
            raise ValueError(f"there is no {task} in this cluster; there are {', '.join(map(str, self.tasks))}")
        if missing := [str(each) for each in self.training_tasks if each not in addresses]:
            raise ValueError(f"addresses has none for {', '.join(missing)}; each needs one, as in 127.0.0.1:2222")
        cluster: dict[str, list[str]] = {}
        for each in self.training_tasks:
            cluster.setdefault(each.type, []).append(addresses[each])
        return json.dumps({"cluster": cluster, "task": {"type": task.type, "index": task.index}})
