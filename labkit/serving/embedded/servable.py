"""One loaded version of one model, what TensorFlow Serving calls a servable."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labkit.serving.embedded.session import Session

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef

DEFAULT_SIGNATURE = "serving_default"
_LOOPS = {"While", "StatelessWhile", "Enter", "PyFunc", "EagerPyFunc", "PyFuncStateless", "QueueDequeueV2"}


class Servable:
    """A model version that answers requests.

    Attributes:
        name: the model's name.
        version: its version number.
        session: runs it.
        signatures: its SignatureDefs by name.
        quick_runs: how many requests in a row it answered quickly; kept by the dispatcher.
        bounded: its run time depends on the size of its input only; false where the graph holds loops or Python.
    """

    def __init__(self, name: str, version: int, session: Session) -> None:
        self.name = name
        self.version = version
        self.session = session
        self.signatures: dict[str, SignatureDef] = dict(session.meta_graph.signature_def.items())
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
