"""Variables that live on parameter servers, shared by workers that are processes of their own.

    servers = ParameterServers({"weights": np.zeros([64, 10], np.float32)})      # in every worker, and in the chief
    version, values = servers.pull()
    staleness = servers.push(gradients, version, learning_rate=0.1)              # asynchronous: applied at once

The servers are TensorFlow's own (`tf.distribute.Server`), and so is the rule that drops late gradients (its conditional
accumulators). Each worker runs a loop of its own, and what they share they find by its name on the servers: training
"between graphs", as TensorFlow's white paper has it (section 3.3 and figure 7 of https://arxiv.org/abs/1603.04467).

Which task this is and where the servers are, ``TF_CONFIG`` tells. This module imports TensorFlow.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from labkit.errors import ClusterError
from labkit.parallel.compression import unpack
from labkit.parallel.rules import keep_all
from labkit.parallel.server_session import ServerSession
from labkit.parallel.tf_config import read_tf_config

ops = tf.raw_ops


def serve() -> None:
    """What a ps task does: hold variables for the others, until it is ended from outside. It never returns."""
    cluster, _, index = read_tf_config()
    tf.distribute.Server(cluster, job_name="ps", task_index=index).join()


class ParameterServers:
    """Variables on the ps tasks of a cluster, as one worker or the chief sees them.

    Attributes:
        task: this task's type, ``chief`` or ``worker``.
        index: and its index.
        workers: how many workers the cluster has.
        leads: whether this task gives the variables their first values: the chief, or worker 0 where there is none.
    """

    def __init__(
        self, variables: Mapping[str, np.ndarray], *, checkpoint: str | os.PathLike | None = None, timeout: float = 60.0
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
        self.workers, self._timeout = len(cluster.get("worker", [])), timeout
        self.leads = self.task == "chief" or ("chief" not in cluster and self.index == 0)
        self._place = {
            each: f"/job:ps/task:{number % len(cluster['ps'])}/device:CPU:0" for number, each in enumerate(variables)
        }
        self._shapes = {each: np.shape(value) for each, value in variables.items()}
        self._first, self._me = "/job:ps/task:0/device:CPU:0", np.float32(np.arange(self.workers) == self.index)
        self._here = f"/job:{self.task}/task:{self.index}/device:CPU:0"
        session = ServerSession(cluster, self.task, self.index)
        self._run = session.run
        with session.graph.as_default():
            self._find_by_name()
        self._fill_or_wait(variables, checkpoint)

    def _find_by_name(self) -> None:
        """One variable and one accumulator for each name, two more for all: created by whoever asks first."""
        self._variables, self._sums = {}, {}
        for name, shape in self._shapes.items():
            with tf.device(self._place[name]):
                self._variables[name] = ops.VarHandleOp(dtype=tf.float32, shape=shape, shared_name=name)
                self._sums[name] = _accumulator(f"{name}/gradients", shape, "MEAN")
        with tf.device(self._first):
            self._version = ops.VarHandleOp(dtype=tf.int64, shape=[], shared_name="labkit/version")
            self._who = _accumulator("labkit/who", [self.workers], "SUM")

    def _fill_or_wait(self, variables: Mapping[str, np.ndarray], checkpoint: str | os.PathLike | None) -> None:
        def filled() -> bool:
            return bool(self._run(self._is_filled))

        if self.leads and not filled():  # a chief that was started anew finds them filled
            if checkpoint and os.path.exists(checkpoint):
                self.restore(checkpoint)
            else:
                values = {name: np.float32(value) for name, value in variables.items()}
                self._run(self._assign, values=values, version=np.int64(0))
        self._wait(filled, "nobody gave the variables their first values; the chief does, or else worker 0")

    def _is_filled(self) -> Any:
        with tf.device(self._first):
            return ops.VarIsInitializedOp(resource=self._version)

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError(f"Waited {self._timeout:g} s: {complaint}.")
            time.sleep(0.01)

    # ---- what workers do

    def pull(self, *, half: bool = False) -> tuple[int, dict[str, np.ndarray]]:
        """The version and a copy of all variables.

        The version, which counts the updates, is read first. While the variables are read others may update them, so
        they can be a little newer than it says, never older.

        Args:
            half: whether they cross the link as float16.
        """
        version, values = self._run(self._read_half if half else self._read)
        return int(version), values

    def _read_half(self) -> tuple[Any, dict[str, Any]]:
        return self._read(half=True)

    def _read(self, half: bool = False) -> tuple[Any, dict[str, Any]]:
        values = {}
        with tf.device(self._first):
            version = ops.ReadVariableOp(resource=self._version, dtype=tf.int64)
        for name, variable in self._variables.items():
            with tf.device(self._place[name]), tf.control_dependencies([version]):
                value = ops.ReadVariableOp(resource=variable, dtype=tf.float32)
                values[name] = tf.cast(value, tf.float16) if half else value
        with tf.device(self._here):  # on this side of the link
            return version, {name: tf.cast(value, tf.float32) for name, value in values.items()}

    def push(
        self,
        gradients: Mapping[str, Any],
        version: int,
        learning_rate: float,
        rule: Callable[[int], float] = keep_all,
    ) -> int:
        """Asynchronous training: update the variables at once, whatever the other workers are doing.

        Args:
            gradients: name -> array, or what `labkit.parallel`'s compression made of it.
            version: what `pull` gave together with the values that the gradients are of.
            learning_rate: the update is ``variable -= rule(staleness) * learning_rate * gradient``.
            rule: staleness -> factor; at 0 nothing is sent and the version stays.

        Returns:
            The gradients' staleness: how many updates there were since `version`.
        """
        staleness = self.version() - version
        factor = rule(staleness)
        if factor:
            self._run(self._update, gradients=dict(gradients), rate=np.float32(factor * learning_rate))
        return staleness

    def _update(self, gradients: dict[str, Any], rate: Any) -> Any:
        done = []
        for name, gradient in gradients.items():
            with tf.device(self._place[name]):
                change = rate * unpack(gradient, self._shapes[name])
                done.append(ops.AssignSubVariableOp(resource=self._variables[name], value=change))
        with tf.device(self._first), tf.control_dependencies(done):
            return ops.AssignAddVariableOp(resource=self._version, value=tf.ones([], tf.int64))

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
            with tf.device(self._place[name]):
                dense = unpack(gradient, self._shapes[name])
                done.append(_add(self._sums[name], version, dense))
        with tf.device(self._first), tf.control_dependencies(done):  # last: who is counted has laid down all
            return _add(self._who, version, tf.constant(self._me))

    def version(self) -> int:
        """How many updates the variables have had."""
        return int(self._run(self._read_version))

    def _read_version(self) -> Any:
        with tf.device(self._first):
            return ops.ReadVariableOp(resource=self._version, dtype=tf.int64)

    def wait(self, version: int) -> None:
        """Return once the variables are at `version` or later.

        Raises:
            ClusterError: they were not there in time.
        """
        self._wait(lambda: self.version() >= version, f"version {version} did not come; does another task still train?")

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
        self._wait(
            lambda: int(self._run(self._count)) >= required,
            f"{required} workers' gradients are needed and did not come",
        )
        who, _ = self._run(self._take, required=np.int32(required), rate=np.float32(learning_rate))
        return np.flatnonzero(who).tolist()

    def _count(self) -> Any:
        with tf.device(self._first):
            return ops.ResourceAccumulatorNumAccumulated(handle=self._who)

    def _take(self, required: Any, rate: Any) -> Any:
        # Taking could also do the waiting, on the server. But a chief that dies would leave a hand there that takes.
        done = []
        with tf.device(self._first):
            who = _take_from(self._who, required)
        for name, variable in self._variables.items():
            with tf.device(self._place[name]), tf.control_dependencies([who]):
                change = rate * _take_from(self._sums[name], required)
                done.append(ops.AssignSubVariableOp(resource=variable, value=change))
        with tf.device(self._first), tf.control_dependencies(done):
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

    def save(self, path: str | os.PathLike) -> int:
        """Write all variables and their version to one file (numpy's .npz), and return the version.

        It is written aside and then renamed: whoever looks finds the file of before or the new one, whole.
        """
        version, values = self.pull()
        with open(f"{path}.writing", "wb") as file:
            np.savez(file, **{f"variables/{name}": value for name, value in values.items()}, version=version)
        os.replace(f"{path}.writing", path)
        return version

    def restore(self, path: str | os.PathLike) -> int:
        """Give all variables the values that `save` wrote, and return their version."""
        with np.load(path) as saved:
            version = saved["version"]
            values = {name: saved[f"variables/{name}"] for name in self._shapes}
            self._run(self._assign, values=values, version=version)
        return int(version)

    def _assign(self, values: dict[str, Any], version: Any) -> Any:
        done = []
        for name, value in values.items():
            with tf.device(self._place[name]):
                done.append(ops.AssignVariableOp(resource=self._variables[name], value=value))
        with tf.device(self._first), tf.control_dependencies(done):  # last: who sees a version finds values
            return ops.AssignVariableOp(resource=self._version, value=version)


def _accumulator(name: str, shape: Any, reduction: str) -> Any:
    """Adds up gradients that are not older than its own step, which moves on whenever the sum is taken."""
    return ops.ResourceConditionalAccumulator(
        dtype=tf.float32, shape=shape, container="", shared_name=name, reduction_type=reduction
    )


def _add(accumulator: Any, version: Any, gradient: Any) -> Any:
    return ops.ResourceAccumulatorApplyGradient(handle=accumulator, local_step=version, gradient=gradient)


def _take_from(accumulator: Any, required: Any) -> Any:
    return ops.ResourceAccumulatorTakeGradient(handle=accumulator, num_required=required, dtype=tf.float32)
