"""One loaded version of one model, what TensorFlow Serving calls a servable."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from labkit.serving.embedded.session import Session
from labkit.serving.embedded.steps import Steps
from labkit.serving.embedded.work import is_steady

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

    from labkit.serving.embedded.metrics import Metrics

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Signature:
    """A SignatureDef in plain dicts, which are quicker to look into than the message.

    Attributes:
        inputs: the graph's tensor behind each input, as in ``x:0``.
        input_types: the number of each input's data type.
        outputs: the graph's tensor behind each output.
        defaults: values for inputs that a request may leave out.
        method_name: what it is for, as in ``tensorflow/serving/predict``.
    """

    inputs: dict[str, str]
    input_types: dict[str, int]
    outputs: dict[str, str]
    defaults: "dict[str, TensorProto]"
    method_name: str

    @classmethod
    def of(cls, definition: "SignatureDef") -> "Signature":
        """The same as `definition`; inputs and outputs in order of their names."""
        inputs, outputs = sorted(definition.inputs.items()), sorted(definition.outputs.items())
        return cls(
            {name: info.name for name, info in inputs},
            {name: info.dtype for name, info in inputs},
            {name: info.name for name, info in outputs},
            dict(definition.defaults.items()),
            definition.method_name,
        )


class Servable:
    """A model version that answers requests.

    Attributes:
        name: the model's name.
        version: its version number.
        session: runs it.
        signatures: its signatures by name.
        definitions: the same as the SignatureDef messages of the model.
        steady: the work of a run depends on the size of its inputs, not on their values.
        check_method_names: a signature answers only the calls that its method_name is for.
    """

    def __init__(
        self,
        name: str,
        version: int,
        session: Session,
        *,
        check_method_names: bool = False,
        metrics: "Metrics | None" = None,
    ) -> None:
        self.name = name
        self.version = version
        self.session = session
        self.definitions: dict[str, SignatureDef] = dict(session.meta_graph.signature_def.items())
        self.signatures = {key: Signature.of(definition) for key, definition in self.definitions.items()}
        self.steady = is_steady(session.meta_graph)
        self.check_method_names = check_method_names
        self._metrics = metrics
        self._in_use = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def run(self, api: str, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str]) -> Steps[list[np.ndarray]]:
        """The step that runs the model; the time it takes counts for `api` in the metrics, if there are any."""
        if self._metrics is None:
            return (yield feeds, fetches)
        started = perf_counter()
        results = yield feeds, fetches
        self._metrics.note_run(self.name, api, perf_counter() - started)
        return results

    def hold(self) -> None:
        """Keep this version loaded until `release`. Only on the event loop's thread, as `release`."""
        self._in_use += 1
        self._idle.clear()

    def release(self) -> None:
        """End a `hold`."""
        self._in_use -= 1
        if not self._in_use:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until no request uses this version."""
        await self._idle.wait()
