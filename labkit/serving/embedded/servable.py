"""One loaded version of one model, what TensorFlow Serving calls a servable."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.serving.embedded.session import Session

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef

DEFAULT_SIGNATURE = "serving_default"
_LOOPS = {"While", "StatelessWhile", "Enter", "PyFunc", "EagerPyFunc", "PyFuncStateless", "QueueDequeueV2"}


@dataclass(frozen=True)
class Signature:
    """A SignatureDef in plain dicts, which are quicker to look into than the message.

    Attributes:
        inputs: the graph's tensor behind each input, as in ``x:0``.
        input_types: the number of each input's data type.
        outputs: the graph's tensor behind each output.
        defaults: values for inputs that a request may leave out.
    """

    inputs: dict[str, str]
    input_types: dict[str, int]
    outputs: dict[str, str]
    defaults: "dict[str, TensorProto]"

    @classmethod
    def of(cls, definition: "SignatureDef") -> "Signature":
        """The same as `definition`; inputs and outputs in order of their names."""
        inputs, outputs = sorted(definition.inputs.items()), sorted(definition.outputs.items())
        return cls(
            {name: info.name for name, info in inputs},
            {name: info.dtype for name, info in inputs},
            {name: info.name for name, info in outputs},
            dict(definition.defaults.items()) if hasattr(definition, "defaults") else {},
        )


class Servable:
    """A model version that answers requests.

    Attributes:
        name: the model's name.
        version: its version number.
        session: runs it.
        signatures: its signatures by name.
        definitions: the same as the SignatureDef messages of the model.
        quick_runs: how many requests in a row it answered quickly; kept by the dispatcher.
        bounded: its run time depends on the size of its input only; false where the graph holds loops or Python.
    """

    def __init__(self, name: str, version: int, session: Session) -> None:
        self.name = name
        self.version = version
        self.session = session
        self.definitions: dict[str, SignatureDef] = dict(session.meta_graph.signature_def.items())
        self.signatures = {key: Signature.of(definition) for key, definition in self.definitions.items()}
        self.bounded = not _holds_loops(session.meta_graph)
        self.quick_runs = 0
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def in_use(self) -> Iterator["Servable"]:
        """Hold this version loaded for the length of a request. Only on the event loop's thread."""
        self._in_use += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self._in_use -= 1
            if not self._in_use:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until no request uses this version."""
        await self._idle.wait()


def _holds_loops(meta_graph: "MetaGraphDef") -> bool:
    graph = meta_graph.graph_def
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return any(node.op in _LOOPS for group in nodes for node in group)
