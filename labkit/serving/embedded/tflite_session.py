"""A TFLite model in LiteRT's interpreters, behind the same interface as a SavedModel in TensorFlow's session.

An interpreter answers one request at a time, with memory of its own for inputs, outputs and all between. So there
are several; each is made when it is first needed, since it takes that memory.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import EnvironmentProblem, pip_install
from labkit.serving.embedded import dtypes, tflite_shapes
from labkit.serving.embedded.session import RunLimits
from labkit.serving.embedded.status import Code, StatusError, invalid_argument
from labkit.serving.embedded.tflite_signatures import meta_graph, number_of

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef


def check_installed() -> None:
    """Check that LiteRT is there.

    Raises:
        EnvironmentProblem: it is not.
    """
    if find_spec("ai_edge_litert") is None:
        raise EnvironmentProblem(
            "--prefer_tflite_model needs the package ai-edge-litert, which is not installed here: "
            f"{pip_install('tflite')}"
        )


@dataclass(frozen=True)
class _Input:
    """An input tensor: its place in the model, its type, and its shape with -1 for sizes that are left open."""

    index: int
    type_number: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, details: dict[str, Any]) -> "_Input":
        signature, shape = details["shape_signature"], details["shape"]
        declared = signature if len(signature) else shape
        return cls(details["index"], number_of(details["dtype"]), tuple(declared.tolist()))


class TfliteSession:
    """A ``.tflite`` file, loaded; see `labkit.serving.embedded.session.Session`.

    A run cannot be stopped once it has begun: the time limit is for the wait for a free interpreter.
    """

    meta_graph: "MetaGraphDef"

    def __init__(self, path: Path, interpreters: int) -> None:
        """Read the file and make the first interpreter.

        Args:
            path: the file. It is read once; what becomes of it later does not matter.
            interpreters: how many requests are answered at a time.

        Raises:
            StatusError: NOT_FOUND, it cannot be read; INVALID_ARGUMENT, it holds no model that works.
        """
        try:
            self._content = path.read_bytes()
        except OSError as error:
            raise StatusError(Code.NOT_FOUND, f"{path}: {error.strerror or error}") from None
        self._permits = threading.Semaphore(interpreters)
        try:
            first = _Interpreter(self._content)
        except (RuntimeError, ValueError) as error:
            raise invalid_argument(f"{path} is no TFLite model that works here: {error}") from error
        self._free = [first]
        self.meta_graph = meta_graph(self._content, first.inputs, first.outputs)
        self._any_size = tflite_shapes.is_arithmetic(self._content)
        self._inputs = {tensor["name"]: _Input.of(tensor) for tensor in first.inputs}
        self._outputs = {tensor["name"]: tensor["index"] for tensor in first.outputs}

    def run(
        self, feeds: Sequence[tuple[str, np.ndarray]], fetches: Sequence[str], limits: RunLimits
    ) -> list[np.ndarray]:
        """See `Session.run`; which shapes inputs may have, `tflite_shapes` says."""
        inputs = [self._input(place, name, array) for place, (name, array) in enumerate(feeds)]
        with self._borrowed(limits.timeout_ms) as interpreter:
            return interpreter.run(inputs, [self._outputs[name] for name in fetches])

    def close(self) -> None:
        """See `Session.close`."""
        self._free.clear()
        self._content = b""

    def _input(self, place: int, name: str, array: np.ndarray) -> tuple[int, np.ndarray]:
        expected, given = self._inputs[name], dtypes.of(array)
        if given.number != expected.type_number:
            wanted = dtypes.data_type(expected.type_number).name
            raise invalid_argument(f"Expects arg[{place}] to be {wanted} but {given.name} is provided")
        tflite_shapes.check(name, array.shape, expected.shape, any_size=self._any_size)
        return expected.index, array

    @contextmanager
    def _borrowed(self, timeout_ms: int) -> "Iterator[_Interpreter]":
        """An interpreter that nobody else uses meanwhile."""
        if not self._permits.acquire(timeout=timeout_ms / 1000 if timeout_ms else None):
            raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for a free interpreter")
        try:
            try:
                interpreter = self._free.pop()
            except IndexError:
                interpreter = _Interpreter(self._content)
            yield interpreter
            self._free.append(interpreter)  # not one that failed: who knows what state it is in
        finally:
            self._permits.release()


class _Interpreter:
    """One of LiteRT's interpreters.

    Attributes:
        inputs: its details of its input tensors.
        outputs: the same of its output tensors.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._made = Interpreter(model_content=content)
        self._made.allocate_tensors()
        self.inputs: list[dict[str, Any]] = self._made.get_input_details()
        self.outputs: list[dict[str, Any]] = self._made.get_output_details()
        self._shapes = {tensor["index"]: tuple(tensor["shape"].tolist()) for tensor in self.inputs}

    def run(self, inputs: Sequence[tuple[int, np.ndarray]], outputs: Sequence[int]) -> list[np.ndarray]:
        """The tensors at `outputs`, computed from `inputs`, arrays by the place of their tensor.

        Raises:
            StatusError: INTERNAL (upstream's code), the model cannot be given these shapes, or cannot be run on these
                values.
        """
        try:
            self._resize(inputs)
        except (RuntimeError, ValueError) as error:
            shapes = ", ".join(f"{self._name(index)} to {list(array.shape)}" for index, array in inputs)
            raise StatusError(Code.INTERNAL, f"Failed to resize input tensor: {shapes}: {error}") from error
        try:
            self._made.reset_all_variables()  # a recurrent layer keeps its state from run to run
            for index, array in inputs:
                self._made.set_tensor(index, array)
            self._made.invoke()
            return [self._made.get_tensor(index) for index in outputs]
        except (RuntimeError, ValueError) as error:
            raise StatusError(Code.INTERNAL, f"Failed to run interpreter: {error}") from error

    def _resize(self, inputs: Sequence[tuple[int, np.ndarray]]) -> None:
        changed = [(index, array.shape) for index, array in inputs if array.shape != self._shapes[index]]
        for index, shape in changed:
            self._made.resize_tensor_input(index, shape)
            self._shapes[index] = shape
        if changed:
            self._made.allocate_tensors()

    def _name(self, index: int) -> str:
        return next(tensor["name"] for tensor in self.inputs if tensor["index"] == index)
