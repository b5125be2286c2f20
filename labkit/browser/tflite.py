"""Keras model or SavedModel -> a TFLite file for LiteRT.js or tfjs-tflite.

Both compute with the shapes that the file states. Where the batch is left open, LiteRT.js refuses to run and
tfjs-tflite answers zeros without a word, so the files written here have a fixed batch, and `check_tflite` (in a page:
`page/lite.js`) finds those that have not.
"""

import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labkit import quiet_tensorflow
from labkit.browser import saved_models
from labkit.browser.tflite_file import check_content, check_tflite
from labkit.errors import ModelConversionError

__all__ = ["QUANTIZED", "check_tflite", "export_tflite"]

QUANTIZED = ("float16", "dynamic", "int8")
_TYPES = ("float32", "int32", "uint8")  # those that a tensor of LiteRT.js can have
_LACKING = re.compile(r"(?:TF Select|Custom) ops: ([^\n]+)")
_NOISE = b"fully_quantize:"  # a line that the quantiser writes to descriptor 2 whatever the log level
_lock = threading.Lock()


def export_tflite(
    model: Any,
    path: str | os.PathLike[str],
    *,
    batch: int = 1,
    quantize: str | None = None,
    representative: Iterable[Any] | None = None,
    signature: str = "serving_default",
) -> Path:
    """Write a model as a TFLite file with a fixed batch and return its path.

    Inputs and outputs keep the names of the signature, and are float32 (or int32, uint8) whatever `quantize` says.

    Args:
        model: a built Keras model, or the folder of a SavedModel.
        path: the file to write, ``something.tflite``; replaced when it is there.
        batch: the first dimension of every input: as many examples must be given each time.
        quantize: None, everything float32; ``float16``, weights of half the size; ``dynamic``, weights of 8 bits (a
            quarter), computed with them where the runtime can; ``int8``, weights and intermediate results of 8 bits,
            whose ranges are taken from `representative`.
        representative: for ``int8``: some hundred typical examples without a batch dimension, each an array, or a
            mapping from input name to array where the model has several inputs.
        signature: of a SavedModel, which one.

    Raises:
        ModelConversionError: no such SavedModel or signature; text or numbers of 64 bits go in or out; a dimension
            beside the batch is open; an op that TFLite lacks; `quantize`, `batch` or `representative` is none.
            Nothing is written then.
    """
    _check_options(batch, quantize, representative)
    target = Path(path)
    if target.is_dir():
        raise ModelConversionError(f"{target} is a folder; give the name of a file, as {target / 'model.tflite'}")
    with tempfile.TemporaryDirectory(prefix="labkit-tflite-") as folder:
        fixed = _with_fixed_batch(model, batch, signature, Path(folder) / "fixed")
        _, function = saved_models.load(fixed, "serving_default")
        inputs = saved_models.input_specs(function)
        _check_types(inputs, function.structured_outputs)
        examples = None if representative is None else _examples(representative, inputs)
        content = _converted(fixed, quantize, examples)
    check_content(content, str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.writing")
    try:
        aside.write_bytes(content)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    return target


def _check_options(batch: int, quantize: str | None, representative: Iterable[Any] | None) -> None:
    if not isinstance(batch, int) or batch < 1:
        raise ModelConversionError(f"batch is {batch!r}; it is a whole number from 1 on, as a file has one fixed batch")
    if quantize is not None and quantize not in QUANTIZED:
        raise ModelConversionError(f"quantize is {quantize!r}; it is one of {', '.join(QUANTIZED)}, or None")
    if (quantize == "int8") != (representative is not None):
        raise ModelConversionError(
            "quantize='int8' and representative go together: the examples say how large intermediate results become. "
            "Give both, as export_tflite(model, path, quantize='int8', representative=images[:200]), or neither."
        )


def _with_fixed_batch(model: Any, batch: int, signature: str, folder: Path) -> Path:
    """A SavedModel whose inputs have `batch` as first dimension.

    It is saved in any case. What TensorFlow's converter makes of a function that is not saved is wrong for models of
    Keras 3: it loses track of their variables, and answers are NaN.
    """
    if isinstance(model, str | os.PathLike):
        return _saved_again(saved_models.check_folder(model), signature, batch, folder)
    import keras

    if not isinstance(model, keras.Model) or not model.built or not hasattr(model, "inputs"):
        raise ModelConversionError(
            f"model is of type {type(model).__name__}; give a Keras model that states its inputs (Sequential with an "
            "Input, or functional), or the folder of a SavedModel"
        )
    given = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    inputs = keras.tree.map_structure(
        lambda tensor: keras.InputSpec(
            shape=_fixed_shape(tensor.name, tensor.shape, batch), dtype=tensor.dtype, name=tensor.name
        ),
        given,
    )
    archive = keras.export.ExportArchive()
    archive.track_and_add_endpoint("serve", model, [inputs])
    archive.write_out(str(folder), verbose=False)
    return folder


def _saved_again(saved_model: Path, signature: str, batch: int, folder: Path) -> Path:
    import tensorflow as tf

    loaded, function = saved_models.load(saved_model, signature)
    inputs = {
        name: tf.TensorSpec(_fixed_shape(name, spec.shape, batch), spec.dtype, name)
        for name, spec in saved_models.input_specs(function).items()
    }
    module = tf.Module()
    module.model = loaded  # holds the variables
    module.fixed = tf.function(lambda **given: function(**given)).get_concrete_function(**inputs)
    tf.saved_model.save(module, str(folder), signatures=module.fixed)
    return folder


def _fixed_shape(name: str, shape: Any, batch: int) -> tuple[int, ...]:
    """The shape of an input, with `batch` as its first dimension.

    Raises:
        ModelConversionError: a dimension stays open, or the first one is fixed otherwise already.
    """
    if getattr(shape, "rank", 0) is None:
        raise ModelConversionError(f"The input {name!r} has no shape. Build the model with an Input that states it.")
    if len(shape) == 0:
        return ()
    first, *others = shape
    if first not in (None, batch):
        raise ModelConversionError(f"The input {name!r} has the shape {tuple(shape)}: give batch={first}")
    if None in others:
        raise ModelConversionError(
            f"The input {name!r} has the shape {(batch, *others)}: a dimension beside the batch is open, and in a "
            "browser all are fixed. Build the model with an Input that states its size."
        )
    return (batch, *others)


def _check_types(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    for kind, specs in (("input", inputs), ("output", outputs)):
        for name, spec in specs.items():
            if spec.dtype.name not in _TYPES:
                way_out = (
                    "Let the page turn the text into numbers, and export the model from there on"
                    if spec.dtype.name == "string"
                    else "Cast it inside the model, as tf.cast(x, tf.int32)"
                )
                raise ModelConversionError(
                    f"The {kind} {name!r} is of type {spec.dtype.name}; tensors in a browser are of "
                    f"{', '.join(_TYPES)}. {way_out}."
                )


def _examples(representative: Iterable[Any], inputs: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
    """Each example as often as the batch is large: what counts is the range of the numbers."""
    examples = []
    for number, example in enumerate(representative):
        named = example if isinstance(example, Mapping) else {name: example for name in inputs if len(inputs) == 1}
        if set(named) != set(inputs):
            raise ModelConversionError(
                f"representative: example {number} is for the inputs {', '.join(named) or 'without names'}; the model "
                f"has {', '.join(inputs)}. Give a mapping from name to array."
            )
        examples.append({name: _repeated(named[name], spec, number) for name, spec in inputs.items()})
    if not examples:
        raise ModelConversionError("representative holds no example; give some hundred typical ones")
    return examples


def _repeated(example: Any, spec: Any, number: int) -> np.ndarray:
    array = np.asarray(example, spec.dtype.as_numpy_dtype)
    shape = tuple(spec.shape)
    if array.shape != shape[1:]:
        raise ModelConversionError(
            f"representative: example {number} for {spec.name!r} has the shape {array.shape}; {shape[1:]} is wanted, "
            "one example without a batch dimension"
        )
    return np.broadcast_to(array, shape).copy()


def _converted(source: Path, quantize: str | None, examples: list[dict[str, np.ndarray]] | None) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(source))
    if quantize is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if examples is not None:
        converter.representative_dataset = lambda: iter(examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    try:
        return _quietly(converter.convert)
    except Exception as error:  # of any kind: it comes from C++
        if lacking := sorted({op for found in _LACKING.findall(str(error)) for op in found.split(", ")}):
            raise ModelConversionError(
                f"The model uses ops that TFLite lacks: {', '.join(lacking)}. Split the model: export the part without "
                "them, and do the rest in the page; or try labkit.browser.export_graph_model."
            ) from error
        if "TensorList" in str(error):
            raise ModelConversionError(
                "The model has a loop over a list of tensors that TFLite lacks, as a recurrent layer has when it is "
                "saved with an open batch. Give export_tflite the Keras model itself instead of the SavedModel."
            ) from error
        raise ModelConversionError(f"The model cannot be written as TFLite: {error}") from error


def _quietly(convert: Callable[[], bytes]) -> bytes:
    """Converts without the notes of two parts of the converter that no log level holds back, and without those on what
    failed: they are in the error."""
    with _lock, warnings.catch_warnings(), tempfile.TemporaryFile() as log:
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        with quiet_tensorflow.stderr_into(log):
            content = convert()
        log.seek(0)
        said = b"".join(line for line in log if not line.startswith(_NOISE))
        if said and sys.stderr is not None:
            sys.stderr.write(said.decode(errors="replace"))
        return content
