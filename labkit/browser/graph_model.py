"""SavedModel -> graph model, TensorFlow.js's format for models that only answer.

web_model/
├── model.json               the graph, the signature, and which weights are where
└── group1-shard1of3.bin ... the weights, in files of 4 MiB, which browsers keep in their cache

The conversion is that of `tensorflowjs` 4.22.0, with four things set right afterwards: names of inputs and outputs,
what is fused, what is quantised, and errors.
"""

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labkit.browser import graph_model_fusions, saved_models, tfjs_converter
from labkit.browser.written_aside import written_aside
from labkit.errors import ModelConversionError

QUANTIZED = ("float16", "uint8", "uint16")
_UNSUPPORTED = re.compile(r"Unsupported Ops in the model \w+ optimization\n(.*)", re.DOTALL)


def export_graph_model(
    saved_model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    signature: str = "serving_default",
    quantize: str | None = None,
) -> Path:
    """Write a signature of a SavedModel as a graph model of TensorFlow.js and return its folder.

    In the page inputs have the names of the signature:

        const model = await tf.loadGraphModel('files/model/model.json');
        const probabilities = model.predict({ image: tf.tensor(pixels, [1, 28, 28, 1]) });

    `predict` returns a tensor where the signature has one output, and an object of tensors by name where it has
    several. A model with loops, branches or lookup tables (`StringLookup`) answers through
    ``await model.predictAsync(...)`` only. Numbers of 64 bits have 32 in the browser.

    Args:
        saved_model: the folder with the ``saved_model.pb``, as `labkit.export.export` returns it.
        folder: where to write; made when missing, and a graph model that is there already is replaced.
        signature: the name of the signature.
        quantize: how weights are stored: ``float16`` (half the size), ``uint16`` (half) or ``uint8`` (a quarter), the
            latter two as steps between the smallest and the largest number of each weight. They are float32 again
            when loaded: it saves download, not time. None: as they are. Whole numbers, and weights that a format
            cannot hold (above 65504 or infinite in float16), stay as they are.

    Raises:
        ModelConversionError: no such SavedModel or signature; an op that TensorFlow.js lacks; `folder` holds something
            else; no such `quantize`. Nothing is written then.
        EnvironmentProblem: the package `tensorflowjs` is missing.
    """
    if quantize is not None and quantize not in QUANTIZED:
        raise ModelConversionError(f"quantize is {quantize!r}; it is one of {', '.join(QUANTIZED)}, or None")
    source = saved_models.check_folder(saved_model)
    converter = tfjs_converter.load()
    loaded, function = saved_models.load(source, signature)
    with written_aside(folder) as new:
        with _sentences(source, signature):
            converter.convert_tf_saved_model(str(source), str(new), signature_def=signature)
        model = json.loads((new / "model.json").read_text(encoding="utf-8"))
        graph_model_fusions.take_apart(model["modelTopology"])
        _name_inputs_and_outputs(model, function)
        if quantize is not None:
            _quantize(model, new, quantize)
        (new / "model.json").write_text(json.dumps(model), encoding="utf-8")
    del loaded  # until here: it holds the function's variables
    return Path(folder)


@contextlib.contextmanager
def _sentences(source: Path, signature: str) -> Iterator[None]:
    """Turns what the converter raises into an error that says what to do."""
    try:
        yield
    except Exception as error:  # it raises whatever it meets, mostly ValueError
        if not (match := _UNSUPPORTED.search(str(error))):
            raise ModelConversionError(
                f"The signature {signature!r} of {source} cannot be converted: {error}"
            ) from error
        ops = ", ".join(sorted(match[1].split(", ")))
        raise ModelConversionError(
            f"The signature {signature!r} of {source} uses ops that TensorFlow.js lacks: {ops}. Split the model: "
            "export the part without them (a signature of its own, or keras.Model from the first tensor after them), "
            "and do the rest in the page; a picture is decoded there by tf.browser.fromPixels, text by JavaScript."
        ) from error


def _name_inputs_and_outputs(model: dict[str, Any], function: Any) -> None:
    """Give the tensors of `model` the signature's names, in the order of the names.

    The converter knows only those whose type and shape occur once, and writes them in any order; but TensorFlow.js
    takes the first output for the one whose name comes first. So the answers of a model with two outputs of one shape
    could come under each other's names.
    """
    entries = model["signature"]
    inputs, outputs = (_by_tensor(entries.get(kind, {})) for kind in ("inputs", "outputs"))
    names = list(saved_models.input_specs(function))
    tensors = {name: tensor.name for name, tensor in zip(names, function.inputs, strict=False)}
    named = {name: inputs.pop(tensor) for name, tensor in tensors.items() if tensor in inputs}
    entries["inputs"] = named | {entry["name"]: entry for entry in inputs.values()}  # lookup tables: no inputs to give
    names = sorted(function.structured_outputs)
    entries["outputs"] = {name: outputs[tensor.name] for name, tensor in zip(names, function.outputs, strict=True)}
    if len(names) > 1:
        model["userDefinedMetadata"] = {"structuredOutputKeys": names}


def _by_tensor(entries: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in entries.values()}


def _quantize(model: dict[str, Any], folder: Path, quantize: str) -> None:
    """Store the weights of the model in `folder` as `quantize` says.

    Done here, for the converter would round whole numbers, too (a shape, a table of indices), and write what float16
    cannot hold as infinite.
    """
    from tensorflowjs import read_weights, write_weights

    groups = read_weights.read_weights(model["weightsManifest"], str(folder))
    for old in folder.glob("*.bin"):
        old.unlink()
    chosen = [glob.escape(each["name"]) for group in groups for each in group if _fits(each["data"], quantize)]
    model["weightsManifest"] = write_weights.write_weights(
        groups, str(folder), write_manifest=False, quantization_dtype_map={quantize: chosen}
    )


def _fits(data: np.ndarray, quantize: str) -> bool:
    """Whether a weight can be stored so. One number alone stays exact: nothing would be saved."""
    if data.dtype != np.float32 or data.size < 2:
        return False
    limit = np.finfo(np.float16).max if quantize == "float16" else np.finfo(np.float32).max
    return bool(np.all(np.abs(data) <= limit))
