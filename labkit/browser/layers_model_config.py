"""One Keras 3 layer -> its class and configuration in TensorFlow.js.

For each class it is written down which options are taken over, and which values of the others exist. An option that is
neither, as one that a later Keras brings, is refused unless it has its default: what is not known is never dropped.

Weights come with the model, so initializers are left out; TensorFlow.js then has its own for layers built anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.browser import layers_model_options as options
from labkit.browser import layers_model_special as special
from labkit.browser.layers_model_refusals import TFJS, class_refusal, refusal
from labkit.browser.layers_model_special import Shapes, Written


@dataclass(frozen=True)
class Form:
    """How a class is written.

    Attributes:
        keeps: options that are written as they are.
        only: options that are not written, and the values that they may have.
        change: gets the layer, the shapes of its inputs at each call, and what was written so far; returns the class
            and the configuration to write instead.
    """

    keeps: tuple[str, ...] = ()
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    change: Callable[[Any, Sequence[Shapes], dict[str, Any]], Written] | None = None


def _form(keeps: str = "", change: Callable[..., Written] | None = None, **only: tuple[Any, ...]) -> Form:
    return Form(tuple(keeps.split()), only, change)


_CONV = "filters kernel_size strides padding data_format use_bias"
_LAST: dict[str, Any] = {"data_format": ("channels_last",)}
_POOL = "pool_size strides padding"
_RNN = "return_sequences return_state go_backwards"
_RNN_ONLY: dict[str, Any] = {"stateful": (False,), "unroll": (False, True), "zero_output_for_mask": (False, True)}
_CELL = "units use_bias dropout recurrent_dropout"
_ONES: dict[str, Any] = {"dilation_rate": ([1], [1, 1], [1, 1, 1])}

FORMS: dict[str, Form] = {
    "Activation": _form(),
    "Add": _form(change=special.merge),
    "Average": _form(change=special.merge),
    "AveragePooling1D": _form(_POOL, **_LAST),
    "AveragePooling2D": _form(_POOL + " data_format"),
    "AveragePooling3D": _form(_POOL + " data_format"),
    "BatchNormalization": _form(
        "axis momentum epsilon center scale", special.batch_normalization, synchronized=(False,), renorm=(False,),
        renorm_momentum=(0.99,),
    ),
    "Bidirectional": _form("merge_mode"),
    "CategoryEncoding": _form("num_tokens output_mode", special.category_encoding, sparse=(False,)),
    "CenterCrop": _form("data_format", special.center_crop, height=(), width=()),
    "Concatenate": _form("axis", special.merge),
    "Conv1D": _form(_CONV.replace(" data_format", "") + " dilation_rate", special.convolution, groups=(1,), **_LAST),
    "Conv2D": _form(_CONV + " dilation_rate", special.convolution, groups=(1,)),
    "Conv2DTranspose": _form(_CONV, output_padding=(None,), **_ONES),
    "Conv3D": _form(_CONV + " dilation_rate", special.convolution, groups=(1,)),
    "ConvLSTM2D": _form(
        f"{_RNN} filters kernel_size strides padding dilation_rate use_bias unit_forget_bias dropout recurrent_dropout",
        special.recurrent, **_LAST, **_RNN_ONLY,
    ),
    "Cropping2D": _form("cropping data_format"),
    "Dense": _form("units use_bias"),
    "DepthwiseConv2D": _form("depth_multiplier kernel_size strides padding data_format use_bias", **_ONES),
    "Dot": _form("axes normalize", special.dot),
    "Dropout": _form("rate noise_shape"),
    "ELU": _form(alpha=(1.0,)),
    "Embedding": _form("input_dim output_dim mask_zero"),
    "Flatten": _form("data_format", special.flatten),
    "GRU": _form(f"{_RNN} {_CELL}", special.recurrent, reset_after=(False,), **_RNN_ONLY),
    "GRUCell": _form(_CELL, special.recurrent, reset_after=(False,)),
    "GaussianDropout": _form("rate"),
    "GaussianNoise": _form("stddev"),
    "GlobalAveragePooling1D": _form(keepdims=(False,), **_LAST),
    "GlobalAveragePooling2D": _form("data_format", keepdims=(False,)),
    "GlobalMaxPooling1D": _form(keepdims=(False,), **_LAST),
    "GlobalMaxPooling2D": _form("data_format", keepdims=(False,)),
    "Identity": _form(change=special.identity),
    "LSTM": _form(f"{_RNN} {_CELL} unit_forget_bias", special.recurrent, **_RNN_ONLY),
    "LSTMCell": _form(_CELL + " unit_forget_bias", special.recurrent),
    "LayerNormalization": _form("axis epsilon center scale", special.normalization, rms_scaling=(False,)),
    "LeakyReLU": _form(change=special.leaky_relu, negative_slope=()),
    "Masking": _form("mask_value"),
    "MaxPooling1D": _form(_POOL, **_LAST),
    "MaxPooling2D": _form(_POOL + " data_format"),
    "Maximum": _form(change=special.merge),
    "Minimum": _form(change=special.merge),
    "Multiply": _form(change=special.merge),
    "PReLU": _form("shared_axes"),
    "Permute": _form("dims"),
    "RNN": _form(_RNN, special.recurrent, **_RNN_ONLY),
    "ReLU": _form(change=special.relu, max_value=(), negative_slope=(), threshold=()),
    "RepeatVector": _form("n"),
    "Rescaling": _form("scale offset"),
    "Reshape": _form(change=special.reshape, target_shape=()),
    "SeparableConv2D": _form(_CONV.replace(" data_format", "") + " depth_multiplier dilation_rate", **_LAST),
    "SimpleRNN": _form(f"{_RNN} {_CELL}", special.recurrent, **_RNN_ONLY),
    "SimpleRNNCell": _form(_CELL, special.recurrent),
    "Softmax": _form("axis", special.softmax),
    "SpatialDropout1D": _form("rate"),
    "SpatialDropout2D": _form("rate", special.spatial_dropout, data_format=()),
    "SpatialDropout3D": _form("rate", special.spatial_dropout, data_format=()),
    "StackedRNNCells": _form(),
    "TimeDistributed": _form(),
    "UpSampling2D": _form("size data_format", interpolation=("nearest",)),
    "ZeroPadding2D": _form("padding data_format"),
}  # fmt: skip
_WAYS_OUT = {
    "reset_after": "Build it with reset_after=False, and train it so.",
    "stateful": "Give the state as an input, by initial_state.",
    "data_format": 'Use "channels_last".',
    "keepdims": "Use keepdims=False and a Reshape.",
    "groups": "Use groups=1, or DepthwiseConv2D.",
    "interpolation": 'Use "nearest".',
}


def check_class(layer: Any) -> None:
    """Only Keras's own layers are known, and of those the ones that TensorFlow.js has.

    Raises:
        ModelConversionError: the layer is none of them.
    """
    import keras

    name = type(layer).__name__
    if name not in (*FORMS, "InputLayer", "Normalization") or getattr(keras.layers, name, None) is not type(layer):
        raise class_refusal(layer)


def write_layer(layer: Any, shapes: Sequence[Shapes], trainable: bool) -> Written:
    """The class and the configuration of a layer that is no model, without its name.

    Args:
        layer: the Keras layer.
        shapes: for each call of the layer the shapes of its inputs.
        trainable: whether its weights are trained, all that it is part of considered.

    Raises:
        ModelConversionError: it has no equal in TensorFlow.js.
    """
    check_class(layer)
    name = type(layer).__name__
    options.check_dtype(layer)
    form = FORMS[name]
    written: dict[str, Any] = {"trainable": trainable}
    for option, value in layer.get_config().items():
        _take_over(layer, form, option, options.plain(value), written)
    if not trainable:  # nothing is to be added to the loss for it
        written = {key: value for key, value in written.items() if not key.endswith("_regularizer")}
    return form.change(layer, shapes, written) if form.change else (name, written)


def _take_over(layer: Any, form: Form, option: str, value: Any, written: dict[str, Any]) -> None:
    """Add one option to what is written, or leave it out, or refuse it."""
    if option in ("name", "trainable", "dtype", "seed", "layer", "backward_layer", "cell", "cells"):
        return
    if option in form.keeps:
        written[option] = value
    elif option in ("activation", "recurrent_activation"):
        written[option] = options.activation(layer, option, value)
    elif option.endswith("_initializer"):
        if option == "recurrent_initializer":  # the default, orthogonal, takes TensorFlow.js minutes in large layers
            written[option] = {"class_name": "GlorotUniform", "config": {}}
    elif option == "activity_regularizer":
        if value is not None:
            raise refusal(
                layer, f"{TFJS} does not run layers with an activity_regularizer", "Export a model without it."
            )
    elif option.endswith("_regularizer"):
        written[option] = options.regularizer(layer, option, value)
    elif option.endswith("_constraint"):
        if value is not None and layer.trainable:
            raise refusal(
                layer,
                f"{TFJS} does not keep to a {option} in training",
                f"Set layer.{option} = None, if the training in the page may do without, or freeze the layer.",
            )
    elif option in form.only:
        allowed = form.only[option]
        if allowed and value not in allowed:
            raise refusal(layer, f"{TFJS} does not have {option}={value!r}", _WAYS_OUT.get(option, ""))
    elif not options.is_default(layer, option, value):
        raise refusal(layer, f"{TFJS} does not have its option {option}={value!r}")
