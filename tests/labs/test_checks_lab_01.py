"""Checks of lab 01: the solution is right, each typical wrong answer hears what is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import data, start

start.seed()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([1, 2, 10, 1700], "right"),
        ({1700, 2, 10, 1}, "right"),
        (["1", "2", "0010", "1700"], "still names"),
        ([1700], "all versions"),
        ([1, 2, 9, 10, 11, 1700], "inside a longer name"),
        ([1, 2, 100, 1700], "that no folder name gives"),
        ([1, 2, 2, 10, 1700], "counts once"),
        ([1, 2, 1700], "1 of the versions"),
        (4, "or how many there are"),
        (None, "the answer is None"),
        ((1.0, 2.0, 10.0, 1700.0), "right"),
        (np.array([1, 2, 10, 1700]), "right"),
    ],
)
def test_versions(answer, said, hears) -> None:
    hears("01.1", answer, said)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda layers: layers.Rescaling(1000), "right"),
        (lambda layers: layers.Rescaling(1 / 1000), "the other way round"),
        (lambda layers: layers.Rescaling(1, offset=1000), "a change of units multiplies"),
        (lambda layers: layers.Rescaling(100), "3 kg becomes 300 g"),
        (lambda layers: layers.Dense, "a Keras layer is asked for"),
        (lambda layers: lambda kilograms: 1000 * kilograms, "of type function"),
        (lambda layers: layers.UnitNormalization(axis=0), "3 kg becomes"),
    ],
)
def test_to_grams(make, said, hears) -> None:
    from keras import layers

    hears("01.2", make(layers), said)


@pytest.fixture(scope="module")
def model() -> Any:
    from labkit import models

    return models.penguins(data.penguins().train)


@pytest.fixture
def exported(model: Any, tmp_path: Path) -> Callable[..., Path]:
    """Exports the model with a signature `name` that answers with what `answer` makes of the class numbers."""

    def write(name: str, answer: Callable[[Any], dict[str, Any]], drop: str = "") -> Path:
        import tensorflow as tf
        from keras.export import ExportArchive

        specs = {
            each: tf.TensorSpec([None], tensor.dtype, name=each) for each, tensor in model.input.items() if each != drop
        }

        @tf.function(input_signature=[specs])
        def named(inputs: dict[str, Any]) -> dict[str, Any]:
            if drop:
                inputs = inputs | {drop: tf.fill(tf.shape(inputs["island"]), "unknown")}
            return answer(tf.argmax(model(inputs)["probabilities"], axis=1))

        archive = ExportArchive()
        archive.track(model)
        archive.add_endpoint("serving_default", model, input_signature=[model.input])
        archive.add_endpoint(name, named)
        archive.write_out(tmp_path / "1", verbose=False)
        return tmp_path / "1"

    return write


def test_name_species_right(exported, hears) -> None:
    import tensorflow as tf

    classes = data.penguins().classes
    folder = exported("name_species", lambda number: {"species": tf.gather(classes, number)})
    hears("01.3", folder, "right")
    hears("01.3", folder.parent, "no saved_model.pb")
    hears("01.3", folder.with_name("7"), "not answered yet")


@pytest.mark.parametrize(
    ("name", "answer", "drop", "said"),
    [
        ("species", lambda tf, number: {"species": tf.gather(CLASSES, number)}, "", "no signature name_species"),
        ("name_species", lambda tf, number: {"name": tf.gather(CLASSES, number)}, "", "is to be called species"),
        ("name_species", lambda tf, number: {"species": number}, "", "to be text, this is int64"),
        ("name_species", lambda tf, number: {"species": tf.gather(CLASSES, number[:3])}, "", "names came out"),
        ("name_species", lambda tf, number: {"species": tf.gather(CLASSES[::-1], number)}, "", "in the order of"),
        ("name_species", lambda tf, number: {"species": tf.gather(CLASSES, number)}, "sex", "the same six inputs"),
    ],
)
def test_name_species_wrong(name, answer, drop, said, exported, hears) -> None:
    import tensorflow as tf

    hears("01.3", exported(name, lambda number: answer(tf, number), drop), said)


CLASSES = list(data.penguins().classes)
