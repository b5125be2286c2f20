"""Checks of lab 01, Export a model."""

from pathlib import Path
from types import EllipsisType
from typing import Any

from labkit.checks import exercise

_SERVED = {1, 2, 10, 1700}


@exercise(
    "01.1",
    hints=(
        "A name counts only when the whole of it is a whole number.",
        "Zeros in front are cosmetic, and letters, dots and suffixes disqualify. int(name) does the rest.",
    ),
)
def _versions(answer: Any) -> str | None:
    if isinstance(answer, int):
        return "a list of the numbers is asked for, not one of them or how many there are"
    answer = list(answer)
    if any(isinstance(each, str) for each in answer):
        return "versions are whole numbers; these are still names"
    found = set(answer)
    if len(answer) == 1 and found <= _SERVED:
        return "that is one of them; asked are all versions that a server sees, not only the one it serves"
    if 11 in found or 9 in found:
        return "a number inside a longer name makes no version"
    if found - _SERVED:
        return "there is a number among them that no folder name gives"
    if len(answer) != len(found):
        return "each version counts once"
    if found != _SERVED:
        return f"{len(_SERVED - found)} of the versions that a server sees are missing; zeros in front do not matter"
    return None


@exercise(
    "01.2",
    hints=(
        "Which of the three preprocessing layers multiplies?",
        "A kilogram has 1,000 grams; which of the three has a factor that you choose?",
    ),
)
def _to_grams(answer: Any) -> str | None:
    import keras
    import numpy as np

    if not isinstance(answer, keras.layers.Layer):
        return f"a Keras layer is asked for, to be exported with the model; this is of type {type(answer).__name__}"
    got = np.asarray(answer(np.array([3.0, 4.5], np.float32)), np.float64)
    if got.shape != (2,):
        return f"two penguins go in, so two numbers have to come out; the shape is {got.shape}"
    ratio = got / [3.0, 4.5]
    if np.allclose(ratio, 1e-3):
        return "this turns grams into kilograms, the other way round"
    if np.allclose(got - [3.0, 4.5], (got - [3.0, 4.5])[0]) and not np.allclose(ratio, ratio[0]):
        return "this adds a number; a change of units multiplies"
    if not np.allclose(ratio, 1000):
        return f"with this layer 3 kg becomes {got[0]:g} g"
    return None


@exercise(
    "01.3",
    hints=(
        "Part 5 wrote a second signature: a tf.function, an archive, an endpoint for each. What does this one return?",
        "name_species, whose input_signature is [specs], takes argmax over axis 1 of the model's answer, and gathers "
        "from penguins.classes. The archive tracks the model; the endpoint of a model needs an input_signature, too.",
    ),
)
def _name_species(answer: Any) -> str | EllipsisType | None:
    import tensorflow as tf

    folder = Path(answer)
    if not folder.exists():
        return ...
    if not (folder / "saved_model.pb").exists():
        return "this folder holds no saved_model.pb; the version's folder is asked for, not the model's"
    signatures = tf.saved_model.load(str(folder)).signatures
    missing = [name for name in ("name_species", "serving_default") if name not in signatures]
    if missing:
        return f"there is no signature {missing[0]}; the SavedModel has: {', '.join(sorted(signatures))}"
    return _judge_names(signatures["name_species"])


def _judge_names(name_species: Any) -> str | None:
    import tensorflow as tf

    from labkit import data

    penguins = data.penguins()
    test = penguins.test
    wanted = set(test.inputs)
    if set(name_species.structured_input_signature[1]) != wanted:
        return "name_species has to take the same six inputs as serving_default, under the same names"
    outputs = name_species(**{name: tf.constant(column) for name, column in test.inputs.items()})
    if "species" not in outputs:
        return f"the output is to be called species; the signature returns: {', '.join(sorted(outputs))}"
    if outputs["species"].dtype != tf.string:
        return f"species is to be text, this is {outputs['species'].dtype.name}"
    said = [word.decode() for word in outputs["species"].numpy().ravel()]
    if len(said) != len(test):
        return f"{len(test)} penguins went in and {len(said)} names came out; take argmax over axis 1, the classes"
    right = sum(word == penguins.classes[label] for word, label in zip(said, test.labels, strict=True))
    if right < 0.9 * len(test):
        return f"only {right} of {len(test)} names are right; are the names in the order of penguins.classes?"
    return None
