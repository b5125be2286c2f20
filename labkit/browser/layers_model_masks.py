"""Masks (`Masking`, `Embedding(mask_zero=True)`): where they mean the same in TensorFlow.js, and where they do not.

In TensorFlow.js a mask, once made, is handed to every layer that comes later and has none of its own; models inside a
model, merged inputs and losses do not have masks.
"""

from collections.abc import Sequence
from typing import Any

from labkit.browser.layers_model_graph import RECURRENT, Call, is_model, mask_of
from labkit.browser.layers_model_refusals import TFJS, refusal

# Those that hand a mask on in TensorFlow.js, and compute the same with it as without.
_PASS = {
    "Activation", "Dense", "Dropout", "GaussianDropout", "GaussianNoise", "Identity",
    "LayerNormalization", "Masking", "PReLU", "ReLU", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "TimeDistributed",
}  # fmt: skip
_WAY_OUT = "Without masks (mask_zero=False, no Masking) it can be written."


def check_masks(model: Any, calls: Sequence[Call], inside: bool) -> None:
    """Refuse masks that would mean something else in TensorFlow.js.

    Args:
        model: the model, or one that is a layer of it.
        calls: its calls.
        inside: whether it is a layer of another model.

    Raises:
        ModelConversionError: a mask gets where TensorFlow.js does something else with it.
    """
    for output in model.outputs:
        if mask_of(output) is not None:
            layer = output._keras_history.operation
            raise refusal(layer, f"its output has a mask, which {TFJS} does not apply to the loss", _WAY_OUT)
    if all(mask_of(tensor) is None for call in calls for tensor in call.tensors):
        return
    for call in calls:
        if inside or is_model(call.layer):
            raise refusal(call.layer, f"{TFJS} loses masks where a model is a layer of another", _WAY_OUT)
        _check_call(call)


def _check_call(call: Call) -> None:
    """Refuse a call in a model with masks.

    Raises:
        ModelConversionError: it has a mask and does something else with it, or has none and would be given one.
    """
    layer, name = call.layer, type(call.layer).__name__
    inner = getattr(layer, "layer", None) if name == "TimeDistributed" else None
    if name == "Softmax" or (
        inner is not None and (is_model(inner) or type(inner).__name__ in (*RECURRENT, "Softmax"))
    ):
        raise refusal(layer, f"{TFJS} gives it a mask of other layers", _WAY_OUT)
    if all(mask_of(tensor) is None for tensor in call.tensors):
        if name in RECURRENT:
            raise refusal(layer, f"it has no mask, but {TFJS} gives it that of an earlier layer", _WAY_OUT)
        return
    if name in RECURRENT:
        zeros = name == "Bidirectional" or layer.zero_output_for_mask
        if name == "ConvLSTM2D" or len(call.tensors) > 1 or (zeros and layer.return_sequences):
            raise refusal(layer, f"{TFJS} computes something else with a mask here", _WAY_OUT)
    elif name not in _PASS and layer.supports_masking:
        raise refusal(layer, f"{TFJS} does not use the mask that it gets", _WAY_OUT)
