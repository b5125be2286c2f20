"""Variables and accumulators on servers, and the parts of a graph that read and change them.

What tasks share they find by its name on the servers: training "between graphs", as TensorFlow's white paper has it
(section 3.3 and figure 7 of https://arxiv.org/abs/1603.04467). This module imports TensorFlow.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from labkit.errors import ClusterError
from labkit.parallel.compression import unpack
from labkit.parallel.rules import keep_all
from labkit.parallel.server_session import ServerSession

ops = tf.raw_ops
FIRST = "/job:ps/task:0/device:CPU:0"  # where the version is, and the count of who has laid gradients down


class Placed(NamedTuple):
    """A variable's device and shape."""

    device: str
    shape: tuple[int, ...]


class SharedVariables:
    """Variables on one or more servers, as one task sees them.

    Attributes:
        workers: how many workers lay down gradients for them.
    """

    def __init__(
        self, session: ServerSession, variables: Mapping[str, Placed], *, here: str, workers: int, timeout: float
    ) -> None:
        """Finds the variables, or creates them, without values.

        Args:
            session: with their servers.
            variables: name -> where it is, and its shape; the same in every task.
            here: the device on this side of the link.
            workers: see above.
            timeout: seconds that every wait may take.
        """
        self.workers, self._run, self._placed, self._here = workers, session.run, dict(variables), here
        self._timeout = timeout
        self._variables: dict[str, Any] = {}
        self._sums: dict[str, Any] = {}
        with session.graph.as_default():
            for name, (device, shape) in variables.items():
                with tf.device(device):
                    self._variables[name] = ops.VarHandleOp(dtype=tf.float32, shape=shape, shared_name=name)
                    self._sums[name] = _accumulator(f"{name}/gradients", shape, "MEAN")
            with tf.device(FIRST):
                self._version = ops.VarHandleOp(dtype=tf.int64, shape=[], shared_name="labkit/version")
                self._who = _accumulator("labkit/who", [workers], "SUM")

    def fill(self, values: Mapping[str, np.ndarray], version: int = 0) -> None:
        """Give all variables these values and this version."""
        self._run(self._assign, values=tf.nest.map_structure(np.float32, dict(values)), version=np.int64(version))

    def is_filled(self) -> bool:
        """Whether the variables have values."""
        return bool(self._run(self._is_filled))

    def wait_until_filled(self) -> None:
        """Return once they have.

        Raises:
            ClusterError: nobody filled them in time.
        """
        self._wait(self.is_filled, "nobody gave the variables their first values; the chief does, or else worker 0")

    def version(self) -> int:
        """How many updates the variables have had."""
        return int(self._run(self._read_version))

    def wait(self, version: int) -> None:
        """Return once the variables are at `version` or later.

        Raises:
            ClusterError: they were not there in time.
        """
        self._wait(lambda: self.version() >= version, f"version {version} did not come; does another task still train?")

    def pull(self, *, half: bool = False) -> tuple[int, dict[str, np.ndarray]]:
        """The version and a copy of all variables.

        The version, which counts the updates, is read first. While the variables are read others may update them, so
        they can be a little newer than it says, never older.

        Args:
            half: whether they cross the link as float16.
        """
        version, values = self._run(self._read_half if half else self._read)
        return int(version), values

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

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > deadline:
                raise ClusterError(f"Waited {self._timeout:g} s: {complaint}.")
            time.sleep(0.01)

    def _wait_for_gradients(self, required: int) -> None:
        """Of so many workers."""
        complaint = f"{required} workers' gradients are needed and did not come"
        self._wait(lambda: int(self._run(self._count)) >= required, complaint)

    # ---- parts of the graph

    def _is_filled(self) -> Any:
        with tf.device(FIRST):
            return ops.VarIsInitializedOp(resource=self._version)

    def _read_version(self) -> Any:
        with tf.device(FIRST):
            return ops.ReadVariableOp(resource=self._version, dtype=tf.int64)

    def _count(self) -> Any:
        with tf.device(FIRST):
            return ops.ResourceAccumulatorNumAccumulated(handle=self._who)

    def _read_half(self) -> tuple[Any, dict[str, Any]]:
        return self._read(half=True)

    def _read(self, half: bool = False) -> tuple[Any, dict[str, Any]]:
        values = {}
        version = self._read_version()
        for name, variable in self._variables.items():
            with tf.device(self._placed[name].device), tf.control_dependencies([version]):
                value = ops.ReadVariableOp(resource=variable, dtype=tf.float32)
                values[name] = tf.cast(value, tf.float16) if half else value
        with tf.device(self._here):  # on this side of the link
            return version, {name: tf.cast(value, tf.float32) for name, value in values.items()}

    def _update(self, gradients: dict[str, Any], rate: Any) -> Any:
        done = []
        for name, gradient in gradients.items():
            with tf.device(self._placed[name].device):
                change = rate * unpack(gradient, self._placed[name].shape)
                done.append(ops.AssignSubVariableOp(resource=self._variables[name], value=change))
        with tf.device(FIRST), tf.control_dependencies(done):
            return ops.AssignAddVariableOp(resource=self._version, value=tf.ones([], tf.int64))

    def _assign(self, values: dict[str, Any], version: Any) -> Any:
        done = []
        for name, value in values.items():
            with tf.device(self._placed[name].device):
                done.append(ops.AssignVariableOp(resource=self._variables[name], value=value))
        with tf.device(FIRST), tf.control_dependencies(done):  # last: who sees a version finds values
            return ops.AssignVariableOp(resource=self._version, value=version)


def take_from(accumulator: Any, required: Any) -> Any:
    """The op that empties an accumulator, once so many gradients are in it, and gives their sum or mean."""
    return ops.ResourceAccumulatorTakeGradient(handle=accumulator, num_required=required, dtype=tf.float32)


def _accumulator(name: str, shape: Any, reduction: str) -> Any:
    """Adds up gradients that are not older than its own step, which moves on whenever the sum is taken."""
    return ops.ResourceConditionalAccumulator(
        dtype=tf.float32, shape=shape, container="", shared_name=name, reduction_type=reduction
    )
