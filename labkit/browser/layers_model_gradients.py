"""The layers that TensorFlow.js does not learn through, or learns something else; found by one step of SGD for each.

Frozen, with nothing but frozen layers before them, they need no gradient and are written.
"""

from collections.abc import Sequence
from typing import Any

from labkit.browser.layers_model_refusals import TFJS, refusal

_POOLS = ("AveragePooling1D", "AveragePooling2D", "AveragePooling3D")
_ACTS_IN_TRAINING = (
    "BatchNormalization", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D",
)  # fmt: skip


def check_gradient(layer: Any, class_name: str, config: dict[str, Any], shapes: Sequence[Any]) -> None:
    """Refuse a layer that a gradient goes through, and comes out wrong or not at all.

    Raises:
        ModelConversionError: it is such a layer.
    """
    if reason := _reason(class_name, config, shapes):
        raise refusal(
            layer, f"{TFJS} {reason}", "Freeze it and all layers before it (trainable = False), or use another layer."
        )


def _reason(name: str, config: dict[str, Any], shapes: Sequence[Any]) -> str:
    rates = config.get("dilation_rate", [1])
    if max(rates if isinstance(rates, list) else [rates]) > 1:
        return "has no gradient for a dilation_rate above 1"
    if name == "Conv3D":
        return "has a wrong gradient for it on WebAssembly"
    if name == "ThresholdedReLU":
        return "has no gradient for it"
    if name == "UpSampling2D":
        return "has a wrong gradient for it on the CPU, and none on WebAssembly"
    if name == "LayerNormalization" and not (config["center"] and config["scale"]):
        return "has a gradient for it only with center=True and scale=True"
    if name in _POOLS and config["padding"] == "same" and any(_pads(config, call[0]) for call in shapes):
        return "has a wrong gradient for it where padding is added"
    return ""


def _pads(config: dict[str, Any], shape: Sequence[int | None]) -> bool:
    """Whether pooling with padding="same" goes over the edge."""
    sizes = shape[2:] if config.get("data_format") == "channels_first" else shape[1:-1]
    for size, window, stride in zip(sizes, config["pool_size"], config["strides"], strict=True):
        if size is None or (-(-size // stride) - 1) * stride + window > size:
            return True
    return False


def acts_in_training(layer: Any) -> bool:
    """Whether a layer, or anything that it consists of, does something by chance or keeps statistics in training."""
    rates = [getattr(layer, name, 0) for name in ("dropout", "recurrent_dropout")]
    if type(layer).__name__ in _ACTS_IN_TRAINING or any(rates):
        return True
    inner = [getattr(layer, name, None) for name in ("layer", "cell", "forward_layer")]
    inner += [*getattr(layer, "layers", []), *getattr(layer, "cells", [])]
    return any(acts_in_training(part) for part in inner if part is not None)
