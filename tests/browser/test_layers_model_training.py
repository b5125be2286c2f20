"""A layers model learns in the browser as in Keras, and what it learned comes back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from labkit.browser import export_layers_model, load_weights, read_weights, run

from .layers_model_cases import BATCH, CASES, IMAGE, TIME, VECTOR, chain

RATE, TOLERANCE = 0.1, 1e-4
BEFORE = {  # after a Dense for each input, so that the gradient goes through all of it
    "Dense of rank 5", "Conv1D", "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling1D",
    "MaxPooling2D", "AveragePooling2D valid", "GlobalAveragePooling1D", "GlobalMaxPooling2D", "BatchNormalization",
    "BatchNormalization 3", "LayerNormalization axes", "Normalization", "Rescaling each", "Activation", "ReLU leaky",
    "PReLU shared", "ELU", "Softmax of two", "Flatten", "Reshape", "Permute", "RepeatVector", "Cropping2D",
    "ZeroPadding2D", "Add wide", "Multiply", "Average", "Maximum", "Concatenate axis", "Dot axes", "SimpleRNN",
    "LSTM sequence", "GRU", "RNN stacked", "ConvLSTM2D", "Bidirectional sum", "TimeDistributed image", "nested",
    "nested again", "shared",
}  # fmt: skip
ALONE = {
    "Dense without bias",
    "Embedding",
    "masked GRU",
    "masked RNN",
    "masked Bidirectional",
    "same names",
    "residual",
    "frozen",
}

SCRIPT = """
export default async function ({ tf, args }) {
  const { registerWasmGradients } = await import(new URL('page/wasm_gradients.js', document.baseURI));
  const tensors = (arrays) => arrays.map(({ data, shape }) => tf.tensor(data, shape));
  const one = (list) => (list.length > 1 ? list : list[0]);
  async function learn(name, { inputs, targets }) {
    const model = await tf.loadLayersModel(`files/models/${name}/model.json`);
    model.compile({ optimizer: tf.train.sgd(args.rate), loss: 'meanSquaredError' });
    const x = one(tensors(inputs));
    const { history } = await model.fit(x, one(tensors(targets)), { epochs: 1, shuffle: false, verbose: 0 });
    let saved;
    await model.save(tf.io.withSaveHandler((artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
    }));
    const { weightSpecs, weightData } = saved;
    const trained = model.trainableWeights.map((weight) => weight.originalName);
    return { loss: history.loss[0], weightSpecs, weightData, trained, outputs: [model.predict(x)].flat() };
  }
  const learned = {};
  for (const backend of ['wasm', 'cpu']) {
    await tf.setBackend(backend);
    if (backend === 'wasm') registerWasmGradients(tf);
    learned[backend] = {};
    for (const [name, job] of Object.entries(args.jobs)) {
      learned[backend][name] = await learn(name, job).catch((error) => String(error.message));
    }
  }
  return learned;
}
"""


def after_dense(model: keras.Model) -> keras.Model:
    inputs = [keras.Input(tensor.shape[1:]) for tensor in model.inputs]
    mixed = [kl.Dense(tensor.shape[-1])(tensor) for tensor in inputs]
    return keras.Model(alone(inputs), model(alone(mixed)))


def alone(several: list[Any]) -> Any:
    return several if len(several) > 1 else several[0]


def frozen() -> keras.Model:
    """Some layers are frozen, by themselves or with the model that they are in; one has a loss of its own."""
    body = chain(kl.Dense(5, "tanh", kernel_regularizer="l1"), kl.BatchNormalization(), kl.PReLU(), shape=VECTOR)
    body.layers[0].trainable = False
    base = chain(kl.Dense(6), kl.Dense(6, kernel_constraint="non_neg"), shape=VECTOR)
    base.trainable = False
    regularizer = keras.regularizers.L1L2(0.01, 0.02)
    return chain(base, body, kl.Dense(3, kernel_regularizer=regularizer, bias_regularizer="l2"), shape=VECTOR)


class Step:
    """One step of SGD of one model: what Keras made of it, and what the browser is to start from."""

    def __init__(self, model: keras.Model, folder: Path) -> None:
        self.model, self.random = model, np.random.default_rng(3)
        if not any(isinstance(layer, kl.Normalization) for layer in model._flatten_layers()):
            for variable in model.weights:
                values = self.random.normal(0, 0.5, variable.shape)
                variable.assign(np.abs(values) + 0.5 if "variance" in variable.name else values)
        export_layers_model(model, folder)
        self.inputs = [self._input(tensor) for tensor in model.inputs]
        self.targets, self.loss = self._learn()

    def _input(self, tensor: Any) -> np.ndarray:
        shape = (BATCH, *(size or TIME for size in tensor.shape[1:]))
        if "int" in tensor.dtype:
            return np.resize(np.array([3, 1, 6, 2, 0, 0, 5], "int32"), shape)
        return self.random.normal(0, 1, shape).astype("float32")

    def outputs(self, training: bool) -> list[Any]:
        return keras.tree.flatten(self.model(alone(self.inputs), training=training))

    def _learn(self) -> tuple[list[np.ndarray], float]:
        with tf.GradientTape() as tape:
            outputs = self.outputs(training=True)
            targets = [self.random.normal(0, 1, output.shape).astype("float32") for output in outputs]
            errors = [tf.reduce_mean((output - target) ** 2) for output, target in zip(outputs, targets, strict=True)]
            loss = tf.add_n(errors) + sum(self.model.losses)
        for variable, gradient in zip(
            self.model.trainable_weights, tape.gradient(loss, self.model.trainable_weights), strict=True
        ):
            variable.assign(variable - RATE * tf.convert_to_tensor(gradient))
        return targets, float(loss)


@pytest.fixture(scope="module")
def steps(
    browser_is_here: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Step], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("models")
    models = {name: after_dense(CASES[name]()) for name in sorted(BEFORE)}
    models |= {name: frozen() if name == "frozen" else CASES[name]() for name in sorted(ALONE)}
    steps = {name: Step(model, folder / name) for name, model in models.items()}
    jobs = {name: {"inputs": step.inputs, "targets": step.targets} for name, step in steps.items()}
    return steps, run(SCRIPT, files={"models": folder}, args={"jobs": jobs, "rate": RATE}, timeout=100)


@pytest.mark.parametrize("backend", ["cpu", "wasm"])
@pytest.mark.parametrize("name", sorted(BEFORE | ALONE))
def test_a_step_of_training_and_its_way_back(steps: Any, name: str, backend: str) -> None:
    """The browser makes the same step as Keras; its weights, loaded into Keras, answer as in the browser."""
    step, learned = steps[0][name], steps[1][backend][name]
    if isinstance(learned, str):
        pytest.fail(learned)
    assert learned["loss"] == pytest.approx(step.loss, rel=TOLERANCE)
    by_keras = [np.asarray(weight) for weight in step.model.weights]
    try:
        load_weights(step.model, read_weights(learned))
        for weight, wanted in zip(step.model.weights, by_keras, strict=True):
            largest = max(1, np.abs(wanted).max(initial=0))
            np.testing.assert_allclose(weight, wanted, rtol=0, atol=TOLERANCE * largest, err_msg=weight.path)
        for output, wanted in zip(step.outputs(training=False), learned["outputs"], strict=True):
            np.testing.assert_allclose(output, wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()))
    finally:
        for weight, value in zip(step.model.weights, by_keras, strict=True):
            weight.assign(value)


def test_what_is_frozen_stays_frozen(steps: Any) -> None:
    model, learned = steps[0]["frozen"].model, steps[1]["cpu"]["frozen"]
    assert len(learned["trained"]) == len(model.trainable_weights) == 5
    assert sorted(name.split("/")[-1] for name in learned["trained"]) == ["alpha", "beta", "bias", "gamma", "kernel"]


def test_what_happens_by_chance_happens_in_training_only(browser_is_here: None, tmp_path: Path) -> None:
    layers = {
        "Dropout": kl.Dropout(0.5, seed=1),
        "GaussianDropout": kl.GaussianDropout(0.5),
        "GaussianNoise": kl.GaussianNoise(1.0),
        "SpatialDropout2D": kl.SpatialDropout2D(0.5),
        "frozen": kl.Dropout(0.5, trainable=False),
    }
    for name, layer in layers.items():
        export_layers_model(chain(layer, shape=IMAGE), tmp_path / name)
    script = """
        export default async function ({ tf, args }) {
          const answers = {};
          for (const name of args.names) {
            const model = await tf.loadLayersModel(`files/models/${name}/model.json`);
            const x = tf.ones([200, 7, 6, 3]);
            answers[name] = [model.apply(x, { training: true }), model.apply(x, { training: true }), model.predict(x)];
          }
          return answers;
        }"""
    answers = run(script, files={"models": tmp_path}, args={"names": list(layers)}, backend="cpu")
    for name, layer in layers.items():
        first, second, predicted = answers[name]
        by_keras = np.asarray(layer(np.ones(first.shape, "float32"), training=True))
        np.testing.assert_array_equal(predicted, np.ones(first.shape))
        assert (first != second).any()
        assert first.mean() == pytest.approx(by_keras.mean(), abs=0.2)
        assert first.std() == pytest.approx(by_keras.std(), rel=0.2)
    assert np.ptp(answers["SpatialDropout2D"][0], axis=(1, 2)).max() == 0
