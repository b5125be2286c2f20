"""A traced training step, walked operation by operation: what is in memory when, for any batch.

A tensor takes memory from the operation that makes it to the last one that reads it, as in TensorFlow's executor. Each
size is a line, `fixed + batch * each`, so one walk answers for all batches.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_SAME_MEMORY = frozenset({"ExpandDims", "Identity", "PreventGradient", "Reshape", "Squeeze", "StopGradient"})
_NO_MEMORY = frozenset({"Const", "Placeholder", "ReadVariableOp", "VarHandleOp", "VariableV2"})
_ONLY_SHAPE = frozenset({"OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"})
_MAY_OVERWRITE = frozenset(
    {"Add", "AddN", "AddV2", "BiasAdd", "Erf", "Exp", "Mul", "Neg", "Pow", "RealDiv", "Relu", "Relu6", "Relu6Grad"}
    | {"ReluGrad", "Rsqrt", "Select", "SelectV2", "Sigmoid", "SigmoidGrad", "Softmax", "Sqrt", "Square", "Sub"}
    | {"SquaredDifference", "Tanh", "TanhGrad"}
)
"""Operations that write their result into an input of the same size that nobody reads afterwards."""
_LOOPS = frozenset({"While", "StatelessWhile"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_BRANCHES = frozenset({"Case", "If", "StatelessCase", "StatelessIf"})


@dataclass(frozen=True)
class Walk:
    """What a walk found. Each array's last axis is (bytes that do not depend on the batch, bytes for each example)."""

    _inputs: np.ndarray
    _kept: np.ndarray
    _moments: np.ndarray  # one row for each operation: what is in memory while it runs

    def inputs(self, batch: int) -> int:
        """Bytes of a batch of inputs."""
        return _bytes(self._inputs, batch)

    def kept(self, batch: int) -> int:
        """Bytes that the forward pass makes and the backward pass reads."""
        return _bytes(self._kept, batch)

    def fullest(self, batch: int) -> int:
        """Bytes in memory at the fullest moment, without weights, optimizer and inputs."""
        return int((self._moments @ [1, batch]).max(initial=0))


def walk(operations: Sequence[Any], forward: int, inputs: Sequence[Any], batch: int) -> Walk:
    """Walk a step.

    Args:
        operations: the graph's operations in the order in which they were traced.
        forward: how many of them are the forward pass; the rest is the backward pass.
        inputs: the tensors that hold the batch.
        batch: how many examples the step was traced with, a prime.

    Raises:
        ValueError: there is a loop, a branch or a called function in it, whose activations cannot be seen from outside.
    """
    for operation in operations[:forward]:
        _refuse_hidden(operation)
    made = {operation.name for operation in operations[:forward] if operation.type not in _NO_MEMORY}
    read = _by_memory(
        tensor for operation in operations[forward:] if operation.type not in _ONLY_SHAPE for tensor in operation.inputs
    )
    kept = [_size(tensor, batch) for tensor in read if tensor.op.name in made]
    return Walk(_sum([_size(tensor, batch) for tensor in inputs]), _sum(kept), _moments(operations, batch))


def _refuse_hidden(operation: Any) -> None:
    if operation.type in _LOOPS:
        raise ValueError(
            f"the model has a loop ({operation.name}), and what a loop keeps is not in the graph. Unroll it: "
            "keras.layers.LSTM(..., unroll=True)"
        )
    if operation.type in _CALLS:
        raise ValueError(
            f"the model calls a tf.function ({operation.name}), and what it keeps is not in the graph. Take "
            "@tf.function off the layer's call: the training step is one already"
        )
    # What a branch keeps for the backward pass is wrapped, as only one of them runs.
    if operation.type in _BRANCHES and any(output.dtype.name == "variant" for output in operation.outputs):
        raise ValueError(
            f"the model has a branch ({operation.name}), and what it keeps is not in the graph. Count the model with "
            "the branch that needs more alone"
        )


def _moments(operations: Sequence[Any], batch: int) -> np.ndarray:
    last_read: dict[Any, int] = {}
    for number, operation in enumerate(operations):
        last_read |= {_memory(tensor).ref(): number for tensor in operation.inputs}
    sizes: dict[Any, np.ndarray] = {}
    now, moments = np.zeros(2), []
    for number, operation in enumerate(operations):
        if operation.type in _SAME_MEMORY or operation.type in _NO_MEMORY:
            continue
        ends = [t.ref() for t in _by_memory(operation.inputs) if t.ref() in sizes and last_read[t.ref()] == number]
        outputs = {tensor.ref(): _size(tensor, batch) for tensor in operation.outputs}
        if operation.type in _MAY_OVERWRITE:
            (output,) = outputs.values()
            if taken := next((end for end in ends if np.array_equal(sizes[end], output)), None):
                now = now - sizes.pop(taken)
        now = now + _sum(list(outputs.values()))
        moments.append(now)
        sizes |= outputs
        for gone in itertools.chain(ends, (output for output in outputs if output not in last_read)):
            now = now - sizes.pop(gone, 0)
    return np.array(moments).reshape(-1, 2)


def _memory(tensor: Any) -> Any:
    """The tensor that owns this one's memory: a reshaped tensor is another view of the same bytes."""
    while tensor.op.type in _SAME_MEMORY:
        tensor = tensor.op.inputs[0]
    return tensor


def _by_memory(tensors: Any) -> list[Any]:
    """The tensors that own the memory of these, each once."""
    return list({owner.ref(): owner for owner in map(_memory, tensors)}.values())


def _size(tensor: Any, batch: int) -> np.ndarray:
    """Bytes that do not depend on the batch, and bytes for each example."""
    elements = tensor.shape.num_elements()
    if elements is None or not tensor.dtype.is_numpy_compatible or tensor.dtype.size is None:
        return np.zeros(2)
    size = elements * tensor.dtype.size
    return np.array([0, size / batch]) if elements and elements % batch == 0 else np.array([size, 0])


def _sum(sizes: Sequence[np.ndarray]) -> np.ndarray:
    return np.sum(np.reshape(sizes, (-1, 2)), axis=0)


def _bytes(line: np.ndarray, batch: int) -> int:
    return round(float(line @ [1, batch]))
