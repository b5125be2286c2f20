"""The few Keras models that labs share. Each carries its preprocessing inside: what goes in is what was measured."""

from typing import Any

import keras
import numpy as np

from labkit.data import PENGUIN_NUMBERS, PENGUIN_WORDS, Examples


def penguins(train: Examples, epochs: int = 20) -> keras.Model:
    """A trained classifier of penguins (two seconds).

    Inputs are named and measured as in `labkit.data.penguins`, each of shape (batch,): millimetres and grams as
    float32, words as strings. Output ``probabilities``: float32 (batch, 3), one column per class.

    Args:
        train: examples to learn scale, vocabulary and weights from.
        epochs: passes over them.
    """
    inputs = {name: keras.Input((), name=name, dtype="float32") for name in PENGUIN_NUMBERS}
    inputs |= {name: keras.Input((), name=name, dtype="string") for name in PENGUIN_WORDS}
    features = []
    for name in PENGUIN_NUMBERS:
        scale = keras.layers.Normalization(axis=None)
        scale.adapt(train.inputs[name])
        features.append(keras.layers.Reshape((1,))(scale(inputs[name])))
    for name in PENGUIN_WORDS:
        words = sorted(set(train.inputs[name]))
        features.append(keras.layers.StringLookup(vocabulary=words, output_mode="one_hot")(inputs[name]))
    hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Concatenate()(features))
    output = keras.layers.Dense(3, activation="softmax", name="probabilities")(hidden)
    return _fit(keras.Model(inputs, {"probabilities": output}, name="penguins"), train.inputs, train.labels, epochs)


def digits(train: Examples, epochs: int = 6) -> keras.Model:
    """A trained convolutional network for digits (two seconds, 14,698 weights).

    Input ``image``: float32 (batch, 8, 8, 1), ink from 0 to 16. Output ``probabilities``: float32 (batch, 10).

    Args:
        train: examples to learn from.
        epochs: passes over them.
    """
    image = keras.Input((8, 8, 1), name="image")
    hidden = keras.layers.Rescaling(1 / 16)(image)
    hidden = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(hidden)
    hidden = keras.layers.MaxPooling2D()(hidden)
    hidden = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(hidden)
    output = keras.layers.Dense(10, activation="softmax", name="probabilities")(keras.layers.Flatten()(hidden))
    return _fit(
        keras.Model({"image": image}, {"probabilities": output}, name="digits"), train.inputs, train.labels, epochs
    )


def drawings(train: Examples, classes: int = 10, epochs: int = 12) -> keras.Model:
    """A trained classifier of drawings, for pages that are drawn in (eight seconds for all ten digits).

    Input ``drawing``: float32 (batch, 32, 32, 1), 1 where there is ink, as `labkit.data.bitmaps` makes it. The first
    layer counts what scikit-learn's digits are made of, the ink in blocks of 4 x 4. Output ``probabilities``: float32
    (batch, `classes`). A plain chain of layers that TensorFlow.js has too; the last but one is named ``features``.

    Args:
        train: examples to learn from, with the input ``drawing``.
        classes: how many there are; labels are smaller.
        epochs: passes over them.
    """
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 1), name="drawing"),
            layers.AveragePooling2D(4),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="features"),
            layers.Dense(classes, activation="softmax", name="probabilities"),
        ],
        name="drawings",
    )
    return _fit(model, train.inputs["drawing"], train.labels, epochs, learning_rate=0.002)


def _fit(model: keras.Model, inputs: Any, labels: np.ndarray, epochs: int, learning_rate: float = 0.01) -> keras.Model:
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(inputs, labels, epochs=epochs, batch_size=32, verbose=0)
    return model
