"""Fine-tuning in JavaScript: a base trained on the digits 0 to 4 learns 5 to 9, in one browser run on wasm."""

from typing import Any

import numpy as np
import pytest

from labkit.browser import run
from labkit.data import digits

pytestmark = pytest.mark.usefixtures("browser_is_here")
TOOLS = """
import { freeze, keepFrozenStatistics } from './page/frozen_batch_norm.js';
import { evaluate, train, trainAll, trainHead, withNewHead } from './page/transfer.js';
import { registerWasmGradients } from './page/wasm_gradients.js';

const ROUND = { epochs: 3, seed: 1 };

function newBase(tf) {
  const l = tf.layers;
  const start = (seed) => tf.initializers.glorotUniform({ seed });
  return tf.sequential({ layers: [
    l.conv2d({ inputShape: [8, 8, 1], filters: 8, kernelSize: 3, padding: 'same', kernelInitializer: start(1) }),
    l.batchNormalization({ momentum: 0.9 }), l.reLU(), l.maxPooling2d({ poolSize: 2 }),
    l.conv2d({ filters: 16, kernelSize: 3, activation: 'relu', kernelInitializer: start(2) }), l.flatten(),
    l.dense({ units: 5, activation: 'softmax', kernelInitializer: start(3) }),
  ] });
}

/** A copy of all weights of the base's layers, as arrays. */
const weightsOf = (model) => model.layers.slice(0, -1).flatMap((layer) => layer.getWeights().map((w) => w.dataSync()));
const statisticsOf = (layer) => layer.getWeights().slice(2).map((w) => w.dataSync());
const headOf = (model) => model.layers.at(-1).getWeights().map((w) => w.dataSync());

async function oneHead(tf, base, data, options) {
  const model = withNewHead(tf, base, { classes: 5, seed: options.seed, name: `head_${options.name}` });
  const history = await trainHead(tf, model, data, options);
  return { model, history, head: headOf(model) };
}

function newInner(tf) {
  const l = tf.layers;
  const inner = tf.sequential({ layers: [
    l.conv2d({ inputShape: [8, 8, 1], filters: 4, kernelSize: 3, activation: 'relu' }), l.batchNormalization(),
  ] });
  return [inner, [l.flatten(), l.dense({ units: 5, activation: 'softmax' })]];
}

async function innerByTrainAll(tf, data) {
  const [inner, rest] = newInner(tf);
  const model = tf.sequential({ layers: [inner, ...rest] });
  freeze(inner); // as a base is while a new head is trained
  const seen = () => inner.layers.flatMap((layer) => layer.getWeights().map((w) => w.dataSync()));
  const before = seen();
  await trainAll(tf, model, data, ROUND);
  return { before, after: seen() };
}

async function frozenByFit(tf, data, guarded, freezing, outer = 'sequential') {
  const [inner, rest] = newInner(tf);
  const input = tf.input({ shape: [8, 8, 1] });
  const model = outer === 'sequential' ? tf.sequential({ layers: [inner, ...rest] })
    : tf.model({ inputs: input, outputs: [inner, ...rest].reduce((x, layer) => layer.apply(x), input) });
  freezing(inner);
  const count = guarded ? keepFrozenStatistics(model) + keepFrozenStatistics(model) : 0;
  const seen = () => inner.predict(data.x.slice([0, 0, 0, 0], [8, 8, 8, 1])).dataSync();
  const before = { statistics: statisticsOf(inner.layers[1]), seen: seen() };
  model.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
  await model.fit(data.x, tf.tensor1d(data.labels, 'float32'), { epochs: 1 });
  return { count, before, after: { statistics: statisticsOf(inner.layers[1]), seen: seen() } };
}

const part = (tf, { x, labels }) => ({ x: tf.tensor(x.data, x.shape), labels: Array.from(labels.data) });
"""

BACKEND_JOB = (
    TOOLS
    + """
export default async function ({ tf, args }) {
  const data = part(tf, args.train);
  // Large inputs make an untrained head very sure and very wrong: probabilities too small for some backends.
  const few = { x: data.x.slice([0, 0, 0, 0], [64, 8, 8, 1]).mul(50), labels: data.labels.slice(0, 64) };
  return (await oneHead(tf, newBase(tf), few, { ...ROUND, name: 'few' })).head;
}
"""
)

JOB = (
    TOOLS
    + """
export default async function ({ tf, args, report }) {
  registerWasmGradients(tf);
  const [old, data, held] = [part(tf, args.old), part(tf, args.train), part(tf, args.test)];
  const answer = { frozen: {} };

  const base = newBase(tf);
  await train(tf, base, old, { epochs: 4, learningRate: 0.003 });
  const known = await evaluate(tf, base, old);
  answer.base = { accuracy: known.accuracy, weights: weightsOf(base) };

  const untrained = withNewHead(tf, base, { classes: 5, seed: 1, name: 'untrained' });
  answer.before = await evaluate(tf, untrained, held);

  const tensors = () => tf.memory().numTensors;
  const same = [];
  answer.tensors = [];
  for (const name of ['a', 'b', 'c']) {
    same.push(await oneHead(tf, base, data, { ...ROUND, name, report: name === 'a' ? report : undefined }));
    answer.tensors.push(tensors()); // three heads: what grows between them is the head's two weights
  }
  answer.head = { ...await evaluate(tf, same[0].model, held), history: same[0].history, weights: weightsOf(base) };
  answer.same = same.map((each) => each.head);
  answer.otherSeed = (await oneHead(tf, base, data, { ...ROUND, seed: 2, name: 'other' })).head;

  const twin = newBase(tf);
  twin.setWeights(base.getWeights());
  const whole = withNewHead(tf, twin, { classes: 5, seed: 1, name: 'whole' });
  for (const layer of whole.layers.slice(0, -1)) layer.trainable = false;
  keepFrozenStatistics(whole);
  await train(tf, whole, data, { ...ROUND, learningRate: 0.01 });
  answer.whole = headOf(whole);


  const stop = new AbortController();
  answer.stopped = (await oneHead(tf, base, data, {
    epochs: 9, seed: 1, name: 'stopped', signal: stop.signal, report: ({ epoch }) => epoch === 2 && stop.abort(),
  })).history.length;

  let clicks = 0;
  setTimeout(() => { clicks += 1; });
  await oneHead(tf, base, data, { epochs: 3, seed: 1, name: 'clicked', report: () => { answer.clicks = clicks; } });

  const normal = base.layers[1];
  const statistics = statisticsOf(normal);
  const history = await trainAll(tf, same[0].model, data, ROUND);
  answer.all = { ...await evaluate(tf, same[0].model, held), history, weights: weightsOf(base),
    statistics: [statistics, statisticsOf(normal)] };

  try { withNewHead(tf, tf.sequential({ layers: base.layers.slice(0, -1) }), { classes: 5, seed: 1 }); }
  catch (error) { answer.refused = error.message; }

  const wholly = (model) => { model.trainable = false; };
  answer.frozen.unguarded = await frozenByFit(tf, data, false, freeze);
  answer.frozen.sequential = await frozenByFit(tf, data, true, freeze);
  answer.frozen.functional = await frozenByFit(tf, data, true, wholly, 'functional');
  answer.inner = await innerByTrainAll(tf, data);
  answer.frozen.free = await frozenByFit(tf, data, true, () => {});
  return answer;
}
"""
)


@pytest.fixture(scope="module")
def data() -> dict[str, dict[str, np.ndarray]]:
    """The digits 0 to 4 to train a base, and of 5 to 9 some to train with and others to test."""
    every = digits()

    def part(examples: Any, wanted: np.ndarray, first: int) -> dict[str, np.ndarray]:
        return {"x": examples.inputs["image"][wanted] / 16, "labels": examples.labels[wanted] - first}

    train, test = every.train, every.test
    return {
        "old": part(train, train.labels < 5, 0),
        "train": part(train, train.labels >= 5, 5),
        "test": part(test, test.labels >= 5, 5),
    }


@pytest.fixture(scope="module")
def reported() -> list[Any]:
    return []


@pytest.fixture(scope="module")
def answer(data, reported) -> dict[str, Any]:
    return run(JOB, args=data, on_progress=reported.append, timeout=110)


def equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def test_the_base_knows_its_own_digits_and_a_new_head_knows_nothing(answer):
    assert answer["base"]["accuracy"] > 0.9 > 0.6 > answer["before"]["accuracy"]


def test_a_new_head_on_the_frozen_base_learns_the_other_digits(answer):
    assert answer["head"]["accuracy"] > 0.85
    losses = [row["loss"] for row in answer["head"]["history"]]
    assert losses == sorted(losses, reverse=True)
    assert equal(answer["head"]["weights"], answer["base"]["weights"])


def test_features_once_and_a_head_is_the_same_as_the_frozen_model(answer):
    for ours, whole in zip(answer["same"][0], answer["whole"], strict=True):
        np.testing.assert_allclose(ours, whole, atol=1e-4)


def test_another_backend_trains_the_same(data):
    webgl, wasm = (run(BACKEND_JOB, args={"train": data["train"]}, backend=name) for name in ("webgl", "wasm"))
    for ours, theirs in zip(webgl, wasm, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_training_all_layers_goes_on_from_there(answer):
    assert answer["all"]["accuracy"] >= answer["head"]["accuracy"]
    assert answer["all"]["history"][-1]["loss"] < answer["head"]["history"][-1]["loss"]
    changed = [
        not np.array_equal(a, b) for a, b in zip(answer["all"]["weights"], answer["base"]["weights"], strict=True)
    ]
    kernel, bias, gamma, beta, mean, variance, *second = changed
    assert kernel and bias and all(second) and not any([gamma, beta, mean, variance])
    assert equal(*answer["all"]["statistics"])


def test_training_all_layers_frees_a_model_inside_but_not_its_batch_normalization(answer):
    inner = answer["inner"]
    kernel, bias, *norm = [not np.array_equal(a, b) for a, b in zip(inner["before"], inner["after"], strict=True)]
    assert kernel and bias and norm == [False] * 4


def test_every_epoch_is_reported_when_it_is_over(answer, reported):
    assert reported == answer["head"]["history"]
    assert [row["epoch"] for row in reported] == [1, 2, 3]
    assert all(0 <= row["accuracy"] <= 1 for row in reported)


def test_the_seed_decides_and_nothing_else(answer):
    first, *others = answer["same"]
    assert all(equal(first, other) for other in others)
    assert not np.array_equal(first[0], answer["otherSeed"][0])


def test_evaluation_counts_right_and_wrong(answer, data):
    labels, predicted = data["test"]["labels"], np.array(answer["head"]["predicted"])
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (labels, predicted), 1)
    assert confusion.tolist() == answer["head"]["confusion"]
    assert answer["head"]["accuracy"] == pytest.approx((labels == predicted).mean())


def test_training_leaves_no_tensor_behind(answer):
    first, second, third = answer["tensors"]
    assert second - first == third - second == 2  # the new head's kernel and bias


def test_a_training_can_be_stopped_and_the_page_stays_alive(answer):
    assert answer["stopped"] == 2
    assert answer["clicks"] == 1


def test_a_model_that_does_not_end_with_dense_is_refused(answer):
    assert "Flatten" in answer["refused"] and "Dense" in answer["refused"]


def test_tensorflow_js_alone_changes_frozen_statistics(answer):
    frozen = answer["frozen"]["unguarded"]
    assert not equal(frozen["before"]["statistics"], frozen["after"]["statistics"])


@pytest.mark.parametrize("frozen", ["sequential", "functional"])
def test_a_frozen_batch_normalization_stays_what_it_was(answer, frozen):
    got = answer["frozen"][frozen]
    assert got["count"] == 2  # two calls, one layer each
    assert equal(got["before"]["statistics"], got["after"]["statistics"])
    assert np.array_equal(got["before"]["seen"], got["after"]["seen"])


def test_a_free_batch_normalization_still_learns(answer):
    free = answer["frozen"]["free"]
    assert not equal(free["before"]["statistics"], free["after"]["statistics"])
