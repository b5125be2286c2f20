"""Options, connections and whole models that have no equal in TensorFlow.js: refused by name, with a way out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers as kl

from labkit.browser import export_layers_model
from labkit.errors import ModelConversionError

from .layers_model_cases import IMAGE, SEQUENCE, VECTOR, VOLUME, chain, embedded, merging

FIRST = {"data_format": "channels_first"}
OPTIONS: dict[str, Callable[[], Any]] = {
    "activation 'hard_sigmoid'": lambda: kl.Dense(2, "hard_sigmoid"),
    "activation 'LeakyReLU'": lambda: kl.Dense(2, kl.LeakyReLU()),
    "recurrent_activation 'hard_sigmoid'": lambda: kl.LSTM(2, recurrent_activation="hard_sigmoid"),
    "activity_regularizer": lambda: kl.Dense(2, activity_regularizer="l2"),
    "kernel_regularizer 'OrthogonalRegularizer'": lambda: kl.Dense(2, kernel_regularizer="orthogonal_regularizer"),
    "does not keep to a kernel_constraint": lambda: kl.Dense(2, kernel_constraint="non_neg"),
    "does not add its recurrent_regularizer": lambda: kl.LSTM(2, recurrent_regularizer="l2"),
    "does not add its kernel_regularizer": lambda: kl.Bidirectional(
        kl.GRU(2, reset_after=False, kernel_regularizer="l1")
    ),
    "does not add its bias_regularizer": lambda: kl.RNN(kl.LSTMCell(2, bias_regularizer="l2")),
    "computes in mixed_float16": lambda: kl.Dense(2, dtype="mixed_float16"),
    "computes in float64": lambda: kl.Dense(2, dtype="float64"),
    "reset_after=True": lambda: kl.GRU(2),
    "GRUCell": lambda: kl.RNN(kl.GRUCell(2)),
    "the same kind of layer both ways": lambda: kl.Bidirectional(
        kl.LSTM(2), backward_layer=kl.SimpleRNN(2, go_backwards=True)
    ),
    "statistics of": lambda: kl.TimeDistributed(kl.BatchNormalization()),
    "keepdims=True": lambda: kl.GlobalAveragePooling1D(keepdims=True),
    "padding='causal'": lambda: kl.Conv1D(2, 2, padding="causal"),
    "center=True and scale=True": lambda: kl.BatchNormalization(scale=False),
    "a gradient for it only with": lambda: kl.LayerNormalization(center=False),
    "other than the last": lambda: kl.BatchNormalization(axis=1),
    "negative_slope and threshold": lambda: kl.ReLU(negative_slope=0.1, max_value=6),
    "alpha=2.0": lambda: kl.ELU(2.0),
    "over the last axis only": lambda: kl.Softmax(axis=1),
    "dilation_rate above 1": lambda: kl.Conv1D(2, 2, dilation_rate=2),
}  # each is given (TIME, 3)
MODELS: dict[str, Callable[[], keras.Model]] = {
    "does not repeat a Bidirectional": lambda: chain(
        kl.TimeDistributed(kl.Bidirectional(kl.LSTM(2))), shape=(4, *SEQUENCE)
    ),
    "groups=3": lambda: chain(kl.Conv2D(3, 3, groups=3), shape=IMAGE),
    "data_format='channels_first'": lambda: chain(kl.SeparableConv2D(2, 3, **FIRST), shape=IMAGE),
    "dilation_rate=[2, 2]": lambda: chain(kl.DepthwiseConv2D(3, dilation_rate=2), shape=IMAGE),
    "output_padding=": lambda: chain(kl.Conv2DTranspose(2, 3, strides=2, output_padding=1), shape=IMAGE),
    "interpolation='bilinear'": lambda: chain(kl.UpSampling2D(2, interpolation="bilinear"), shape=IMAGE),
    "2 to 4 axes": lambda: chain(kl.BatchNormalization(), shape=VOLUME),
    "wrong gradient for it on WebAssembly": lambda: chain(kl.Conv3D(2, 2), shape=VOLUME),
    "wrong gradient for it on the CPU": lambda: chain(kl.Conv2D(2, 3), kl.UpSampling2D(), shape=IMAGE),
    "where padding is added": lambda: chain(kl.Conv2D(2, 3), kl.AveragePooling2D(3, padding="same"), shape=IMAGE),
    "no gradient for it": lambda: chain(kl.Dense(2), kl.ReLU(threshold=1.0), shape=VECTOR),
    "does not flatten": lambda: chain(kl.Flatten(), shape=(None, 3)),
    "all sizes known": lambda: chain(kl.Reshape((-1, 3)), shape=(None, 6)),
    "nor enlarge them": lambda: chain(kl.CenterCrop(8, 4), shape=IMAGE),
    "merges two inputs": lambda: merging(kl.Concatenate(), VECTOR),
    "does not multiply": lambda: merging(kl.Dot(1), VECTOR, (6, 2)),
    "as one_hot": lambda: chain(kl.CategoryEncoding(7, "one_hot"), shape=(2,), dtype="int32"),
    "stateful=True": lambda: keras.Sequential([keras.Input(batch_shape=(2, 4, 3)), kl.LSTM(2, stateful=True)]),
    "stacked cells": lambda: states_of_stacked_cells(),
    "mask, which": lambda: embedded(kl.LSTM(2, return_sequences=True)),
    "does not use the mask": lambda: embedded(kl.GlobalAveragePooling1D()),
    "has no mask": lambda: embedded(kl.LSTM(2), kl.RepeatVector(3), kl.SimpleRNN(2)),
    "a mask of other layers": lambda: embedded(kl.LSTM(2), kl.Softmax()),
    "something else with a mask": lambda: embedded(kl.Bidirectional(kl.LSTM(2, return_sequences=True)), kl.LSTM(2)),
    "loses masks": lambda: chain(embedded(kl.LSTM(2)), kl.Dense(2), shape=(5,), dtype="int32"),
    "not with mask=a tensor": lambda: mask_by_hand(),
    "no operations such as Add": lambda: with_operation(),
    "not with count_weights=a tensor": lambda: weighted_counts(),
    "class of your own": lambda: chain(Doubled(2), shape=VECTOR),
    "each time with other random numbers": lambda: dropout_with_two_outputs(),
    "adds its regularizer each time": lambda: regularizer_of_a_shared_layer(),
    "part of several models": lambda: shared_between_models(),
    "some of its weights are frozen": lambda: partly_frozen(),
    "letters without accents": lambda: chain(kl.Dense(2, name="größe"), shape=VECTOR),
    "dense, and numbers": lambda: chain(kl.Identity(), shape=VECTOR, dtype="string"),
    "LoRA": lambda: with_lora(),
    "code of its own": lambda: Own(),
    "does not know its inputs": lambda: keras.Sequential([kl.Dense(2)]),
    "a model of Keras 3 is wanted": lambda: kl.Dense(2),
    "which JSON does not have": lambda: chain(kl.ReLU(max_value=float("inf")), shape=VECTOR),
}


class Doubled(kl.Dense):
    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


class Own(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


def states_of_stacked_cells() -> keras.Model:
    x = keras.Input(SEQUENCE)
    return keras.Model(x, kl.RNN([kl.LSTMCell(2), kl.LSTMCell(3)], return_state=True)(x)[0])


def mask_by_hand() -> keras.Model:
    x, mask = keras.Input(SEQUENCE), keras.Input((5,), dtype="bool")
    return keras.Model([x, mask], kl.LSTM(2)(x, mask=mask))


def with_operation() -> keras.Model:
    x = keras.Input(VECTOR)
    return keras.Model(x, kl.Dense(6)(x) + x)


def weighted_counts() -> keras.Model:
    x, weights = keras.Input((3,), dtype="int32"), keras.Input((3,))
    return keras.Model([x, weights], kl.CategoryEncoding(7, "count")(x, count_weights=weights))


def dropout_with_two_outputs() -> keras.Model:
    x = keras.Input(SEQUENCE)
    _, hidden, cell = kl.LSTM(2, dropout=0.5, return_state=True)(x)
    return keras.Model(x, [hidden, cell])


def regularizer_of_a_shared_layer() -> keras.Model:
    x, dense = keras.Input(VECTOR), kl.Dense(6, kernel_regularizer="l2")
    return keras.Model(x, dense(dense(x)))


def shared_between_models() -> keras.Model:
    dense, x = kl.Dense(6), keras.Input(VECTOR)
    return keras.Model(x, chain(dense, shape=VECTOR)(chain(dense, shape=VECTOR)(x)))


def partly_frozen() -> keras.Model:
    model = chain(kl.Dense(2), shape=VECTOR)
    model.layers[0].bias.trainable = False
    return model


def with_lora() -> keras.Model:
    model = chain(kl.Dense(4), shape=VECTOR)
    model.layers[0].enable_lora(2)
    return model


def refusal(model: Any, folder: Path) -> str:
    with pytest.raises(ModelConversionError) as refused:
        export_layers_model(model, folder / "model")
    assert not any(folder.iterdir())
    return str(refused.value)


@pytest.mark.parametrize("words", OPTIONS)
def test_options_are_refused_by_name(words: str, tmp_path: Path) -> None:
    layer = OPTIONS[words]()
    text = refusal(chain(layer, shape=SEQUENCE), tmp_path)
    inner = (getattr(layer, name, layer) for name in ("layer", "forward_layer", "cell"))
    assert words in text
    assert any(repr(part.name) in text for part in (layer, *inner))


@pytest.mark.parametrize("words", MODELS)
def test_models_are_refused(words: str, tmp_path: Path) -> None:
    assert words in refusal(MODELS[words](), tmp_path)


def test_an_option_that_a_later_keras_brings_is_refused_unless_it_is_the_default(tmp_path: Path) -> None:
    model = chain(kl.Dense(2, name="later"), shape=VECTOR)
    config = model.layers[0].get_config
    model.layers[0].get_config = lambda: {**config(), "sharpness": 3}
    assert "'later' (Dense): TensorFlow.js layers 4.22 does not have its option sharpness=3" in refusal(model, tmp_path)
    model.layers[0].get_config = lambda: {**config(), "sharpness": None}
    export_layers_model(model, tmp_path / "model")


def test_a_frozen_layer_may_have_what_only_training_uses(tmp_path: Path) -> None:
    model = chain(kl.LSTM(2, kernel_regularizer="l2", recurrent_constraint="non_neg"), shape=SEQUENCE)
    model.trainable = False
    assert (export_layers_model(model, tmp_path / "model") / "model.json").is_file()
