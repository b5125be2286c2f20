"""labkit.models: trained, named at both ends, preprocessing inside, so that an export needs nothing beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import data, start


@pytest.fixture(scope="module")
def penguins_model() -> Any:
    from labkit import models

    start.seed()
    return models.penguins(data.penguins().train)


@pytest.fixture(scope="module")
def digits_model() -> Any:
    from labkit import models

    start.seed()
    return models.digits(data.digits().train)


def signature(model: Any, folder: Path) -> Any:
    import tensorflow as tf

    model.export(folder / "1", verbose=False)
    return tf.saved_model.load(str(folder / "1")).signatures["serving_default"]


def ask(signature: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import tensorflow as tf

    return signature(**{name: tf.constant(column) for name, column in inputs.items()})["probabilities"].numpy()


def test_exported_penguins_answer_raw_measurements(penguins_model, tmp_path) -> None:
    test = data.penguins().test
    exported = signature(penguins_model, tmp_path)
    _, inputs = exported.structured_input_signature
    assert {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in inputs.items()} == {
        **{name: ("float32", [None]) for name in data.PENGUIN_NUMBERS},
        **{name: ("string", [None]) for name in data.PENGUIN_WORDS},
    }
    answers = ask(exported, test.inputs)
    assert answers.shape == (len(test), 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert (answers.argmax(axis=1) == test.labels).mean() > 0.95


def test_penguins_take_words_they_have_never_seen(penguins_model, tmp_path) -> None:
    inputs = data.penguins().test.take(slice(0, 4)).inputs
    inputs["island"] = np.array(["Atlantis"] * 4, object)
    np.testing.assert_allclose(ask(signature(penguins_model, tmp_path), inputs).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("column", ["island", "sex", "bill_length_mm", "body_mass_g"])
def test_every_penguin_column_counts(penguins_model, column) -> None:
    import tensorflow as tf

    inputs = dict(data.penguins().test.inputs)
    before = penguins_model({name: tf.constant(values) for name, values in inputs.items()})["probabilities"]
    inputs[column] = inputs[column][::-1]
    after = penguins_model({name: tf.constant(values) for name, values in inputs.items()})["probabilities"]
    assert np.abs(before - after).max() > 0.01


def test_exported_digits_answer_raw_ink(digits_model, tmp_path) -> None:
    test = data.digits().test
    answers = ask(signature(digits_model, tmp_path), test.inputs)
    assert answers.shape == (len(test), 10)
    assert (answers.argmax(axis=1) == test.labels).mean() > 0.93


def test_digits_have_the_weights_their_docstring_names(digits_model) -> None:
    assert digits_model.count_params() == 14_698


def test_digits_scale_full_ink_to_one(digits_model) -> None:
    from keras.layers import Rescaling

    (scale,) = [layer for layer in digits_model.layers if isinstance(layer, Rescaling)]
    assert np.asarray(scale(np.array([0.0, 8.0, 16.0], np.float32))).tolist() == [0, 0.5, 1]


def test_drawings_are_recognised_and_come_from_plain_layers() -> None:
    from labkit import models

    start.seed()
    sets = data.digits()
    some = sets.train.labels < 3
    train = data.Examples({"drawing": data.bitmaps(sets.train.inputs["image"][some])}, sets.train.labels[some])
    model = models.drawings(train, classes=3)
    some = sets.test.labels < 3
    answers = model.predict(data.bitmaps(sets.test.inputs["image"][some]), verbose=0)
    assert answers.shape == (some.sum(), 3)
    assert (answers.argmax(axis=1) == sets.test.labels[some]).mean() > 0.97
    assert model.get_layer("features").output.shape == (None, 64)
