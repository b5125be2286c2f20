"""The gradients that labkit gives the wasm backend: all are asked for in one browser run, and compared here."""

import itertools
from typing import Any

import numpy as np
import pytest

from labkit.browser import run

CONVOLUTIONS = [
    {"kind": kind, "size": size, "strides": strides, "pad": pad, "batch": batch}
    for kind, size, strides, pad, batch in itertools.product(
        ("conv2d", "depthwiseConv2d"), (1, 3, 5), (1, 2), ("same", "valid"), (1, 4)
    )
]
POOLS = [
    {"size": size, "strides": strides, "pad": pad}
    for size, strides, pad in itertools.product((2, 3), (1, 2), ("same", "valid"))
]
# Layers that no gradient goes through to a weight: they have none, or are the same classes under another name.
WITHOUT = {"InputLayer", "Functional", "Model", "Sequential", "CategoryEncoding", "RandomWidth", "RNN", "Masking"}
CELLS = {"ConvLSTM2DCell", "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"}
RANDOM = {"AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D"}
# What TensorFlow.js has no gradient for, on any backend, and what does not work in any of its models.
NOWHERE = {"CenterCrop", "Conv3DTranspose", "ThresholdedReLU", "Resizing"}
REFUSED = {"Conv3D", "MaxPooling3D"}

pytestmark = pytest.mark.usefixtures("browser_is_here")
JOB = """
import { registerWasmGradients } from './page/wasm_gradients.js';

const normal = (tf, shape, seed) => tf.randomNormal(shape, 0, 1, 'float32', seed);

function convolution(tf, { kind, size, strides, pad, batch }) {
  const multiplier = kind === 'depthwiseConv2d' ? 2 : 4;
  return {
    operation: (x, filter) => tf[kind](x, filter, strides, pad),
    x: normal(tf, [batch, 8, 6, 3], 1), filter: normal(tf, [size, size, 3, multiplier], 2),
  };
}

async function onBoth(tf, compute) {
  const both = {};
  for (const backend of ['cpu', 'wasm']) {
    await tf.setBackend(backend);
    try { both[backend] = compute(); } catch (error) { both[backend] = error.message; }
  }
  return both;
}

/** Gradients on both backends, and slopes along two random directions from two values of the loss (it is linear). */
async function askConvolution(tf, which) {
  await tf.setBackend('cpu');
  const { operation, x, filter } = convolution(tf, which);
  const weights = normal(tf, operation(x, filter).shape, 3);
  const loss = (x, filter) => tf.tidy(() => operation(x, filter).mul(weights).sum());
  const slope = (before, after) => (after.dataSync()[0] - before.dataSync()[0]) / 2;
  const directions = [normal(tf, x.shape, 4), normal(tf, filter.shape, 5)];
  const slopes = [
    slope(loss(x.sub(directions[0]), filter), loss(x.add(directions[0]), filter)),
    slope(loss(x, filter.sub(directions[1])), loss(x, filter.add(directions[1]))),
  ];
  const gradients = await onBoth(tf, () => tf.grads(loss)([x, filter]));
  return { gradients, directions, slopes };
}

async function askPool(tf, { size, strides, pad }, lift) {
  await tf.setBackend('cpu');
  const x = normal(tf, [2, 5, 6, 3], 6).add(lift);
  const weights = normal(tf, tf.maxPool(x, size, strides, pad).shape, 7);
  return onBoth(tf, () => tf.grad((x) => tf.maxPool(x, size, strides, pad).mul(weights).sum())(x));
}

function layers(tf) {
  const l = tf.layers;
  const image = [6, 6, 2], sequence = [5, 3], volume = [4, 4, 4, 2];
  const conv = () => l.conv2d({ filters: 4, kernelSize: 3, padding: 'same' });
  const conv1 = () => l.conv1d({ filters: 4, kernelSize: 2 });
  const after = (first, layer) => ({ shape: first === conv ? image : sequence, stack: () => [first(), layer()] });
  const merged = (layer) => ({ shape: image, merge: layer });
  return {
    Activation: after(conv, () => l.activation({ activation: 'swish' })),
    Add: merged(() => l.add()), Average: merged(() => l.average()), Concatenate: merged(() => l.concatenate()),
    Maximum: merged(() => l.maximum()), Minimum: merged(() => l.minimum()), Multiply: merged(() => l.multiply()),
    AveragePooling1D: after(conv1, () => l.averagePooling1d({ poolSize: 2 })),
    AveragePooling2D: after(conv, () => l.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' })),
    BatchNormalization: after(conv, () => l.batchNormalization()),
    Bidirectional: { shape: sequence, stack: () => [
      l.bidirectional({ layer: l.lstm({ units: 3 }), mergeMode: 'concat' })] },
    Conv1D: { shape: sequence, stack: () => [l.conv1d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' })] },
    Conv2D: { shape: image, stack: () => [conv(), l.conv2d({ filters: 4, kernelSize: 3, strides: 2 })] },
    Conv2DTranspose: after(conv, () => l.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: 'same' })),
    Conv3D: { shape: volume, stack: () => [l.conv3d({ filters: 3, kernelSize: 2 })] },
    MaxPooling3D: { shape: volume, stack: () => [
      l.conv3d({ filters: 3, kernelSize: 2 }), l.maxPooling3d({ poolSize: 2 })] },
    AveragePooling3D: { shape: [64], stack: () => [
      l.dense({ units: 64 }), l.reshape({ targetShape: [4, 4, 4, 1] }), l.averagePooling3d({ poolSize: 2 })] },
    ConvLSTM2D: { shape: [3, 6, 6, 2], stack: () => [l.convLstm2d({ filters: 3, kernelSize: 3, padding: 'same' })] },
    Cropping2D: after(conv, () => l.cropping2D({ cropping: [[1, 1], [1, 1]] })),
    Dense: { shape: [4], stack: () => [l.dense({ units: 5, activation: 'tanh' }), l.dense({ units: 3 })] },
    DepthwiseConv2D: after(conv, () => l.depthwiseConv2d({ kernelSize: 3, strides: 2, depthMultiplier: 2 })),
    Dot: { shape: [4], merge: () => l.dot({ axes: 1 }) },
    ELU: after(conv, () => l.elu()), LeakyReLU: after(conv, () => l.leakyReLU()), PReLU: after(conv, () => l.prelu()),
    ReLU: after(conv, () => l.reLU({ maxValue: 6 })),
    Softmax: { shape: [4], stack: () => [l.dense({ units: 3 }), l.softmax()] },
    Embedding: { shape: [5], words: true, stack: () => [l.embedding({ inputDim: 7, outputDim: 3 })] },
    Flatten: after(conv, () => l.flatten()), Permute: after(conv, () => l.permute({ dims: [3, 1, 2] })),
    Reshape: after(conv, () => l.reshape({ targetShape: [36, 4] })),
    RepeatVector: { shape: [4], stack: () => [l.dense({ units: 3 }), l.repeatVector({ n: 3 })] },
    GRU: { shape: sequence, stack: () => [l.gru({ units: 4 })] },
    LSTM: { shape: sequence, stack: () => [l.lstm({ units: 4, returnSequences: true })] },
    SimpleRNN: { shape: sequence, stack: () => [l.simpleRNN({ units: 4 })] },
    GlobalAveragePooling1D: after(conv1, () => l.globalAveragePooling1d()),
    GlobalAveragePooling2D: after(conv, () => l.globalAveragePooling2d({})),
    GlobalMaxPooling1D: after(conv1, () => l.globalMaxPooling1d()),
    GlobalMaxPooling2D: after(conv, () => l.globalMaxPooling2d({})),
    LayerNormalization: after(conv, () => l.layerNormalization()),
    MaxPooling1D: after(conv1, () => l.maxPooling1d({ poolSize: 2 })),
    MaxPooling2D: after(conv, () => l.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' })),
    Rescaling: after(conv, () => l.rescaling({ scale: 3 })),
    SeparableConv2D: after(conv, () => l.separableConv2d({ filters: 4, kernelSize: 3, depthMultiplier: 2 })),
    TimeDistributed: { shape: sequence, stack: () => [l.timeDistributed({ layer: l.dense({ units: 2 }) })] },
    UpSampling2D: after(conv, () => l.upSampling2d({ size: [2, 2], interpolation: 'bilinear' })),
    ZeroPadding2D: after(conv, () => l.zeroPadding2d({ padding: 1 })),
  };
}

async function askLayer(tf, { shape, words, stack, merge }) {
  await tf.setBackend('cpu');
  const input = tf.input({ shape });
  const flat = () => tf.layers.dense({ units: 3 }).apply(input);
  let output = input;
  if (merge) output = merge().apply([flat(), flat()]);
  else for (const layer of stack()) output = layer.apply(output);
  const model = tf.model({ inputs: input, outputs: output });
  model.setWeights(model.getWeights().map((weight, i) => normal(tf, weight.shape, 10 + i).mul(0.4).abs()
    .mul(normal(tf, weight.shape, 90 + i).sign().add(weight.rank > 1 ? 0 : 2))));
  const x = words ? tf.tensor([[0, 1, 6, 1, 3], [2, 2, 2, 5, 0]]) : normal(tf, [2, ...shape], 8);
  const weights = normal(tf, model.apply(x).shape, 9);
  const variables = model.trainableWeights.map((weight) => weight.read());
  return onBoth(tf, () => {
    const { grads } = tf.variableGrads(() => model.apply(x, { training: true }).mul(weights).sum(), variables);
    return variables.map((variable) => grads[variable.name]);
  });
}

function leaks(tf, which) {
  const { operation, x, filter } = convolution(tf, which);
  const loss = (x, filter) => tf.tidy(() => tf.maxPool(operation(x, filter), 2, 2, 'same').sum());
  const once = () => tf.dispose(tf.grads(loss)([x, filter]));
  once();
  const before = [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  once();
  const after = [tf.memory().numTensors, tf.engine().backend.numDataIds()];
  const kernel = { conv2d: 'Conv2DBackpropFilter', depthwiseConv2d: 'DepthwiseConv2dNativeBackpropFilter' }[which.kind];
  const attributes = { strides: which.strides, pad: which.pad, dataFormat: 'NHWC', filterShape: filter.shape };
  const dy = operation(x, filter);
  const withDy = tf.memory().numTensors;
  tf.engine().runKernel(kernel, { x, dy }, attributes);
  return { before, after, made: tf.memory().numTensors - withDy };
}

function channelsFirst(tf) {
  const [x, dy] = [normal(tf, [1, 3, 6, 6], 1), normal(tf, [1, 4, 6, 6], 2)];
  const attributes = { strides: 1, pad: 'same', dataFormat: 'NCHW', filterShape: [3, 3, 3, 4] };
  try { tf.engine().runKernel('Conv2DBackpropFilter', { x, dy }, attributes); } catch (error) { return error.message; }
  return 'accepted';
}

export default async function ({ tf, args }) {
  const registered = [registerWasmGradients(tf), registerWasmGradients(tf)];
  const answer = { registered, convolutions: [], pools: [], layers: {}, leaks: [] };
  for (const which of args.convolutions) answer.convolutions.push(await askConvolution(tf, which));
  for (const which of args.pools) answer.pools.push(await askPool(tf, which, -9), await askPool(tf, which, 0));
  for (const [name, which] of Object.entries(layers(tf))) answer.layers[name] = await askLayer(tf, which);
  await tf.setBackend('wasm');
  for (const kind of ['conv2d', 'depthwiseConv2d']) {
    answer.leaks.push(leaks(tf, { kind, size: 3, strides: 2, pad: 'same', batch: 2 }));
  }
  answer.channelsFirst = channelsFirst(tf);
  answer.segments = tf.unsortedSegmentSum(tf.tensor2d([[1, 2], [3, 4], [5, 6]]), tf.tensor1d([2, 0, 2], 'int32'), 3);
  const classes = tf.serialization.SerializationMap.getMap().classNameMap;
  answer.classes = Object.keys(classes).filter((name) => classes[name][0].prototype instanceof tf.layers.Layer);
  return answer;
}
"""


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    return run(JOB, args={"convolutions": CONVOLUTIONS, "pools": POOLS}, timeout=110)


def close(ours: list[np.ndarray], reference: list[np.ndarray]) -> bool:
    """All gradients of one loss, compared with the largest of them as the measure."""
    scale = max(np.abs(array).max() for array in reference)
    assert scale > 0 and [array.shape for array in ours] == [array.shape for array in reference]
    return all(np.allclose(a, b, rtol=0, atol=1e-5 * scale) for a, b in zip(ours, reference, strict=True))


def test_the_second_registration_changes_nothing(answer):
    first, second = answer["registered"]
    assert "Conv2DBackpropFilter" in first and second == []


@pytest.mark.parametrize(
    "number", range(len(CONVOLUTIONS)), ids=lambda number: "-".join(map(str, CONVOLUTIONS[number].values()))
)
def test_gradients_of_a_convolution_are_slopes_of_its_loss_and_those_of_the_cpu(answer, number):
    got = answer["convolutions"][number]
    assert close(got["gradients"]["wasm"], got["gradients"]["cpu"])
    for gradient, direction, slope in zip(got["gradients"]["wasm"], got["directions"], got["slopes"], strict=True):
        parts = gradient.astype(np.float64) * direction
        assert parts.sum() == pytest.approx(slope, abs=2e-5 * np.abs(parts).sum())


def test_max_pooling_sends_the_slope_to_the_largest_number_also_below_zero(answer):
    for got in answer["pools"]:
        assert close([got["wasm"]], [got["cpu"]])


def test_every_layer_has_the_gradients_of_the_cpu_or_is_refused(answer):
    wrong = {name for name, got in answer["layers"].items() if isinstance(got["cpu"], str)}
    assert not wrong, {name: answer["layers"][name]["cpu"] for name in wrong}
    refused = {name for name, got in answer["layers"].items() if isinstance(got["wasm"], str)}
    assert refused == REFUSED, {name: answer["layers"][name]["wasm"] for name in refused}
    for name in answer["layers"].keys() - refused:
        assert close(answer["layers"][name]["wasm"], answer["layers"][name]["cpu"]), name


def test_what_is_refused_is_refused_in_words(answer):
    for name in REFUSED:
        assert "Train this model on another backend" in answer["layers"][name]["wasm"]
    assert "NCHW" in answer["channelsFirst"] and "Transpose the images first" in answer["channelsFirst"]


def test_no_layer_of_tensorflow_js_was_forgotten(answer):
    assert set(answer["classes"]) == answer["layers"].keys() | WITHOUT | CELLS | RANDOM | NOWHERE


def test_rows_with_one_number_are_added_up(answer):
    assert answer["segments"].tolist() == [[3, 4], [0, 0], [6, 8]]


def test_no_tensor_is_left_behind(answer):
    for leak in answer["leaks"]:
        assert leak["after"] == leak["before"]
        assert leak["made"] == 1  # the gradient itself
