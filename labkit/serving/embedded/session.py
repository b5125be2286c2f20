"""A SavedModel in TensorFlow's C++ session, the runtime TensorFlow Serving itself runs."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from labkit.errors import EnvironmentProblem
from labkit.serving.embedded import c_api
from labkit.serving.embedded.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.config_pb2 import ConfigProto
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef


_MOST_KNOWN = 1000


@dataclass(frozen=True)
class RunLimits:
    """How one run may go about it.

    Attributes:
        timeout_ms: the run ends with DEADLINE_EXCEEDED after so long; 0 for no limit.
        in_caller_thread: run the operations in the calling thread instead of handing them to the session's pool. It
            saves the hand-over, which costs more than a small model; the timeout has no effect then.
    """

    timeout_ms: int = 0
    in_caller_thread: bool = False


class Session(Protocol):
    """A loaded SavedModel.

    Attributes:
        meta_graph: the MetaGraphDef it was loaded from: signatures and graph.
    """

    meta_graph: "MetaGraphDef"

    def run(
        self, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str], limits: RunLimits
    ) -> list[np.ndarray]:
        """Run the graph once: `feeds` and `fetches` name tensors as in ``dense/BiasAdd:0``.

        Raises:
            StatusError: with the code and text of the operation that failed.
        """

    def close(self) -> None:
        """Free the model's memory; no run may be going on."""


def load(folder: Path, tags: Sequence[str], config: "ConfigProto", runtime: str = "auto") -> Session:
    """Load the SavedModel in `folder`.

    Args:
        folder: holds ``saved_model.pb``.
        tags: the tags of the MetaGraphDef to load, usually ``serve``.
        config: the session's configuration.
        runtime: ``c_api``, ``python`` (the fallback, which imports TensorFlow), or ``auto``: the first that works here.

    Raises:
        StatusError: TensorFlow could not load it.
    """
    if choose_runtime(runtime) == "c_api":
        return CSession(folder, tags, config)
    from labkit.serving.embedded.python_session import PythonSession

    return PythonSession(folder, tags, config)


def choose_runtime(runtime: str) -> str:
    """Turn ``auto`` into ``c_api`` where the wheel carries the C API's library, else into ``python``."""
    if runtime != "auto":
        return runtime
    try:
        c_api.library_path()
    except EnvironmentProblem:
        return "python"
    return "c_api"


class CSession:
    """A SavedModel loaded through TensorFlow's C API."""

    def __init__(self, folder: Path, tags: Sequence[str], config: "ConfigProto") -> None:
        from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

        api = c_api.library()
        options, buffer = api.TF_NewSessionOptions(), api.TF_NewBuffer()
        self._graph = api.TF_NewGraph()
        try:
            serialised = config.SerializeToString()
            with c_api.Status() as status:
                api.TF_SetConfig(options, serialised, len(serialised), status)
            names = (ctypes.c_char_p * len(tags))(*[tag.encode() for tag in tags])
            with c_api.Status() as status:
                self._session = api.TF_LoadSessionFromSavedModel(
                    options, None, str(folder).encode(), names, len(tags), self._graph, buffer, status
                )
            held = c_api.Buffer.from_address(buffer)
            self.meta_graph = MetaGraphDef.FromString(ctypes.string_at(held.data, held.length))
        except BaseException:
            api.TF_DeleteGraph(self._graph)
            raise
        finally:
            api.TF_DeleteSessionOptions(options)
            api.TF_DeleteBuffer(buffer)
        self._known_outputs: dict[tuple[str, ...], Any] = {}
        self._in_caller_thread = _run_options(RunLimits(in_caller_thread=True))

    def run(
        self, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str], limits: RunLimits
    ) -> list[np.ndarray]:
        """See `Session.run`."""
        api = c_api.library()
        names, wanted = self._outputs(tuple(name for name, _ in feeds)), self._outputs(tuple(fetches))
        tensors = (ctypes.c_void_p * len(feeds))()
        results: Any = (ctypes.c_void_p * len(fetches))()  # none is null after a run that went well
        options = self._in_caller_thread if limits.in_caller_thread else _run_options(limits)
        try:
            for index, (_, array) in enumerate(feeds):
                tensors[index] = c_api.to_tensor(array)
            with c_api.Status() as status:
                api.TF_SessionRun(
                    *(self._session, options, names, tensors, len(feeds)),
                    *(wanted, results, len(fetches), None, 0, None, status),
                )
            return [c_api.to_array(tensor) for tensor in results]
        finally:
            for tensor in (*tensors, *results):
                if tensor:
                    api.TF_DeleteTensor(tensor)
            if options and not limits.in_caller_thread:
                api.TF_DeleteBuffer(options)

    def close(self) -> None:
        """See `Session.close`."""
        api = c_api.library()
        for function in (api.TF_CloseSession, api.TF_DeleteSession):
            with c_api.Status() as status:
                function(self._session, status)
        api.TF_DeleteGraph(self._graph)
        api.TF_DeleteBuffer(self._in_caller_thread)

    def _outputs(self, names: tuple[str, ...]) -> Any:
        """An array of TF_Output; signatures ask for the same ones again and again, so they are kept."""
        outputs = self._known_outputs.get(names)
        if outputs is None:
            if len(self._known_outputs) >= _MOST_KNOWN:  # an output_filter may ask for them in any order
                self._known_outputs.clear()
            outputs = (c_api.Output * len(names))(*map(self._output, names))
            self._known_outputs[names] = outputs
        return outputs

    def _output(self, name: str) -> c_api.Output:
        operation, _, index = name.partition(":")
        pointer = c_api.library().TF_GraphOperationByName(self._graph, operation.encode())
        if not pointer:
            raise StatusError(Code.NOT_FOUND, f"The graph has no operation {operation}, which the signature names.")
        return c_api.Output(pointer, int(index or 0))


def _run_options(limits: RunLimits) -> Any:
    """A TF_Buffer with RunOptions, None for the default ones."""
    from tensorflow.core.protobuf.config_pb2 import RunOptions

    if not limits.timeout_ms and not limits.in_caller_thread:
        return None
    pool = -1 if limits.in_caller_thread else 0  # -1: the caller's thread (direct_session.cc)
    options = RunOptions(timeout_in_ms=limits.timeout_ms, inter_op_thread_pool=pool).SerializeToString()
    return c_api.library().TF_NewBufferFromString(options, len(options))
