"""A Keras 3 model as TensorFlow.js layers writes it: the layers with their calls, and the weights by name."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from labkit.browser import layers_model_graph as graph
from labkit.browser.layers_model_config import write_layer
from labkit.browser.layers_model_gradients import acts_in_training, check_gradient
from labkit.browser.layers_model_masks import check_masks
from labkit.browser.layers_model_options import plain
from labkit.browser.layers_model_refusals import TFJS, refusal
from labkit.browser.layers_model_special import Shapes
from labkit.errors import ModelConversionError

_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._/]*")  # isValidTensorName in tfjs-layers
_LOOK_UP = ("CategoryEncoding", "Embedding")  # what they are given are numbers of something, not quantities
_WEIGHT_NAMES = {("DepthwiseConv2D", "kernel"): "depthwise_kernel"}


class Topology:
    """The translation of one model.

    Attributes:
        config: of the model, for `model_config` in ``model.json``.
        weights: the model's variables by the names that they have in TensorFlow.js.
    """

    def __init__(self, model: Any) -> None:
        """Translate all of `model`.

        Raises:
            ModelConversionError: it, or a part of it, has no equal in TensorFlow.js.
        """
        _check_model(model)
        self.weights: dict[str, Any] = {}
        self._owners: set[int] = set()
        self._learns = False  # whether anything so far is trained: then gradients go through what comes after it
        self._counts = Counter(layer.name for layer in _layers(model))
        self.config = {"name": model.name} | self._model(model, "", model.trainable, False)

    def _model(self, model: Any, path: str, trainable: bool, again: bool) -> dict[str, Any]:
        """What a model consists of; `path` is its name where it is a layer, `again` whether it is called repeatedly."""
        made = graph.calls(model)
        check_masks(model, made, bool(path))
        _check_outputs(model, made)
        order = graph.in_loading_order(made)
        names = {layer: self._name(layer, path) for layer in order}
        layers = []
        for layer, calls in order.items():
            nodes = [[_place(source, order, names) for source in call.sources] for call in calls]
            nodes = [node for node in nodes if node]
            for config in self._layer(layer, names[layer], calls, trainable, again, made):
                name = config["config"]["name"]
                layers.append({"name": name, **config, "inbound_nodes": nodes})
                nodes = [[[name, number, 0, {}]] for number in range(len(nodes))]  # for a second one, if there is
        return {
            "layers": layers,
            "input_layers": [[names[tensor._keras_history.operation], 0, 0] for tensor in model.inputs],
            "output_layers": [_place(output, order, names)[:3] for output in graph.outputs(model, made)],
        }

    def _layer(
        self,
        layer: Any,
        name: str,
        calls: Sequence[graph.Call],
        trainable: bool,
        again: bool,
        made: Sequence[graph.Call],
    ) -> list[dict[str, Any]]:
        """The one or more layers, one after the other, that are written for one of a model."""
        if type(layer).__name__ == "InputLayer":
            users = [call.layer for call in made if any(source in calls for source, _ in call.sources)]
            return [_input(layer, name, users)]
        if type(layer).__name__ == "Normalization":
            return _normalization(layer, name)
        part = self._part(layer, name, [call.shapes for call in calls], trainable, again or len(calls) > 1)
        if type(layer).__name__ == "CategoryEncoding":  # it changes the shape of what is before it
            return [_reshape(f"{name}.copy", calls[0].shapes[0]), part]
        return [part]

    def _part(self, layer: Any, name: str, shapes: Sequence[Shapes], trainable: bool, again: bool) -> dict[str, Any]:
        """A layer with all that it consists of; its weights are named and kept."""
        trainable = trainable and layer.trainable
        if graph.is_model(layer):
            _check_model(layer)
            return {"class_name": "Functional", "config": {"name": name} | self._model(layer, name, trainable, again)}
        class_name, config = write_layer(layer, shapes, trainable)
        config["name"] = name
        if self._learns or (trainable and layer.trainable_weights):
            check_gradient(layer, class_name, config, shapes)
        if again and any(key.endswith("_regularizer") and value for key, value in config.items()):
            raise refusal(
                layer, f"it is called more than once, and {TFJS} adds its regularizer each time", "Set it to None."
            )
        if class_name == "TimeDistributed":
            config["layer"] = self._each_step(layer, name, shapes, trainable, again)
        elif class_name == "Bidirectional":
            config["layer"] = self._both_ways(layer, name, shapes, trainable)
        elif class_name == "RNN":
            config["cell"] = self._cell(layer, shapes, name, trainable)
        else:
            self._keep(name, getattr(layer, "cell", layer), trainable)
        return {"class_name": class_name, "config": config}

    def _each_step(
        self, layer: Any, name: str, shapes: Sequence[Shapes], trainable: bool, again: bool
    ) -> dict[str, Any]:
        """What a TimeDistributed applies at each step of time."""
        inner = layer.layer
        if type(inner).__name__ in ("Bidirectional", "TimeDistributed", "RNN", "Normalization"):
            raise refusal(layer, f"{TFJS} does not repeat a {type(inner).__name__} at each step")
        for part in [inner, *(_layers(inner) if graph.is_model(inner) else [])]:
            if type(part).__name__ == "BatchNormalization":
                raise refusal(
                    layer, f"{TFJS} would train the statistics of {part.name!r} at each step", "Use Reshape around it."
                )
        if graph.is_model(inner):
            return self._part(inner, self._name(inner, name), [], trainable, True)
        inner_shapes = [[(shape[0], *shape[2:]) for shape in call] for call in shapes]
        written = self._part(inner, name, inner_shapes, trainable, again)  # its weights have the wrapper's name
        return written | {"config": written["config"] | {"name": inner.name}}

    def _both_ways(self, layer: Any, name: str, shapes: Sequence[Shapes], trainable: bool) -> dict[str, Any]:
        """The layer that a Bidirectional runs forwards; TensorFlow.js makes the one for backwards from it."""
        forward, backward = layer.forward_layer, layer.backward_layer
        class_name, config = write_layer(forward, shapes, trainable and forward.trainable)
        twin = write_layer(backward, shapes, trainable and backward.trainable)
        if class_name == "RNN" or (class_name, config | {"go_backwards": not config["go_backwards"]}) != twin:
            raise refusal(
                layer, f"{TFJS} runs the same kind of layer both ways", "Leave out backward_layer, and use no RNN."
            )
        config["name"] = forward.name.removeprefix("forward_")
        for way, part in (("forward", forward), ("backward", backward)):
            self._keep(f"{name}/{way}_{config['name']}", part.cell, config["trainable"])
        return {"class_name": class_name, "config": config}

    def _cell(self, layer: Any, shapes: Sequence[Shapes], name: str, trainable: bool) -> dict[str, Any]:
        """The cell of an RNN, or several that are stacked."""
        cells = [layer.cell]
        if type(layer.cell).__name__ == "StackedRNNCells":
            cells = layer.cell.cells
            if layer.return_state or any(len(call) > 1 for call in shapes):
                raise refusal(
                    layer, f"{TFJS} has the states of stacked cells in another order", "Use layers, one after another."
                )
        written = []
        for number, cell in enumerate(cells):
            class_name, config = write_layer(cell, shapes, trainable and cell.trainable)
            written.append({"class_name": class_name, "config": config | {"name": cell.name}})
            self._keep(f"{name}/RNNCell_{number}" if cells[0] is not layer.cell else name, cell, trainable)
        if cells[0] is layer.cell:
            return written[0]
        return {"class_name": "StackedRNNCells", "config": {"name": layer.cell.name, "cells": written}}

    def _keep(self, name: str, owner: Any, trainable: bool) -> None:
        """Take in the variables of a layer or cell.

        Raises:
            ModelConversionError: it is part of two models at once, or some of its weights only are frozen.
        """
        if not owner.weights:
            return
        if id(owner) in self._owners:
            raise refusal(
                owner,
                f"it is part of several models that are layers here, and {TFJS} would have a copy in each",
                "Make one of those models a layer of the other, or use another layer.",
            )
        self._owners.add(id(owner))
        if trainable and not all(variable.trainable for variable in owner._trainable_variables):
            raise refusal(
                owner, f"some of its weights are frozen, and {TFJS} freezes whole layers", "Freeze all or none."
            )
        self._learns |= trainable and bool(owner.trainable_weights)
        for variable in owner.weights:
            weight = _WEIGHT_NAMES.get((type(owner).__name__, variable.name), variable.name)
            self.weights[f"{name}/{weight}"] = variable

    def _name(self, layer: Any, path: str) -> str:
        """A layer's name, with that of the model that it is part of where others have the same.

        Raises:
            ModelConversionError: TensorFlow.js does not take it.
        """
        if not _NAME.fullmatch(layer.name):
            raise refusal(
                layer,
                f"{TFJS} takes names of letters without accents, digits and -._ that begin with a letter or digit",
                "Give the layer such a name.",
            )
        return f"{path}.{layer.name}" if path and self._counts[layer.name] > 1 else layer.name


def _layers(model: Any) -> Iterator[Any]:
    """All layers of a model, and of the models that are layers of it."""
    for layer in {id(call.layer): call.layer for call in graph.calls(model)}.values():
        yield layer
        inner = getattr(layer, "layer", layer)
        if graph.is_model(inner):
            _check_model(inner)
            yield from _layers(inner)


def _check_model(model: Any) -> None:
    """Only models that consist of layers are known.

    Raises:
        ModelConversionError: it is something else, or is not built.
    """
    import keras

    what = f"{type(model).__module__}.{type(model).__qualname__}"
    if not isinstance(model, keras.Model):
        raise ModelConversionError(f"model is a {what}; a model of Keras 3 is wanted.")
    if type(model).call.__qualname__ not in ("Functional.call", "Sequential.call"):
        raise ModelConversionError(
            f"Model {model.name!r} ({what}) is code of its own; {TFJS} knows models that consist of layers: a "
            "keras.Sequential, or a keras.Model(inputs, outputs)."
        )
    if not model.built or not getattr(model, "inputs", None):
        raise ModelConversionError(
            f"Model {model.name!r} does not know its inputs yet. Begin it with a keras.Input, or call it once."
        )


def _check_outputs(model: Any, made: Sequence[graph.Call]) -> None:
    """TensorFlow.js computes a layer anew for each of its outputs that is used.

    Raises:
        ModelConversionError: there is such a layer for which that is not the same.
    """
    used: dict[graph.Call, set[int]] = {}
    for source, output in [*(source for call in made for source in call.sources), *graph.outputs(model, made)]:
        used.setdefault(source, set()).add(output)
    for call, numbers in used.items():
        if len(numbers) > 1 and acts_in_training(call.layer):
            raise refusal(
                call.layer,
                f"{TFJS} runs it once for each of its {len(numbers)} outputs, each time with other random numbers, and "
                "updates statistics each time",
                "Use one output, or leave out dropout, noise and batch normalization.",
            )


def _place(source: tuple[graph.Call, int], order: dict[Any, list[graph.Call]], names: dict[Any, str]) -> list[Any]:
    """How TensorFlow.js refers to an output of a call: layer, number of the call, number of the output."""
    call, output = source
    first = 1 if graph.is_model(call.layer) else 0  # call 0 of a model is the one that it was made with
    return [names[call.layer], first + order[call.layer].index(call), output, {}]


def _input(layer: Any, name: str, users: Sequence[Any]) -> dict[str, Any]:
    """An input. TensorFlow.js makes what it is given that dtype, float32 where anything computes with it."""
    if layer.dtype == "string" or getattr(layer, "sparse", False) or getattr(layer, "optional", False):
        raise refusal(layer, f"{TFJS} has inputs that are always there, dense, and numbers", "Prepare it in the page.")
    numbers = users and all(type(user).__name__ in _LOOK_UP or graph.is_model(user) for user in users)
    dtype = "int32" if "int" in layer.dtype and numbers else "float32"
    config = {"batch_input_shape": plain(layer.batch_shape), "dtype": dtype, "sparse": False, "name": name}
    return {"class_name": "InputLayer", "config": config}


def _normalization(layer: Any, name: str) -> list[dict[str, Any]]:
    """Rescaling by the numbers that the layer learned: first to subtract, then to divide, so that little is lost."""
    import keras

    mean = np.asarray(layer.mean, "float32")
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, "float32")), keras.config.epsilon())
    if layer.invert:
        return [_rescaling(name, deviation, mean)]
    return [_rescaling(f"{name}.centred", np.ones(1), -mean), _rescaling(name, 1 / deviation, np.zeros(1))]


def _rescaling(name: str, scale: np.ndarray, offset: np.ndarray) -> dict[str, Any]:
    config = {"name": name, "trainable": False, "scale": scale.tolist(), "offset": offset.tolist()}
    return {"class_name": "Rescaling", "config": config}


def _reshape(name: str, shape: Sequence[int | None]) -> dict[str, Any]:
    return {"class_name": "Reshape", "config": {"name": name, "trainable": False, "target_shape": list(shape[1:])}}
