"""The calls that make up a Keras model, in an order that they can be made in, and in TensorFlow.js's order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.browser.layers_model_config import check_class
from labkit.browser.layers_model_refusals import TFJS, refusal

RECURRENT = ("Bidirectional", "ConvLSTM2D", "GRU", "LSTM", "RNN", "SimpleRNN")


@dataclass(eq=False)
class Call:
    """One call of a layer.

    Attributes:
        layer: the layer, or the model that is used as one.
        key: what tells it from all other calls.
        tensors: the symbolic tensors that it was called with.
        sources: for each of them the call that it comes from, and the place among that one's outputs.
    """

    layer: Any
    key: tuple[int, int]
    tensors: list[Any]
    sources: list[tuple["Call", int]] = field(default_factory=list)

    @property
    def shapes(self) -> list[tuple[int | None, ...]]:
        """The shapes of the inputs, with the batch."""
        return [tuple(tensor.shape) for tensor in self.tensors]


def is_model(layer: Any) -> bool:
    """Whether a layer is a model that consists of other layers: a Sequential or a Functional one."""
    import keras

    return isinstance(layer, keras.Model)


def calls(model: Any) -> list[Call]:
    """The calls of a model, each after those whose outputs it takes; the inputs come first.

    Raises:
        ModelConversionError: a layer is called in a way that TensorFlow.js does not have.
    """
    done: dict[tuple[int, int], Call] = {}
    for tensor in [*model.inputs, *model.outputs]:
        stack = [tensor]
        while stack:
            layer, index, _ = stack[-1]._keras_history
            if (id(layer), index) in done:
                stack.pop()
                continue
            tensors = _tensors(layer, layer._inbound_nodes[index])
            waiting = [t for t in tensors if _key(t) not in done]
            if waiting:
                stack += reversed(waiting)
                continue
            sources = [(done[_key(t)], t._keras_history.tensor_index) for t in tensors]
            done[id(layer), index] = Call(layer, (id(layer), index), tensors, sources)
            stack.pop()
    return list(done.values())


def outputs(model: Any, made: Iterable[Call]) -> list[tuple[Call, int]]:
    """For each output of a model the call that it comes from, and the place among that one's outputs."""
    by_key = {call.key: call for call in made}
    return [(by_key[_key(tensor)], tensor._keras_history.tensor_index) for tensor in model.outputs]


def in_loading_order(made: Sequence[Call]) -> dict[Any, list[Call]]:
    """The layers of a model, and for each its calls in the order in which TensorFlow.js makes them.

    It goes through the layers again and again, and makes those calls whose inputs are there. So the second call of a
    layer may come before its first, and with it the number by which other layers refer to it.
    """
    waiting: dict[Any, list[Call]] = {}
    for call in made:
        waiting.setdefault(call.layer, []).append(call)
    order: dict[Any, list[Call]] = {layer: [] for layer in waiting}
    ready: set[Call] = set()
    while any(waiting.values()):
        for layer, left in waiting.items():
            for call in left.copy():
                if all(source in ready for source, _ in call.sources):
                    ready.add(call)
                    order[layer].append(call)
                    left.remove(call)
    return order


def mask_of(tensor: Any) -> Any:
    """The mask that a layer before gave to its output, or None."""
    return getattr(tensor, "_keras_mask", None)


def _key(tensor: Any) -> tuple[int, int]:
    return id(tensor._keras_history.operation), tensor._keras_history.node_index


def _tensors(layer: Any, node: Any) -> list[Any]:
    """The tensors of one call, in order.

    Raises:
        ModelConversionError: something else than tensors was given, or as something else than the input.
    """
    import keras

    def split(value: Any) -> tuple[list[Any], list[Any]]:
        leaves = [leaf for leaf in keras.tree.flatten(value) if leaf is not None]
        tensors = [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]
        return tensors, [leaf for leaf in leaves if not isinstance(leaf, keras.KerasTensor)]

    if not is_model(layer):
        check_class(layer)
    if not node.input_tensors:
        return []
    arguments = dict(zip(["inputs", "initial_state"], node.arguments.args, strict=False)) | node.arguments.kwargs
    arguments.pop("training", None)  # in `fit` and `predict` Keras does not keep to it either
    found: list[Any] = []
    for place, (name, value) in enumerate(arguments.items()):
        tensors, others = split(value)
        if name == "mask" and all(any(mask is t for t in map(mask_of, found)) for mask in tensors):
            continue  # those that the inputs bring with them
        state = name == "initial_state" and type(layer).__name__ in RECURRENT
        if others or (tensors and place > 0 and not state):
            raise refusal(
                layer,
                f"{TFJS} calls layers with their inputs alone, not with {name}={others or 'a tensor'}",
                "Call it with tensors from other layers.",
            )
        found += tensors
    return found
