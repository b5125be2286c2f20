"""Every layer of Keras is written so that it answers the same in a browser, or refused by name."""

import inspect
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

from labkit.browser import export_layers_model, run
from labkit.errors import ModelConversionError

from .layers_model_cases import BATCH, CASES, NO_LAYERS, REFUSED, TIME

TOLERANCE = 1e-5  # absolute, and relative to the largest number of an answer
SCRIPT = """
const message = (error) => String(error?.message ?? error);

export default async function ({ tf, args }) {
  const answers = {};
  const predict = async (name, inputs) => {
    const model = await tf.loadLayersModel(`files/models/${name}/model.json`);
    const tensors = inputs.map(({ data, shape }) => tf.tensor(data, shape));
    const outputs = [model.predict(tensors.length > 1 ? tensors : tensors[0])].flat();
    const answer = await Promise.all(outputs.map(async (y) => ({ data: await y.data(), shape: y.shape })));
    model.dispose();
    return answer;
  };
  const layers = Object.entries(tf.serialization.SerializationMap.getMap().classNameMap)
    .filter(([, [kind]]) => kind.prototype instanceof tf.layers.Layer).map(([name]) => name);
  for (const backend of ['wasm', 'cpu']) {
    if (!(await tf.setBackend(backend)) || tf.getBackend() !== backend) throw new Error(`no backend ${backend}`);
    answers[backend] = {};
    for (const [name, inputs] of Object.entries(args.inputs)) {
      try {
        answers[backend][name] = await predict(name, inputs);
      } catch (error) {
        answers[backend][name] = message(error);
      }
    }
  }
  return { answers, layers };
}
"""


def set_weights(model: keras.Model) -> None:
    """Numbers of their own for all weights: initial ones would hide much, as zeros for biases."""
    random = np.random.default_rng(len(model.weights))
    for variable in model.weights:
        if variable.dtype == "float32":  # not the count of a Normalization
            values = random.normal(0, 1 / np.sqrt(max(variable.shape[0], 4) if variable.shape else 1), variable.shape)
            variable.assign(np.abs(values) + 0.5 if "variance" in variable.name else values)


def inputs_of(model: keras.Model) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    counted = any(isinstance(layer, kl.Embedding | kl.CategoryEncoding) for layer in model.layers)
    found = []
    for tensor in model.inputs:
        shape = (BATCH, *(TIME if size is None else size for size in tensor.shape[1:]))
        if counted or "int" in tensor.dtype:
            x = random.integers(1, 7, shape).astype("int32" if "int" in tensor.dtype else "float32")
            x[0, -2:] = x[1, 0] = 0
        else:
            x = random.normal(0, 1, shape).astype("float32")
            x[0, -1] = x[1, 0] = 1.0  # what `Masking` leaves out
        found.append(x)
    return found


class Answers:
    """What Keras and the browser answered, by the names of cases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layers: set[type] = set()
        self.keras: dict[str, list[np.ndarray]] = {}
        inputs = {}
        for name, build in CASES.items():
            model = build()
            if not isinstance(model.layers[0], kl.Normalization):
                set_weights(model)
            export_layers_model(model, folder / name)
            self.layers |= set(map(type, parts(model)))
            inputs[name] = inputs_of(model)
            self.keras[name] = answer_of_keras(model, inputs[name])
        found = run(SCRIPT, files={"models": folder}, args={"inputs": inputs}, backend="wasm", timeout=100)
        self.browser, self.registered = found["answers"], set(found["layers"])


def answer_of_keras(model: keras.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    first = getattr(model.layers[0], "data_format", "") == "channels_first"
    outputs = (
        [channels_last_twin(model.layers[0], inputs[0])] if first else model(packed(model, inputs), training=False)
    )
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


def channels_last_twin(layer: keras.Layer, x: np.ndarray) -> np.ndarray:
    """What a layer for channels first answers, which TensorFlow does not compute on every CPU."""
    twin = type(layer).from_config({**layer.get_config(), "data_format": "channels_last"})
    x = np.moveaxis(x, 1, -1)
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    y = np.asarray(twin(x))
    return np.moveaxis(y, -1, 1) if y.ndim == x.ndim else y


def packed(model: keras.Model, inputs: list[np.ndarray]) -> Any:
    alone = isinstance(model, keras.Sequential) or not isinstance(model.input, dict | list)
    return inputs[0] if alone else keras.tree.pack_sequence_as(model.input, inputs)


def parts(layer: Any) -> Iterator[Any]:
    """A layer and all that it consists of."""
    yield layer
    for attribute in ("layers", "layer", "forward_layer", "cell", "cells"):
        inner = getattr(layer, attribute, None)
        for part in inner if isinstance(inner, list | tuple) else [inner] * (inner is not None):
            if isinstance(part, keras.Layer):
                yield from parts(part)
    if isinstance(layer, keras.Model):
        yield from (tensor._keras_history.operation for tensor in layer.inputs)


@pytest.fixture(scope="module")
def answers(browser_is_here: None, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*will therefore destroy the mask")  # as one of the cases means to do
        return Answers(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("backend", ["cpu", "wasm"])
@pytest.mark.parametrize("name", CASES)
def test_the_browser_answers_as_keras(answers: Answers, name: str, backend: str) -> None:
    found, expected = answers.browser[backend][name], answers.keras[name]
    if isinstance(found, str):
        pytest.fail(found)
    assert len(found) == len(expected)
    for y, wanted in zip(found, expected, strict=True):
        assert tuple(y["shape"]) == wanted.shape
        np.testing.assert_allclose(
            y["data"].reshape(wanted.shape), wanted, rtol=0, atol=TOLERANCE * max(1, np.abs(wanted).max())
        )


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_browser_lacks_is_refused_by_name(name: str, tmp_path: Path) -> None:
    model = REFUSED[name]()
    (layer,) = [layer for layer in model.layers if type(layer).__name__ == name]
    with pytest.raises(ModelConversionError) as refused:
        export_layers_model(model, tmp_path / "model")
    assert f"{layer.name!r} ({name})" in str(refused.value)
    assert "graph model" in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_every_layer_of_keras_is_written_or_refused(answers: Answers) -> None:
    classes = {thing.__name__ for _, thing in inspect.getmembers(kl, inspect.isclass)}
    written = {layer.__name__ for layer in answers.layers} - {"ConvLSTMCell", "Functional", "Sequential"}
    assert classes == written | REFUSED.keys() | NO_LAYERS.keys()
    assert not written & REFUSED.keys()


def test_every_layer_of_tensorflow_js_is_used_or_known_to_be_wrong(answers: Answers) -> None:
    """Those that Keras does not have, or has otherwise: each was tried, and is explained where it is refused."""
    used: set[str] = set()
    for name in CASES:
        used |= set(re.findall(r'"class_name": "(\w+)"', (answers.folder / name / "model.json").read_text()))
    assert answers.registered - used == {
        "AlphaDropout",  # puts in the opposite of what it should in training
        "CenterCrop",  # cuts one column too many where one is to go; written as Cropping2D
        "Conv3DTranspose",  # wrong on WebAssembly
        "ConvLSTM2DCell",  # in Keras it is no layer
        "MaxPooling3D",  # wrong on WebAssembly
        "Model",  # the same as Functional
        "RandomWidth",  # not in Keras 3
        "Resizing",  # aligns corners
        "Sequential",  # written as Functional
    }
