"""The few Keras models that labs share. Each carries its preprocessing inside: what goes in is what was measured."""

import keras

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
    return _fit(keras.Model(inputs, {"probabilities": output}, name="penguins"), train, epochs)


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
    return _fit(keras.Model({"image": image}, {"probabilities": output}, name="digits"), train, epochs)


def _fit(model: keras.Model, train: Examples, epochs: int) -> keras.Model:
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train.inputs, train.labels, epochs=epochs, batch_size=32, verbose=0)
    return model
