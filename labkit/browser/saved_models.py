"""A SavedModel and one of its signatures, found or refused with a way out."""

import os
from pathlib import Path
from typing import Any

from labkit.errors import ModelConversionError
from labkit.export import versions

_FILES = ("saved_model.pb", "saved_model.pbtxt")


def check_folder(saved_model: str | os.PathLike[str]) -> Path:
    """The folder of a SavedModel.

    Raises:
        ModelConversionError: there is no such folder, or it is not a SavedModel.
    """
    folder = Path(saved_model)
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise ModelConversionError(f"{folder} {kind}; give the folder of a SavedModel, as labkit.export returns it.")
    if any((folder / name).is_file() for name in _FILES):
        return folder
    if numbers := versions(folder):
        raise ModelConversionError(
            f"{folder} holds versions of a model, {', '.join(map(str, numbers))}; give one of them: "
            f"{folder / str(numbers[-1])}"
        )
    raise ModelConversionError(
        f"{folder} is not a SavedModel: it holds no {_FILES[0]}. A Keras model is written as one by "
        "labkit.export.export(model, folder), which returns the folder to give here."
    )


def load(saved_model: Path, signature: str) -> tuple[Any, Any]:
    """The loaded SavedModel, which must be kept as long as the signature is used, and the signature's function.

    Raises:
        ModelConversionError: TensorFlow cannot load it, or it has no such signature.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(saved_model))
    except Exception as error:  # of any kind: a damaged protobuf, missing variables, an op nobody knows
        raise ModelConversionError(f"TensorFlow cannot load {saved_model}: {error}") from error
    if signature not in loaded.signatures:
        there = ", ".join(sorted(loaded.signatures)) or "none; save it with signatures={'serving_default': ...}"
        raise ModelConversionError(f"{saved_model} has no signature {signature!r}. It has: {there}")
    return loaded, loaded.signatures[signature]


def input_specs(function: Any) -> dict[str, Any]:
    """The inputs of a signature's function by name, each a `tf.TensorSpec`, in the order of its tensors."""
    specs = function.structured_input_signature[1]
    return {name: specs[name] for name in sorted(specs)}
