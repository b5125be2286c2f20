"""A session with parameter servers: parts of a graph that run there, built when they are first asked for.

What runs on the servers are graphs, sent there by a session. In TensorFlow 2.21 a server that more than one program has
connected to with `tf.config.experimental_connect_to_cluster` can crash: each new connection frees an object (the
manager of collective operations) that the connections before it still use. Sessions do not touch it.

This module imports TensorFlow.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from labkit.errors import ClusterError

_SERVER_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)


class ServerSession:
    """What one task runs on the servers.

    Attributes:
        graph: all parts so far.
    """

    def __init__(self, target: str, sees: Sequence[str]) -> None:
        """Connects to the server at `target`, and waits until all tasks that it `sees` (``/job:ps``) are there."""
        self.graph = tf.Graph()
        config = tf.compat.v1.ConfigProto(device_filters=list(sees))
        self._session = tf.compat.v1.Session(target, graph=self.graph, config=config)
        self._built: dict[Any, Any] = {}

    def run(self, part: Callable[..., Any], **inputs: Any) -> Any:
        """Run a part of the graph on these arrays, as a `tf.function` is run.

        Args:
            part: gets a placeholder for each array and returns the tensors that are wanted and operations to be done.
            inputs: arrays, dicts and tuples of arrays.

        Raises:
            ClusterError: a server is gone.
        """
        arrays = tf.nest.map_structure(np.asarray, inputs)
        key = part.__name__, repr(tf.nest.map_structure(lambda each: (each.dtype.name, *each.shape), arrays))
        if key not in self._built:
            with self.graph.as_default():
                holders = tf.nest.map_structure(lambda each: tf.compat.v1.placeholder(each.dtype, each.shape), arrays)
                self._built[key] = tf.nest.flatten(holders), part(**holders)
        holders, results = self._built[key]
        try:
            return self._session.run(results, dict(zip(holders, tf.nest.flatten(arrays), strict=True)))
        except _SERVER_LOST as error:
            raise ClusterError(
                "A parameter server is gone, and the variables on it with it. Start it again, then this task and the "
                f"others from what was saved last. TensorFlow said: {error.message.splitlines()[0]}"
            ) from error
