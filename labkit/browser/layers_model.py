"""Keras 3 -> layers model, TensorFlow.js's format for models that are trained in the page, and the weights back.

    export_layers_model(model, "work/06/web_model")
    artifacts = run("fine_tune.js", files={"model": "work/06/web_model"})    # returns what a save handler got
    load_weights(model, read_weights(artifacts))

web_model/
├── model.json               the layers and how they are connected, and which weights are where
└── group1-shard1of3.bin ... the weights, in files of 4 MiB

The format is that of Keras 2, and what TensorFlow.js makes of a model of Keras 3 differs in places without a word. So
every layer and option is either written in a form that was compared with Keras in a browser, or refused by name.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labkit.browser import layers_model_weights as weights_format
from labkit.browser.layers_model_topology import Topology
from labkit.browser.written_aside import written_aside
from labkit.errors import ModelConversionError

__all__ = ["export_layers_model", "load_weights", "read_weights"]


def export_layers_model(model: Any, folder: str | os.PathLike[str]) -> Path:
    """Write a Keras model so that a page can train it, and return the folder.

        const model = await tf.loadLayersModel('files/model/model.json');
        model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });

    It answers as in Keras, and learns as in Keras: regularizers, frozen layers, and layers that do something else in
    training are taken over. Not taken over are what `compile` was told, initializers and seeds. A `Normalization` is
    written as two `Rescaling` with the numbers that it learned. Models with named inputs or outputs (a dict) have
    them in the order of `model.inputs` and `model.outputs` in the page.

    Two things are up to the page. In `fit`, TensorFlow.js normalises by the statistics of the batch, and updates those
    of the model, even in a `BatchNormalization` that is frozen; Keras does not (``page/frozen_batch_norm.js`` helps).
    And on WebAssembly the gradients of convolutions are missing, and those of max pooling wrong, until
    `registerWasmGradients` of ``page/wasm_gradients.js`` is called.

    Args:
        model: a built `keras.Sequential` or `keras.Model(inputs, outputs)`.
        folder: where to write; made when missing, and a model that is there already is replaced.

    Raises:
        ModelConversionError: a layer, or an option of one, does not exist in TensorFlow.js or means something else
            there; `folder` holds something else. Nothing is written then.
    """
    import keras

    topology = Topology(model)
    written: dict[str, Any] = {
        "format": "layers-model",
        "generatedBy": f"keras v{keras.__version__}",
        "convertedBy": "labkit",
        "modelTopology": {
            "keras_version": keras.__version__,
            "backend": keras.backend.backend(),
            "model_config": {"class_name": "Functional", "config": topology.config},
        },
    }
    with written_aside(folder) as new:
        arrays = {name: np.asarray(variable) for name, variable in topology.weights.items()}
        written["weightsManifest"] = weights_format.write_shards(arrays, new)
        try:
            text = json.dumps(written, allow_nan=False)
        except ValueError as error:
            raise ModelConversionError(
                f"Model {model.name!r} has an option that is infinite or no number, which JSON does not have: {error}"
            ) from error
        (new / "model.json").write_text(text, encoding="utf-8")
    return Path(folder)


def read_weights(source: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights of a TensorFlow.js model, by the names that they have there.

    Args:
        source: the folder of a saved model, or what a page's save handler got: `weightSpecs`, the list, and
            `weightData`, its bytes (also as `weight_specs` and `weight_data`), whatever else there is beside them.

    Raises:
        ModelConversionError: there is no model in `source`, or not all of one.
    """
    if isinstance(source, str | os.PathLike):
        return weights_format.read_folder(Path(source))
    return weights_format.read_artifacts(source)


def load_weights(model: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Set all weights of a Keras model to those of the TensorFlow.js model that was made from it.

    Args:
        model: the model that was exported, or one built like it, with the same names of layers.
        weights: by name, as `read_weights` returns them.

    Raises:
        ModelConversionError: weights are missing, left over, or of another shape; the model is as it was then.
    """
    variables = Topology(model).weights
    wrong = {
        "missing": sorted(variables.keys() - weights.keys()),
        "left over": sorted(weights.keys() - variables.keys()),
        "of another shape": [
            f"{name} {np.shape(weights[name])} instead of {tuple(variable.shape)}"
            for name, variable in variables.items()
            if name in weights and np.shape(weights[name]) != tuple(variable.shape)
        ],
    }
    if any(wrong.values()):
        found = "; ".join(f"{what}: {', '.join(names)}" for what, names in wrong.items() if names)
        raise ModelConversionError(
            f"The weights are not those of model {model.name!r}. {found}. Give the model that was exported, or one "
            "built like it with the same names of layers."
        )
    for name, variable in variables.items():
        variable.assign(weights[name])
