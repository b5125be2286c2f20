"""Variables that live on parameter servers, shared by workers that are processes of their own.

    servers = ParameterServers({"weights": np.zeros([64, 10], np.float32)})      # in every worker, and in the chief
    version, values = servers.pull()
    staleness = servers.push(gradients, version, learning_rate=0.1)              # asynchronous: applied at once

The servers are TensorFlow's own (`tf.distribute.Server`), and so is the rule that drops late gradients (its conditional
accumulators). Each worker runs a loop of its own.

Which task this is and where the servers are, ``TF_CONFIG`` tells. This module imports TensorFlow.
"""

import itertools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from labkit.parallel.compression import unpack
from labkit.parallel.server_session import ServerSession
from labkit.parallel.shared_variables import FIRST, Placed, SharedVariables, ops, take_from
from labkit.parallel.tf_config import read_tf_config


def serve() -> None:
    """What a ps task does: hold variables for the others, until it is ended from outside. It never returns."""
    cluster, _, index = read_tf_config()
    tf.distribute.Server(cluster, job_name="ps", task_index=index).join()


class ParameterServers(SharedVariables):
    """Variables on the ps tasks of a cluster, as one worker or the chief sees them.

    Attributes:
        task: this task's type, ``chief`` or ``worker``.
        index: and its index.
        workers: how many workers the cluster has.
        leads: whether this task gives the variables their first values: the chief, or worker 0 where there is none.
    """

    def __init__(
        self,
        variables: Mapping[str, np.ndarray],
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Connects to all servers. The task that leads fills the variables, the others wait until it has.

        Args:
            variables: name -> first value, float32; the same in every task. They go to the servers in turn.
            checkpoint: a file that `save` wrote; if it is there, training goes on from it.
            timeout: seconds that this and every later wait may take.

        Raises:
            ClusterError: ``TF_CONFIG`` has no servers, one was lost, or nobody filled the variables in time.
        """
        cluster, self.task, self.index = read_tf_config()
        self.leads = self.task == "chief" or ("chief" not in cluster and self.index == 0)
        self._server = tf.distribute.Server(cluster, job_name=self.task, task_index=self.index)
        # Only the servers and this task: workers that see each other wait for each other.
        session = ServerSession(self._server.target, ["/job:ps", f"/job:{self.task}/task:{self.index}"])
        servers = itertools.cycle(f"/job:ps/task:{number}/device:CPU:0" for number in range(len(cluster["ps"])))
        super().__init__(
            session,
            {name: Placed(next(servers), np.shape(value)) for name, value in variables.items()},
            here=f"/job:{self.task}/task:{self.index}/device:CPU:0",
            workers=len(cluster.get("worker", [])),
            timeout=timeout,
        )
        self._me = np.float32(np.arange(self.workers) == self.index)
        if self.leads and not self.is_filled():  # a chief that was started anew finds them filled
            if checkpoint and os.path.exists(checkpoint):
                self.restore(checkpoint)
            else:
                self.fill(variables)
        self.wait_until_filled()

    # ---- what workers do, to train synchronously

    def contribute(self, gradients: Mapping[str, Any], version: int) -> int:
        """Synchronous training: lay gradients down for the chief's `aggregate`.

        The accumulators on the servers drop them if the chief has made the next version meanwhile.

        Args:
            gradients: as for `push`.
            version: what `pull` gave together with the values that the gradients are of.

        Returns:
            The gradients' staleness: over 0, and they are dropped. At 0 they can still lose a close race; the chief
            knows whose gradients it used.
        """
        staleness = self.version() - version
        self._run(self._lay_down, gradients=dict(gradients), version=np.int64(version))
        return staleness

    def _lay_down(self, gradients: dict[str, Any], version: Any) -> Any:
        done = []
        for name, gradient in gradients.items():
            with tf.device(self._placed[name].device):
                dense = unpack(gradient, self._placed[name].shape)
                done.append(_add(self._sums[name], version, dense))
        with tf.device(FIRST), tf.control_dependencies(done):  # last: who is counted has laid down all
            return _add(self._who, version, tf.constant(self._me))

    # ---- what the chief does

    def aggregate(self, required: int, learning_rate: float) -> list[int]:
        """Wait for gradients of `required` workers, and take a step along their average: the next version.

        With fewer than all workers the rest are backups: the step waits for the fastest `required`, and what the
        others compute for it comes too late (https://arxiv.org/abs/1604.00981).

        Returns:
            The workers whose gradients were used; more than `required` if more were there.

        Raises:
            ClusterError: they did not come in time.
        """
        self._wait_for_gradients(required)
        who, _ = self._run(self._take, required=np.int32(required), rate=np.float32(learning_rate))
        return np.flatnonzero(who).tolist()

    def _take(self, required: Any, rate: Any) -> Any:
        # Taking could also do the waiting, on the server. But a chief that dies would leave a hand there that takes.
        done = []
        with tf.device(FIRST):
            who = take_from(self._who, required)
        for name, variable in self._variables.items():
            with tf.device(self._placed[name].device), tf.control_dependencies([who]):
                change = rate * take_from(self._sums[name], required)
                done.append(ops.AssignSubVariableOp(resource=variable, value=change))
        with tf.device(FIRST), tf.control_dependencies(done):
            counted = ops.AssignAddVariableOp(resource=self._version, value=tf.ones([], tf.int64))
            with tf.control_dependencies([counted]):
                version = ops.ReadVariableOp(resource=self._version, dtype=tf.int64)
        # From now on what is older is late. Taking adds 1, but pushes and `restore` move the version too.
        late = []
        for each in [self._who, *self._sums.values()]:
            with tf.device(each.device):
                late.append(ops.ResourceAccumulatorSetGlobalStep(handle=each, new_global_step=version))
        return who, tf.group(late)

    # ---- what is kept

    def save(self, path: str | os.PathLike[str]) -> int:
        """Write all variables and their version to one file (numpy's .npz), and return the version.

        It is written aside and then renamed: whoever looks finds the file of before or the new one, whole.
        """
        version, values = self.pull()
        with open(f"{path}.writing", "wb") as file:
            arrays: dict[str, Any] = {f"variables/{name}": value for name, value in values.items()}
            np.savez(file, **arrays, version=version)
        os.replace(f"{path}.writing", path)
        return version

    def restore(self, path: str | os.PathLike[str]) -> int:
        """Give all variables the values that `save` wrote, and return their version."""
        with np.load(path) as saved:
            version = int(saved["version"])
            self.fill({name: saved[f"variables/{name}"] for name in self._placed}, version)
        return version


def _add(accumulator: Any, version: Any, gradient: Any) -> Any:
    return ops.ResourceAccumulatorApplyGradient(handle=accumulator, local_step=version, gradient=gradient)
