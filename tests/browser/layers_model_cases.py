"""Models for the tests of layers models: at least one for each layer that is written, and one for each that is not."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as kl

BATCH, TIME = 2, 5  # for sizes that a model leaves open


def chain(*layers: Any, shape: tuple[int | None, ...], dtype: str = "float32") -> keras.Model:
    """A model of layers one after the other."""
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def merging(layer: Any, *shapes: tuple[int, ...]) -> keras.Model:
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, layer(inputs))


def embedded(*layers: Any) -> keras.Model:
    """Words, some of which are padding, with a mask."""
    return chain(kl.Embedding(7, 4, mask_zero=True), *layers, shape=(TIME,), dtype="int32")


IMAGE, VOLUME, SEQUENCE, VECTOR = (7, 6, 3), (5, 4, 6, 2), (TIME, 3), (6,)
ACTIVATIONS = (
    "elu", "gelu", "linear", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus",
    "softsign", "swish", "tanh",
)  # fmt: skip
FIRST = {"data_format": "channels_first"}
CASES: dict[str, Callable[[], keras.Model]] = {
    "Dense": lambda: chain(kl.Dense(4), shape=VECTOR),
    "Dense of rank 5": lambda: chain(kl.Dense(3, activation="tanh"), shape=VOLUME),
    "Dense without bias": lambda: chain(kl.Dense(4, use_bias=False, kernel_regularizer="l2"), shape=SEQUENCE),
    "Conv1D": lambda: chain(kl.Conv1D(4, 3, strides=2, padding="same", activation="relu"), shape=(9, 3)),
    "Conv1D dilated": lambda: chain(
        kl.Conv1D(4, 2, dilation_rate=2, activation="sigmoid", trainable=False), shape=(9, 3)
    ),
    "Conv2D": lambda: chain(kl.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="elu"), shape=IMAGE),
    "Conv2D dilated": lambda: chain(
        kl.Conv2D(4, 2, dilation_rate=(2, 1), use_bias=False, trainable=False), shape=IMAGE
    ),
    "Conv2D first": lambda: chain(kl.Conv2D(5, 3, activation="tanh", **FIRST), shape=(3, 7, 6)),
    "Conv3D": lambda: chain(
        kl.Conv3D(3, 2, strides=(1, 2, 1), padding="same", activation="relu", trainable=False), shape=VOLUME
    ),
    "Conv3D dilated": lambda: chain(kl.Conv3D(3, 2, dilation_rate=(2, 1, 2), trainable=False), shape=VOLUME),
    "Conv3D first": lambda: chain(kl.Conv3D(3, 2, trainable=False, **FIRST), shape=(2, 5, 4, 6)),
    "Conv2DTranspose": lambda: chain(kl.Conv2DTranspose(4, 3, strides=2, activation="relu"), shape=IMAGE),
    "Conv2DTranspose same": lambda: chain(kl.Conv2DTranspose(4, 3, strides=(2, 3), padding="same"), shape=IMAGE),
    "Conv2DTranspose small": lambda: chain(kl.Conv2DTranspose(4, 2, strides=3, use_bias=False), shape=IMAGE),
    "Conv2DTranspose first": lambda: chain(kl.Conv2DTranspose(4, 3, **FIRST), shape=(3, 7, 6)),
    "DepthwiseConv2D": lambda: chain(kl.DepthwiseConv2D(3, padding="same", depth_multiplier=2), shape=IMAGE),
    "DepthwiseConv2D strides": lambda: chain(kl.DepthwiseConv2D(3, strides=2, use_bias=False), shape=IMAGE),
    "DepthwiseConv2D first": lambda: chain(kl.DepthwiseConv2D(3, **FIRST), shape=(3, 7, 6)),
    "SeparableConv2D": lambda: chain(kl.SeparableConv2D(4, 3, padding="same", depth_multiplier=2), shape=IMAGE),
    "SeparableConv2D dilated": lambda: chain(
        kl.SeparableConv2D(4, 2, dilation_rate=2, use_bias=False, trainable=False), shape=IMAGE
    ),
    "SeparableConv2D strides": lambda: chain(kl.SeparableConv2D(4, 3, strides=2, activation="relu"), shape=IMAGE),
    "MaxPooling1D": lambda: chain(kl.MaxPooling1D(3, strides=2, padding="same"), shape=(9, 3)),
    "MaxPooling2D": lambda: chain(kl.MaxPooling2D((2, 3), strides=1, padding="same"), shape=IMAGE),
    "MaxPooling2D first": lambda: chain(kl.MaxPooling2D(2, **FIRST), shape=(3, 7, 6)),
    "AveragePooling1D": lambda: chain(kl.AveragePooling1D(2, padding="same"), shape=(9, 3)),
    "AveragePooling2D": lambda: chain(kl.AveragePooling2D(2, padding="same"), shape=IMAGE),
    "AveragePooling2D valid": lambda: chain(kl.AveragePooling2D((3, 2), strides=(1, 2)), shape=IMAGE),
    "AveragePooling2D first": lambda: chain(kl.AveragePooling2D(2, **FIRST), shape=(3, 7, 6)),
    "AveragePooling3D": lambda: chain(kl.AveragePooling3D((2, 1, 3), padding="same"), shape=VOLUME),
    "GlobalAveragePooling1D": lambda: chain(kl.GlobalAveragePooling1D(), shape=(None, 3)),
    "GlobalAveragePooling2D": lambda: chain(kl.GlobalAveragePooling2D(), shape=(None, None, 3)),
    "GlobalAveragePooling2D first": lambda: chain(kl.GlobalAveragePooling2D(**FIRST), shape=IMAGE),
    "GlobalMaxPooling1D": lambda: chain(kl.GlobalMaxPooling1D(), shape=SEQUENCE),
    "GlobalMaxPooling2D": lambda: chain(kl.GlobalMaxPooling2D(), shape=IMAGE),
    "GlobalMaxPooling2D first": lambda: chain(kl.GlobalMaxPooling2D(**FIRST), shape=IMAGE),
    "BatchNormalization": lambda: chain(kl.BatchNormalization(), shape=IMAGE),
    "BatchNormalization 2": lambda: chain(kl.BatchNormalization(epsilon=0.1), shape=VECTOR),
    "BatchNormalization 3": lambda: chain(kl.BatchNormalization(), shape=SEQUENCE),
    "BatchNormalization frozen": lambda: chain(
        kl.BatchNormalization(scale=False, trainable=False),
        kl.BatchNormalization(center=False, trainable=False),
        shape=IMAGE,
    ),
    "LayerNormalization": lambda: chain(kl.LayerNormalization(), shape=SEQUENCE),
    "LayerNormalization axes": lambda: chain(kl.LayerNormalization(axis=[1, 3], epsilon=0.01), shape=IMAGE),
    "LayerNormalization plain": lambda: chain(
        kl.LayerNormalization(center=False, scale=False, trainable=False), shape=VECTOR
    ),
    "Normalization": lambda: adapted(kl.Normalization()),
    "Normalization axis": lambda: adapted(kl.Normalization(axis=(1, -1))),
    "Normalization of all": lambda: adapted(kl.Normalization(axis=None)),
    "Normalization inverted": lambda: adapted(kl.Normalization(invert=True)),
    "Rescaling": lambda: chain(kl.Rescaling(0.5, offset=-1), shape=IMAGE),
    "Rescaling each": lambda: chain(kl.Rescaling([1.0, 2.0, 3.0], offset=[0.5, 0.0, -1.0]), shape=IMAGE),
    "Dropout": lambda: chain(kl.Dropout(0.5, seed=1), kl.Dropout(0.2, (None, 1)), shape=VECTOR),
    "Noise": lambda: chain(kl.GaussianDropout(0.5), kl.GaussianNoise(1.0), shape=VECTOR),
    "SpatialDropout1D": lambda: chain(kl.SpatialDropout1D(0.5), shape=SEQUENCE),
    "SpatialDropout2D": lambda: chain(kl.SpatialDropout2D(0.5), shape=IMAGE),
    "SpatialDropout3D": lambda: chain(kl.SpatialDropout3D(0.5, **FIRST), shape=VOLUME),
    "Activation": lambda: each_activation(),
    "Identity": lambda: chain(kl.Identity(), kl.Dense(2), shape=VECTOR),
    "ReLU": lambda: chain(kl.ReLU(), shape=VECTOR),
    "ReLU to six": lambda: chain(kl.ReLU(max_value=0.5), shape=VECTOR),
    "ReLU leaky": lambda: chain(kl.ReLU(negative_slope=0.2), shape=VECTOR),
    "ReLU from": lambda: chain(kl.ReLU(threshold=0.3), shape=VECTOR),
    "LeakyReLU": lambda: chain(kl.LeakyReLU(0.1), shape=VECTOR),
    "PReLU": lambda: chain(kl.PReLU(), shape=SEQUENCE),
    "PReLU shared": lambda: chain(kl.PReLU(shared_axes=[1, 2]), shape=IMAGE),
    "ELU": lambda: chain(kl.ELU(), shape=VECTOR),
    "Softmax": lambda: chain(kl.Softmax(), shape=SEQUENCE),
    "Softmax of two": lambda: chain(kl.Softmax(axis=(1, 2)), shape=SEQUENCE),
    "Flatten": lambda: chain(kl.Flatten(), kl.Dense(2), shape=IMAGE),
    "Flatten first": lambda: chain(kl.Flatten(**FIRST), shape=IMAGE),
    "Flatten flat": lambda: chain(kl.Flatten(), shape=VECTOR),
    "Reshape": lambda: chain(kl.Reshape((3, -1)), kl.Dense(2), shape=IMAGE),
    "Permute": lambda: chain(kl.Permute((3, 1, 2)), shape=IMAGE),
    "RepeatVector": lambda: chain(kl.RepeatVector(3), shape=VECTOR),
    "Cropping2D": lambda: chain(kl.Cropping2D(((1, 2), (0, 3))), shape=IMAGE),
    "Cropping2D first": lambda: chain(kl.Cropping2D(1, **FIRST), shape=(3, 7, 6)),
    "CenterCrop": lambda: chain(kl.CenterCrop(4, 5), shape=IMAGE),
    "CenterCrop first": lambda: chain(kl.CenterCrop(4, 4, **FIRST), shape=(3, 7, 6)),
    "ZeroPadding2D": lambda: chain(kl.ZeroPadding2D(((1, 2), (0, 3))), shape=IMAGE),
    "ZeroPadding2D first": lambda: chain(kl.ZeroPadding2D((1, 2), **FIRST), shape=(3, 7, 6)),
    "UpSampling2D": lambda: chain(kl.UpSampling2D((2, 3)), shape=IMAGE),
    "UpSampling2D first": lambda: chain(kl.UpSampling2D(3, **FIRST), shape=(3, 7, 6)),
    "Add": lambda: merging(kl.Add(), VECTOR, VECTOR, VECTOR),
    "Add wide": lambda: merging(kl.Add(), (1, 1, 3), IMAGE),
    "Multiply": lambda: merging(kl.Multiply(), (1, 3), SEQUENCE),
    "Average": lambda: merging(kl.Average(), VECTOR, VECTOR, VECTOR),
    "Maximum": lambda: merging(kl.Maximum(), VECTOR, VECTOR, VECTOR),
    "Minimum": lambda: merging(kl.Minimum(), VECTOR, VECTOR, VECTOR),
    "Concatenate": lambda: merging(kl.Concatenate(), IMAGE, IMAGE, (7, 6, 1)),
    "Concatenate axis": lambda: merging(kl.Concatenate(axis=1), SEQUENCE, (2, 3)),
    "Dot": lambda: merging(kl.Dot(-1), VECTOR, VECTOR),
    "Dot 3": lambda: merging(kl.Dot(2), (4, 3), SEQUENCE),
    "Dot axes": lambda: merging(kl.Dot((-1, -2), normalize=True), (4, TIME), SEQUENCE),
    "Dot early": lambda: merging(kl.Dot(1), (TIME, 4), SEQUENCE),
    "Dot early and late": lambda: merging(kl.Dot((1, 2)), (3, 4), SEQUENCE),
    "Embedding": lambda: chain(kl.Embedding(7, 4), shape=(TIME,), dtype="int32"),
    "Embedding of floats": lambda: chain(kl.Embedding(7, 4), shape=(3, TIME)),
    "CategoryEncoding": lambda: chain(kl.CategoryEncoding(7), shape=(TIME,), dtype="int64"),
    "CategoryEncoding count": lambda: chain(kl.CategoryEncoding(7, "count"), kl.Dense(2), shape=(3,), dtype="int32"),
    "CategoryEncoding one": lambda: chain(kl.CategoryEncoding(7, "one_hot"), kl.Dense(2), shape=(1,), dtype="uint8"),
    "SimpleRNN": lambda: chain(kl.SimpleRNN(4), shape=(None, 3)),
    "SimpleRNN backwards": lambda: chain(kl.SimpleRNN(1, return_sequences=True, go_backwards=True), shape=SEQUENCE),
    "LSTM": lambda: chain(kl.LSTM(4, dropout=0.1, recurrent_dropout=0.1), shape=SEQUENCE),
    "LSTM sequence": lambda: chain(kl.LSTM(4, return_sequences=True, unroll=True), kl.LSTM(3), shape=SEQUENCE),
    "GRU": lambda: chain(kl.GRU(4, reset_after=False), shape=SEQUENCE),
    "GRU without bias": lambda: chain(kl.GRU(4, reset_after=False, use_bias=False, activation="relu"), shape=SEQUENCE),
    "RNN": lambda: chain(kl.RNN(kl.LSTMCell(4), return_sequences=True), shape=SEQUENCE),
    "RNN simple": lambda: chain(kl.RNN(kl.SimpleRNNCell(4), go_backwards=True), shape=SEQUENCE),
    "RNN stacked": lambda: chain(kl.RNN([kl.LSTMCell(4), kl.GRUCell(3, reset_after=False)]), shape=SEQUENCE),
    "ConvLSTM2D": lambda: chain(kl.ConvLSTM2D(2, 3, padding="same", return_sequences=True), shape=(3, *IMAGE)),
    "ConvLSTM2D last": lambda: chain(kl.ConvLSTM2D(2, 2, strides=2, recurrent_activation="tanh"), shape=(3, *IMAGE)),
    "Bidirectional": lambda: chain(kl.Bidirectional(kl.LSTM(4)), shape=SEQUENCE),
    "Bidirectional sum": lambda: chain(
        kl.Bidirectional(kl.GRU(4, reset_after=False, return_sequences=True), "sum"), shape=SEQUENCE
    ),
    "Bidirectional ave": lambda: chain(kl.Bidirectional(kl.SimpleRNN(4), "ave"), shape=SEQUENCE),
    "Bidirectional two": lambda: two_directions(),
    "TimeDistributed": lambda: chain(kl.TimeDistributed(kl.Dense(2)), shape=(None, 3)),
    "TimeDistributed image": lambda: chain(kl.TimeDistributed(kl.Conv2D(2, 3)), shape=(3, *IMAGE)),
    "TimeDistributed flat": lambda: chain(kl.TimeDistributed(kl.Flatten()), kl.LSTM(2), shape=(3, *IMAGE)),
    "TimeDistributed LSTM": lambda: chain(kl.TimeDistributed(kl.LSTM(2)), shape=(4, *SEQUENCE)),
    "TimeDistributed model": lambda: chain(
        kl.TimeDistributed(chain(kl.Conv2D(2, 3), kl.Flatten(), kl.Dense(3), shape=IMAGE)), shape=(3, *IMAGE)
    ),
    "Masking": lambda: chain(kl.Masking(1.0), kl.Dense(3), kl.LSTM(3), shape=SEQUENCE),
    "masked LSTM": lambda: embedded(kl.Dropout(0.1), kl.LSTM(3, return_sequences=True), kl.LSTM(2)),
    "masked GRU": lambda: embedded(kl.GRU(3, reset_after=False, go_backwards=True), kl.Dense(2, "softmax")),
    "masked RNN": lambda: embedded(kl.RNN([kl.LSTMCell(4), kl.LSTMCell(3)])),
    "masked Bidirectional": lambda: embedded(kl.Bidirectional(kl.LSTM(3)), kl.Dense(2)),
    "masked TimeDistributed": lambda: embedded(
        kl.SimpleRNN(3, return_sequences=True), kl.TimeDistributed(kl.Dense(2)), kl.LayerNormalization(), kl.LSTM(2)
    ),
    "mask dropped": lambda: embedded(kl.Conv1D(3, 2), kl.Flatten(), kl.Dense(2)),
    "initial states": lambda: encoder_decoder(),
    "nested": lambda: nested(),
    "nested again": lambda: called_twice(),
    "same names": lambda: same_names(),
    "shared": lambda: shared(),
    "second call first": lambda: second_call_first(),
    "several": lambda: several_inputs_and_outputs(),
    "inputs through": lambda: passes_inputs_through(),
    "residual": lambda: residual(),
    "cut": lambda: cut(),
    "integers": lambda: chain(kl.Rescaling(0.1), kl.Flatten(), kl.Dense(3), shape=IMAGE, dtype="uint8"),
    "integers in Dense": lambda: chain(kl.Dense(3), shape=VECTOR, dtype="int32"),
    "no weights": lambda: chain(kl.Flatten(), kl.Activation("tanh"), shape=IMAGE),
    "fixed batch": lambda: keras.Sequential([keras.Input(batch_shape=(BATCH, 4)), kl.Dense(2)]),
    "built later": lambda: built_later(),
    "large": lambda: chain(kl.Dense(1500), kl.Dense(900), shape=(800,)),
    "mobile": lambda: keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=4),
}


def adapted(layer: kl.Normalization) -> keras.Model:
    layer.adapt(np.random.default_rng(1).normal([1000.0, -5.0, 0.1], [3.0, 200.0, 0.01], (50, TIME, 3)))
    return chain(layer, kl.Dense(2), shape=SEQUENCE)


def each_activation() -> keras.Model:
    x = keras.Input(SEQUENCE)
    return keras.Model(x, [kl.Activation(name)(x) for name in ACTIVATIONS])


def two_directions() -> keras.Model:
    x = keras.Input(SEQUENCE)
    both = kl.Bidirectional(kl.LSTM(4, return_state=True, return_sequences=True), merge_mode=None)(x)
    return keras.Model(x, list(both))


def encoder_decoder() -> keras.Model:
    read, say = keras.Input(SEQUENCE), keras.Input((None, 2))
    _, hidden, cell = kl.LSTM(4, return_state=True)(read)
    words = kl.LSTM(4, return_sequences=True)(say, initial_state=[hidden, cell])
    state = kl.Dense(3)(hidden)
    sums = kl.GRU(3, reset_after=False)(words, state)
    ways = kl.Bidirectional(kl.SimpleRNN(4))(say, initial_state=[hidden, cell])
    return keras.Model([read, say], [words, sums, ways])


def nested() -> keras.Model:
    body = chain(kl.Conv2D(3, 3, padding="same"), kl.BatchNormalization(), kl.ReLU(), shape=IMAGE)
    left, right = keras.Input(IMAGE), keras.Input(IMAGE)
    pair = keras.Model([left, right], [kl.Add()([left, right]), kl.Multiply()([left, right])])
    x = keras.Input(IMAGE)
    total, product = pair([body(x), kl.Dense(3)(x)])
    return keras.Model(x, kl.Concatenate()([product, total]))


def called_twice() -> keras.Model:
    tower = chain(kl.Dense(3, "tanh"), kl.Dense(2), shape=VECTOR)
    a, b = keras.Input(VECTOR), keras.Input(VECTOR)
    return keras.Model([a, b], [kl.Dot(1)([tower(a), tower(b)]), tower(kl.Dense(6)(b))])


def same_names() -> keras.Model:
    towers = [chain(kl.Dense(3, name="dense"), kl.Dense(2, name="last"), shape=VECTOR) for _ in range(2)]
    x = keras.Input(VECTOR)
    return keras.Model(x, kl.Dense(2, name="dense")(kl.Concatenate()([tower(x) for tower in towers])))


def shared() -> keras.Model:
    dense = kl.Dense(6, "tanh")
    a, b = keras.Input(VECTOR), keras.Input(VECTOR)
    return keras.Model([a, b], kl.Concatenate()([dense(dense(a)), dense(b)]))


def second_call_first() -> keras.Model:
    """TensorFlow.js makes the second call of `last` before the first, as that waits for the second one of `twice`."""
    twice, between, last = kl.Dense(6), kl.Dense(6), kl.Dense(3)
    a, b = keras.Input(VECTOR), keras.Input(VECTOR)
    first = last(twice(between(twice(a))))
    return keras.Model([a, b], kl.Concatenate()([first, last(b)]))


def several_inputs_and_outputs() -> keras.Model:
    a, b = keras.Input(VECTOR, name="z"), keras.Input(SEQUENCE, name="a_b")
    both = kl.Concatenate()([a, kl.Flatten()(b)])
    return keras.Model({"z": a, "a_b": b}, {"last": kl.Dense(2)(both), "first": [kl.Dense(3)(both), kl.Dense(1)(a)]})


def passes_inputs_through() -> keras.Model:
    x = keras.Input(VECTOR)
    return keras.Model(x, [kl.Dense(2)(x), x])


def residual() -> keras.Model:
    x = y = keras.Input(IMAGE)
    for _ in range(2):
        y = kl.Add()([y, kl.DepthwiseConv2D(3, padding="same", activation="relu")(y)])
    return keras.Model(x, kl.GlobalAveragePooling2D(name="pool")(y))


def cut() -> keras.Model:
    """A part of a model, whose layers were called elsewhere, too."""
    whole, head = chain(kl.Dense(4), kl.Dense(4), kl.Dense(2), shape=VECTOR), kl.Dense(5)
    keras.Model(whole.inputs, head(whole.layers[0].output))
    return keras.Model(whole.inputs, head(whole.layers[1].output))


def built_later() -> keras.Model:
    model = keras.Sequential([kl.Dense(3), kl.Dense(2)])
    model(np.zeros((BATCH, 4), "float32"))
    return model


def calling(layer: Any, *shapes: tuple[int, ...], **arguments: Any) -> keras.Model:
    """A model of one layer that is called with several inputs, not with a list of them."""
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, layer(*inputs, **arguments))


IMAGES = (8, 8, 3)
REFUSED: dict[str, Callable[[], keras.Model]] = {
    "ActivityRegularization": lambda: chain(kl.ActivityRegularization(0.1), shape=VECTOR),
    "AdaptiveAveragePooling1D": lambda: chain(kl.AdaptiveAveragePooling1D(2), shape=SEQUENCE),
    "AdaptiveAveragePooling2D": lambda: chain(kl.AdaptiveAveragePooling2D(2), shape=IMAGES),
    "AdaptiveAveragePooling3D": lambda: chain(kl.AdaptiveAveragePooling3D(2), shape=VOLUME),
    "AdaptiveMaxPooling1D": lambda: chain(kl.AdaptiveMaxPooling1D(2), shape=SEQUENCE),
    "AdaptiveMaxPooling2D": lambda: chain(kl.AdaptiveMaxPooling2D(2), shape=IMAGES),
    "AdaptiveMaxPooling3D": lambda: chain(kl.AdaptiveMaxPooling3D(2), shape=VOLUME),
    "AdditiveAttention": lambda: merging(kl.AdditiveAttention(), SEQUENCE, SEQUENCE),
    "AlphaDropout": lambda: chain(kl.AlphaDropout(0.1), shape=VECTOR),
    "Attention": lambda: merging(kl.Attention(), SEQUENCE, SEQUENCE),
    "AugMix": lambda: chain(kl.AugMix(), shape=IMAGES),
    "AutoContrast": lambda: chain(kl.AutoContrast(), shape=IMAGES),
    "ContrastLimitedAdaptiveHistogramEqualization": lambda: chain(
        kl.ContrastLimitedAdaptiveHistogramEqualization(), shape=IMAGES
    ),
    "Conv1DTranspose": lambda: chain(kl.Conv1DTranspose(2, 3), shape=SEQUENCE),
    "Conv3DTranspose": lambda: chain(kl.Conv3DTranspose(2, 3), shape=VOLUME),
    "ConvLSTM1D": lambda: chain(kl.ConvLSTM1D(2, 3), shape=(4, *SEQUENCE)),
    "ConvLSTM3D": lambda: chain(kl.ConvLSTM3D(2, 2), shape=(4, *VOLUME)),
    "Cropping1D": lambda: chain(kl.Cropping1D(1), shape=SEQUENCE),
    "Cropping3D": lambda: chain(kl.Cropping3D(1), shape=VOLUME),
    "CutMix": lambda: chain(kl.CutMix(), shape=IMAGES),
    "DepthwiseConv1D": lambda: chain(kl.DepthwiseConv1D(3), shape=SEQUENCE),
    "Discretization": lambda: chain(kl.Discretization([0.0, 1.0]), shape=VECTOR),
    "EinsumDense": lambda: chain(kl.EinsumDense("ab,bc->ac", 4), shape=VECTOR),
    "GlobalAveragePooling3D": lambda: chain(kl.GlobalAveragePooling3D(), shape=VOLUME),
    "GlobalMaxPooling3D": lambda: chain(kl.GlobalMaxPooling3D(), shape=VOLUME),
    "GroupNormalization": lambda: chain(kl.GroupNormalization(3), shape=IMAGES),
    "GroupedQueryAttention": lambda: calling(kl.GroupQueryAttention(2, 4, 2), SEQUENCE, SEQUENCE),
    "HashedCrossing": lambda: hashed_crossing(),
    "Hashing": lambda: chain(kl.Hashing(3), shape=VECTOR, dtype="int32"),
    "IntegerLookup": lambda: chain(kl.IntegerLookup(vocabulary=[1, 2]), shape=VECTOR, dtype="int64"),
    "Lambda": lambda: chain(kl.Lambda(lambda x: x * 2), shape=VECTOR),
    "MaxNumBoundingBoxes": lambda: chain(kl.MaxNumBoundingBoxes(2), shape=IMAGES),
    "MaxPooling3D": lambda: chain(kl.MaxPooling3D(), shape=VOLUME),
    "MelSpectrogram": lambda: chain(kl.MelSpectrogram(), shape=(4000,)),
    "MixUp": lambda: chain(kl.MixUp(), shape=IMAGES),
    "MultiHeadAttention": lambda: calling(kl.MultiHeadAttention(2, 4), SEQUENCE, SEQUENCE),
    "RMSNormalization": lambda: chain(kl.RMSNormalization(), shape=VECTOR),
    "RandAugment": lambda: chain(kl.RandAugment(), shape=IMAGES),
    "RandomBrightness": lambda: chain(kl.RandomBrightness(0.2), shape=IMAGES),
    "RandomColorDegeneration": lambda: chain(kl.RandomColorDegeneration(0.2), shape=IMAGES),
    "RandomColorJitter": lambda: chain(kl.RandomColorJitter(), shape=IMAGES),
    "RandomContrast": lambda: chain(kl.RandomContrast(0.2), shape=IMAGES),
    "RandomCrop": lambda: chain(kl.RandomCrop(4, 4), shape=IMAGES),
    "RandomElasticTransform": lambda: chain(kl.RandomElasticTransform(), shape=IMAGES),
    "RandomErasing": lambda: chain(kl.RandomErasing(), shape=IMAGES),
    "RandomFlip": lambda: chain(kl.RandomFlip(), shape=IMAGES),
    "RandomGaussianBlur": lambda: chain(kl.RandomGaussianBlur(), shape=IMAGES),
    "RandomGrayscale": lambda: chain(kl.RandomGrayscale(), shape=IMAGES),
    "RandomHue": lambda: chain(kl.RandomHue(0.2), shape=IMAGES),
    "RandomInvert": lambda: chain(kl.RandomInvert(), shape=IMAGES),
    "RandomPerspective": lambda: chain(kl.RandomPerspective(), shape=IMAGES),
    "RandomPosterization": lambda: chain(kl.RandomPosterization(4), shape=IMAGES),
    "RandomRotation": lambda: chain(kl.RandomRotation(0.2), shape=IMAGES),
    "RandomSaturation": lambda: chain(kl.RandomSaturation(0.2), shape=IMAGES),
    "RandomSharpness": lambda: chain(kl.RandomSharpness(0.2), shape=IMAGES),
    "RandomShear": lambda: chain(kl.RandomShear(), shape=IMAGES),
    "RandomTranslation": lambda: chain(kl.RandomTranslation(0.2, 0.2), shape=IMAGES),
    "RandomZoom": lambda: chain(kl.RandomZoom(0.2), shape=IMAGES),
    "Resizing": lambda: chain(kl.Resizing(4, 4), shape=IMAGES),
    "ReversibleEmbedding": lambda: chain(kl.ReversibleEmbedding(7, 4), shape=(TIME,), dtype="int32"),
    "STFTSpectrogram": lambda: chain(kl.STFTSpectrogram(), shape=(600, 1)),
    "SeparableConv1D": lambda: chain(kl.SeparableConv1D(2, 3), shape=SEQUENCE),
    "Solarization": lambda: chain(kl.Solarization(), shape=IMAGES),
    "SpectralNormalization": lambda: chain(kl.SpectralNormalization(kl.Dense(2)), shape=VECTOR),
    "StringLookup": lambda: chain(kl.StringLookup(vocabulary=["a"]), shape=VECTOR, dtype="string"),
    "Subtract": lambda: merging(kl.Subtract(), VECTOR, VECTOR),
    "TextVectorization": lambda: chain(kl.TextVectorization(vocabulary=["a"]), shape=(1,), dtype="string"),
    "UnitNormalization": lambda: chain(kl.UnitNormalization(), shape=VECTOR),
    "UpSampling1D": lambda: chain(kl.UpSampling1D(), shape=SEQUENCE),
    "UpSampling3D": lambda: chain(kl.UpSampling3D(), shape=VOLUME),
    "ZeroPadding1D": lambda: chain(kl.ZeroPadding1D(), shape=SEQUENCE),
    "ZeroPadding3D": lambda: chain(kl.ZeroPadding3D(), shape=VOLUME),
}
NO_LAYERS = {  # what else there is in keras.layers: nothing that a model can consist of here
    "Equalization": "fails in Keras 3.15 when it is called with symbolic tensors",
    "FlaxLayer": "needs Flax",
    "InputSpec": "says what a layer takes",
    "JaxLayer": "needs JAX",
    "Layer": "the base class",
    "Pipeline": "is not called with symbolic tensors",
    "TFSMLayer": "a SavedModel, which is converted by itself",
    "TorchModuleWrapper": "needs PyTorch",
    "Wrapper": "a base class",
}


def hashed_crossing() -> keras.Model:
    a, b = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    return keras.Model([a, b], kl.HashedCrossing(5)((a, b)))
