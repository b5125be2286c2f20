"""The fallback where no C API library is at hand (Windows): the same session through Python TensorFlow.

It runs with the call beneath `tf.compat.v1.Session.run`: that method checks shapes in Python, which TensorFlow Serving
does not, and words its errors differently.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.serving.embedded.session import RunLimits
from labkit.serving.embedded.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.config_pb2 import ConfigProto


class PythonSession:
    """A SavedModel in a `tf.compat.v1.Session`; see `labkit.serving.embedded.session.Session`."""

    _importing = threading.Lock()

    def __init__(self, folder: Path, tags: Sequence[str], config: "ConfigProto") -> None:
        with self._importing:
            import tensorflow as tf
            from tensorflow.python.client import pywrap_tf_session

        self._runtime = pywrap_tf_session
        self._error = tf.errors.OpError
        try:
            with tf.Graph().as_default() as self._graph:
                self._session = tf.compat.v1.Session(graph=self._graph, config=config)
                self.meta_graph = tf.compat.v1.saved_model.load(self._session, list(tags), str(folder))
        except tf.errors.OpError as error:
            raise StatusError(Code(error.error_code), error.message) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise StatusError(Code.NOT_FOUND, str(error)) from error

    def run(
        self, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str], limits: RunLimits
    ) -> list[np.ndarray]:
        """See `Session.run`."""
        from tensorflow.core.protobuf.config_pb2 import RunOptions

        options = RunOptions(timeout_in_ms=limits.timeout_ms).SerializeToString()
        inputs = {self._output(name): array for name, array in feeds}
        outputs = [self._output(name) for name in fetches]
        buffer = self._runtime.TF_NewBufferFromString(options)
        try:
            results = self._runtime.TF_SessionRun_wrapper(self._session._session, buffer, inputs, outputs, [], None)
        except self._error as error:
            raise StatusError(Code(error.error_code), error.message) from error
        finally:
            self._runtime.TF_DeleteBuffer(buffer)
        # A scalar comes as a Python value; bytes would become numpy's fixed-length type.
        return [np.array(result, object) if isinstance(result, bytes) else np.asarray(result) for result in results]

    def close(self) -> None:
        """See `Session.close`."""
        self._session.close()

    def _output(self, name: str) -> Any:  # a private type of TensorFlow's
        try:
            return self._graph.get_tensor_by_name(name if ":" in name else f"{name}:0")._as_tf_output()
        except KeyError as error:
            raise StatusError(Code.NOT_FOUND, f"The graph has no tensor {name}, which the signature names.") from error
