"""Keras model -> versioned SavedModel folder, the layout that TensorFlow Serving reads.

penguins/            the model: one folder, its name is usually the model's name
├── 1/               a version: the whole name is a whole number
│   ├── assets.extra/   requests to warm up with, if any
│   ├── saved_model.pb
│   └── variables/
└── 2/
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from labkit.errors import ModelConversionError, ModelFolderError
from labkit.warmup import write_warmup

__all__ = ["export", "versions", "write_warmup"]


def versions(folder: str | os.PathLike[str]) -> list[int]:
    """The version numbers in a model folder, lowest first. Names that are not whole numbers are no versions."""
    root = Path(folder)
    if not root.is_dir():
        return []
    return sorted(int(child.name) for child in root.iterdir() if child.is_dir() and child.name.isdecimal())


def export(
    model: Any,
    folder: str | os.PathLike[str],
    *,
    version: int | None = None,
    signatures: Mapping[str, Callable[..., Any]] | None = None,
    warmup: Iterable[Any] | None = None,
) -> Path:
    """Write `model` as the next version of `folder` and return the version's path.

    The SavedModel is written beside its place and renamed into it when complete, so that a server that polls the
    folder never sees half a model.

    Args:
        model: a built Keras model.
        folder: the model folder; made when missing.
        version: the number to write, by default one above the highest there (1 in an empty folder).
        signatures: further signatures by name, each a `tf.function` with an input signature, beside the
            ``serving_default`` (and its twin ``serve``) that `model.export` writes.
        warmup: requests that a server lets the version answer before any client may ask it; see `write_warmup`.

    Raises:
        ModelFolderError: that version is there already, or `version` is negative.
        ModelConversionError: the model does not say what its inputs are, as a subclassed one or a Sequential without
            `keras.Input` that was never called.
        WarmupError: a request of `warmup` does not fit the model; nothing is written then.
    """
    root = Path(folder)
    number = version if version is not None else max(versions(root), default=0) + 1
    if number < 0:
        raise ModelFolderError(f"A version is a whole number from 0 on, got {number}.")
    if number in versions(root):
        raise ModelFolderError(
            f"{root} holds a version {number} already. Servers never look into a version again once it is loaded: "
            f"write version {max(versions(root)) + 1}, or leave `version` out."
        )
    root.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        _write(model, aside / "saved_model", signatures or {})
        if warmup is not None:
            write_warmup(aside / "saved_model", warmup)
        os.rename(aside / "saved_model", root / str(number))
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return root / str(number)


def _write(model: Any, target: Path, signatures: Mapping[str, Callable[..., Any]]) -> None:
    import keras

    # A Sequential model that was never called has `inputs` only; elsewhere `input` keeps their names and nesting.
    try:
        inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    except AttributeError as error:
        raise ModelConversionError(
            f"This {type(model).__name__} does not say which inputs it takes, and servers have to know ({error}) Put a "
            "keras.Input first in a Sequential; make a functional model of any other: x = keras.Input(shape), then "
            "export keras.Model(x, model(x))."
        ) from error
    inputs = keras.tree.map_structure(lambda t: keras.InputSpec(shape=t.shape, dtype=t.dtype, name=t.name), inputs)
    archive = keras.export.ExportArchive()
    archive.track_and_add_endpoint("serve", model, [inputs])
    for name, function in signatures.items():
        archive.add_endpoint(name, function)
    archive.write_out(str(target), verbose=False)
