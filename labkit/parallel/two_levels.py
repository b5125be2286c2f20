"""Two levels of parameter servers: each group of workers has a server near it, and these have one root server.

    root = enter(groups=2)                   # in every task: TF_CONFIG becomes that of this task's group
    if task == "ps":
        pass_on(variables, root, learning_rate=0.1)
    servers = ParameterServers(variables)    # in a worker: its group's server
    version, values = servers.pull()
    servers.contribute(gradients, version)
    servers.wait(version + 1)

A group's server waits for gradients of all its workers, has the root take a step along their average, and takes over
the root's values. So the root's link carries one gradient and one copy of the variables for each group, not for each
worker. Within a group training is synchronous, among groups it is not.

This module imports TensorFlow.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from labkit.errors import ClusterError
from labkit.parallel.server_session import ServerSession
from labkit.parallel.shared_variables import FIRST, Placed, SharedVariables, take_from
from labkit.parallel.tf_config import read_tf_config


def enter(groups: int) -> str:
    """Make this task's ``TF_CONFIG`` that of its group, and return the root server's address.

    The cluster has 1 + `groups` ps tasks: ps 0 is the root, ps 1 the first group's server, and so on. Workers are dealt
    out in order: with 4 workers and 2 groups, 0 and 1 are the first group. Afterwards the root is the only task of its
    cluster, and a group is a cluster with one ps and its workers, counted from 0.

    Raises:
        ClusterError: the cluster has other numbers of tasks than that.
    """
    cluster, task, index = read_tf_config()
    servers, workers = cluster["ps"], cluster.get("worker", [])
    others = cluster.keys() - {"ps", "worker"}
    if groups < 1 or len(servers) != groups + 1 or not workers or len(workers) % groups or others:
        has = ", ".join(f"{kind}={len(addresses)}" for kind, addresses in cluster.items())
        raise ClusterError(
            f"the cluster has {has}; {groups} groups need ps={groups + 1}, a root and one for each, as many workers in "
            "each, and no others"
        )
    each = len(workers) // groups
    if (task, index) == ("ps", 0):
        mine, number = {"ps": servers[:1]}, 0
    else:
        group, number = (index - 1, 0) if task == "ps" else divmod(index, each)
        mine = {"ps": [servers[group + 1]], "worker": workers[group * each : (group + 1) * each]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": mine, "task": {"type": task, "index": number}})
    return servers[0]


def pass_on(variables: Mapping[str, np.ndarray], root: str, learning_rate: float = 0.1, timeout: float = 60.0) -> None:
    """What a ps task does, root or a group's, until it is ended from outside. It never returns.

    The root gives its own variables their first values, and worker 0 of each group those of its group's server.

    Args:
        variables: name -> first value, float32; the same in every task.
        root: what `enter` returned.
        learning_rate: of the root's steps, each along the average of one group.
        timeout: seconds that every wait may take.

    Raises:
        ClusterError: workers or the root did not come in time, or the root was lost.
    """
    cluster, _, _ = read_tf_config()
    workers, server = len(cluster.get("worker", [])), tf.distribute.Server(cluster, job_name="ps", task_index=0)
    own = _OneServer(server.target, variables, workers or 1, timeout)
    if not workers:
        own.fill(variables)
        server.join()
    own.wait_until_filled()
    above = _OneServer(f"grpc://{root}", variables, 1, timeout)
    above.wait_until_filled()
    while True:
        average = own.take()
        above.push(average, above.version(), learning_rate)
        own.renew(above.pull()[1])


class _OneServer(SharedVariables):
    """All variables on one server: that of this task, as a group's workers see it, or the root."""

    def __init__(self, target: str, variables: Mapping[str, np.ndarray], workers: int, timeout: float) -> None:
        placed = {name: Placed(FIRST, np.shape(value)) for name, value in variables.items()}
        super().__init__(ServerSession(target, ["/job:ps"]), placed, here=FIRST, workers=workers, timeout=timeout)

    def take(self) -> dict[str, np.ndarray]:
        """Wait for gradients of all workers, and return their average."""
        self._wait_for_gradients(self.workers)
        return self._run(self._averages, required=np.int32(self.workers))

    def _averages(self, required: Any) -> dict[str, Any]:
        with tf.device(FIRST):
            who = take_from(self._who, required)
            with tf.control_dependencies([who]):
                return {name: take_from(each, required) for name, each in self._sums.items()}

    def renew(self, values: Mapping[str, np.ndarray]) -> None:
        """Take these values over, as the next version. (Taking has moved the accumulators on by one, too.)"""
        self.fill(values, self.version() + 1)
