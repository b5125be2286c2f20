"""The layers that TensorFlow.js has in another form, or only for some shapes; one function for each.

Each gets the layer, the shapes of its inputs at each call, and the configuration written so far, and returns the class
and the configuration to write.
"""

from collections.abc import Sequence
from typing import Any

from labkit.browser.layers_model_options import plain
from labkit.browser.layers_model_refusals import TFJS, refusal

Shapes = Sequence[Sequence[int | None]]
Written = tuple[str, dict[str, Any]]


def identity(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """Identity is an activation that changes nothing."""
    return "Activation", {**written, "activation": "linear"}


def flatten(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """TensorFlow.js flattens from three axes on, and only where their sizes are known."""
    inputs = [shape for call in shapes for shape in call]
    if all(len(shape) == 2 for shape in inputs):
        del written["data_format"]
        return identity(layer, shapes, written)
    for shape in inputs:
        if len(shape) < 3 or None in shape[1:]:
            raise refusal(layer, f"{TFJS} does not flatten the shape {plain(shape)}", "Give the input a full shape.")
    return "Flatten", written


def reshape(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """The sizes that Keras worked out for -1, as TensorFlow.js does so only when it runs."""
    targets = {tuple(layer.compute_output_shape(call[0]))[1:] for call in shapes}
    if len(targets) != 1 or None in next(iter(targets)):
        raise refusal(
            layer, f"{TFJS} needs one shape with all sizes known, not {plain(list(targets))}", "Name all sizes."
        )
    return "Reshape", {**written, "target_shape": plain(targets.pop())}


def center_crop(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """A Cropping2D: TensorFlow.js's own CenterCrop is one off where one column is cut, and has no gradient."""
    first = 2 if layer.data_format == "channels_first" else 1
    sizes = {tuple(call[0][first : first + 2]) for call in shapes}
    if len(sizes) != 1 or None in (size := sizes.pop()) or size[0] < layer.height or size[1] < layer.width:
        raise refusal(
            layer,
            f"{TFJS} does not crop images of other than one known size, nor enlarge them",
            "Give the input a full shape, as large as what is cut at least.",
        )
    cut = [size[0] - layer.height, size[1] - layer.width]
    return "Cropping2D", {**written, "cropping": [[number // 2, number - number // 2] for number in cut]}


def relu(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """One of ReLU, LeakyReLU and ThresholdedReLU, which have one of the three options each."""
    given = {
        "max_value": layer.max_value,
        "alpha": layer.negative_slope or None,
        "theta": layer.threshold or None,
    }
    given = {name: float(value) for name, value in given.items() if value is not None}
    if len(given) > 1:
        raise refusal(
            layer,
            f"{TFJS} has one only of max_value, negative_slope and threshold in a layer",
            "Use two layers, if that is the same for your values.",
        )
    name = {"alpha": "LeakyReLU", "theta": "ThresholdedReLU"}.get(next(iter(given), ""), "ReLU")
    return name, {**written, **given}


def leaky_relu(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """Its slope has another name; by the name in Keras it would be passed over, and be 0.3."""
    return "LeakyReLU", {**written, "alpha": float(layer.negative_slope)}


def softmax(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """TensorFlow.js has it over the last axis, or over several."""
    axes = written["axis"] if isinstance(written["axis"], list) else [written["axis"]]
    for call in shapes:
        if len(axes) == 1 and axes[0] % len(call[0]) != len(call[0]) - 1:
            raise refusal(
                layer, f"{TFJS} has a softmax over the last axis only, not over {axes[0]}", "Use Permute around it."
            )
    return "Softmax", {**written, "axis": axes if len(axes) > 1 else axes[0]}


def spatial_dropout(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """A dropout with one decision for all places of a channel."""
    ones = [1] * (3 if type(layer).__name__.endswith("3D") else 2)
    first = layer.data_format == "channels_first"
    return "Dropout", {**written, "noise_shape": [None, None, *ones] if first else [None, *ones, None]}


def normalization(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """Batch and layer normalization exist for two to four axes."""
    for call in shapes:
        if not 2 <= len(call[0]) <= 4:
            raise refusal(
                layer, f"{TFJS} normalises inputs of 2 to 4 axes, not {len(call[0])}", "Use a Reshape around it."
            )
    return type(layer).__name__, written


def batch_normalization(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """Without gamma or beta it does not train in TensorFlow.js."""
    if written["trainable"] and not (layer.center and layer.scale):
        raise refusal(
            layer,
            f"{TFJS} trains it only with center=True and scale=True",
            "Freeze it (trainable = False), or build it so.",
        )
    for call in shapes:
        if layer.axis % len(call[0]) != len(call[0]) - 1:
            raise refusal(
                layer, f"{TFJS} computes something else for axes other than the last", "Use Permute around it."
            )
    return normalization(layer, shapes, written)


def convolution(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """Padding is on both sides, or there is none."""
    if written["padding"] not in ("valid", "same"):
        raise refusal(
            layer,
            f"{TFJS} does not have padding={written['padding']!r}",
            'Use Reshape, ZeroPadding2D and a Conv2D with padding="valid".',
        )
    return type(layer).__name__, written


def merge(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """Merging takes two inputs at least."""
    if any(len(call) < 2 for call in shapes):
        raise refusal(layer, f"{TFJS} merges two inputs at least", "Leave the layer out.")
    return type(layer).__name__, written


def dot(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """Axes are counted from the front, and the inputs have the same number of them: two or three."""
    axes = written["axes"] if isinstance(written["axes"], list) else [written["axes"]] * 2
    found = set()
    for call in shapes:
        if len({len(shape) for shape in call}) != 1 or len(call[0]) > 3:
            raise refusal(
                layer, f"{TFJS} does not multiply shapes {plain(call)}", "Use a Reshape, so that both have 3 axes."
            )
        found.add(tuple(axis % len(call[0]) for axis in axes))
    if len(found) > 1:
        raise refusal(layer, "it is called with different numbers of axes", "Use a layer for each.")
    return "Dot", {**written, "axes": list(found.pop())}


def category_encoding(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """One_hot of one number; multi_hot and count of several."""
    if len({call[0] for call in shapes}) > 1:
        raise refusal(layer, "it is called with different shapes", "Use a layer for each.")
    for call in shapes:
        if (
            len(call) != 1
            or len(call[0]) != 2
            or call[0][1] is None
            or (layer.output_mode == "one_hot" and call[0][1] != 1)
        ):
            raise refusal(
                layer,
                f"{TFJS} does not encode {plain(call)} as {layer.output_mode}",
                "One_hot takes inputs of shape (batch, 1), multi_hot and count of (batch, n), without weights.",
            )
    return "CategoryEncoding", written


def recurrent(layer: Any, shapes: Sequence[Shapes], written: dict[str, Any]) -> Written:
    """TensorFlow.js passes over regularizers in cells."""
    for option, value in written.items():
        if option.endswith("_regularizer") and value is not None and written["trainable"]:
            raise refusal(
                layer, f"{TFJS} does not add its {option} to the loss", "Set it to None, or freeze the layer."
            )
    return type(layer).__name__, written
