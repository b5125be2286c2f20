/**
 * A trained model learns new classes: what the page for fine-tuning and the lab use. Every function is given `tf`, and
 * works on every backend; for wasm, register labkit's gradients first (wasm_gradients.js).
 *
 * "Data" is `{ x, labels }`: a tensor of examples, and the class number of each (an array). With the same data and the
 * same seed a training gives the same weights to the last bit, on cpu and wasm (unless the model has Dropout).
 */
import { freeAllButBatchNorm, keepFrozenStatistics } from './frozen_batch_norm.js';

const BETAS = [0.9, 0.999];
const EPSILON = 1e-7; // Keras's; TensorFlow.js may take 1e-4 on WebGL, and training would go another way there
const YIELD_MS = 20; // so often a page may paint, and hear a click, while it trains

/**
 * The model without its last layer, and with a new one: Dense with softmax, for other classes. The layers before it are
 * those of `base` itself: training them changes `base`.
 *
 * @param {object} tf
 * @param {object} base a layers model whose last layer is Dense
 * @param {{classes: number, seed: number, name?: string}} head number of classes; seed of its first weights; its name
 * @returns {object} a layers model
 */
export function withNewHead(tf, base, { classes, seed, name = 'new_head' }) {
  const last = base.layers.at(-1);
  if (last.getClassName() !== 'Dense') {
    throw new Error(`the model's last layer is ${last.name}, ${last.getClassName()}; only Dense is replaced here`);
  }
  const kernelInitializer = tf.initializers.glorotUniform({ seed });
  const head = tf.layers.dense({ units: classes, activation: 'softmax', kernelInitializer, name });
  return tf.model({ inputs: base.inputs, outputs: head.apply(last.getInputAt(0)) });
}

/**
 * Train only the last layer. What the frozen layers before it say about an example never changes, so they are asked
 * once, and the rest is a model of one layer.
 *
 * @param {object} tf
 * @param {object} model made by `withNewHead`
 * @param {{x: object, labels: ArrayLike<number>}} data
 * @param {object} [options] as of `train`; learningRate is 0.01 unless given
 */
export async function trainHead(tf, model, data, options = {}) {
  const last = model.layers.at(-1);
  const base = tf.model({ inputs: model.inputs, outputs: last.getInputAt(0) });
  const x = tf.tidy(() => base.predict(data.x));
  const input = tf.input({ shape: x.shape.slice(1) });
  const head = tf.model({ inputs: input, outputs: last.apply(input) }); // the same layer: its weights are the model's
  try {
    return await train(tf, head, { x, labels: data.labels }, { learningRate: 0.01, ...options });
  } finally {
    x.dispose();
    head.dispose(); // of the layer's two users one; its weights stay
  }
}

/**
 * Train all layers, in small steps: they know something already. A BatchNormalization keeps its statistics, as those of
 * a few examples would be worse.
 *
 * @param {object} tf
 * @param {object} model made by `withNewHead`, its new head best trained first
 * @param {{x: object, labels: ArrayLike<number>}} data
 * @param {object} [options] as of `train`; learningRate is 0.001 unless given
 */
export async function trainAll(tf, model, data, options = {}) {
  freeAllButBatchNorm(model);
  keepFrozenStatistics(model);
  return train(tf, model, data, { learningRate: 0.001, ...options });
}

/**
 * Train what is not frozen, batch by batch. Between batches the page gets time to paint and to react.
 *
 * @param {object} tf
 * @param {object} model a layers model with probabilities as its output
 * @param {{x: object, labels: ArrayLike<number>}} data
 * @param {object} options
 * @param {number} options.epochs passes over the data
 * @param {number} options.learningRate of the optimizer, Adam
 * @param {number} [options.batchSize]
 * @param {number} [options.seed] of the order of the examples
 * @param {(progress: {epoch: number, loss: number, accuracy: number}) => void} [options.report] called after each epoch
 *   with the means over its batches, as `fit` has them
 * @param {AbortSignal} [options.signal] ends the training between two batches
 * @returns {Promise<{epoch: number, loss: number, accuracy: number}[]>} what was reported
 */
export async function train(tf, model, data, { epochs, learningRate, batchSize = 32, seed = 0, report, signal }) {
  const optimizer = tf.train.adam(learningRate, ...BETAS, EPSILON);
  model.compile({ optimizer, loss: crossEntropy, metrics: ['accuracy'] });
  const random = randomNumbers(seed);
  const history = [];
  let painted = performance.now();
  for (let epoch = 1; epoch <= epochs && !signal?.aborted; epoch++) {
    const sums = { loss: 0, accuracy: 0, examples: 0 };
    for (const rows of batches(data.labels.length, batchSize, random)) {
      const [loss, accuracy] = await trainOnRows(tf, model, data, rows);
      sums.loss += loss * rows.length;
      sums.accuracy += accuracy * rows.length;
      sums.examples += rows.length;
      if (performance.now() - painted > YIELD_MS) {
        await nextTask();
        painted = performance.now();
      }
      if (signal?.aborted) break;
    }
    history.push({ epoch, loss: sums.loss / sums.examples, accuracy: sums.accuracy / sums.examples });
    report?.(history.at(-1));
    await nextTask();
  }
  optimizer.dispose();
  return history;
}

/**
 * How well a model knows its classes.
 *
 * @param {object} tf
 * @param {object} model a layers model
 * @param {{x: object, labels: ArrayLike<number>}} data
 * @returns {Promise<{accuracy: number, confusion: number[][], predicted: number[]}>} share of right answers;
 *   confusion[true class][predicted class], counts; the class of each example
 */
export async function evaluate(tf, model, { x, labels }) {
  const answers = tf.tidy(() => model.predict(x).argMax(-1));
  const predicted = Array.from(await answers.data());
  answers.dispose();
  const classes = model.outputs[0].shape.at(-1);
  const confusion = Array.from({ length: classes }, () => new Array(classes).fill(0));
  predicted.forEach((answer, i) => confusion[labels[i]][answer]++);
  const right = confusion.reduce((sum, row, label) => sum + row[label], 0);
  return { accuracy: right / predicted.length, confusion, predicted };
}

/** Keras's categorical cross-entropy, for each example: -log of the right class's probability. */
function crossEntropy(targets, probabilities) {
  return targets.mul(probabilities.clipByValue(EPSILON, 1 - EPSILON).log()).sum(-1).neg();
}

/** One step of the optimizer on some rows of the data: loss and accuracy before the step. */
async function trainOnRows(tf, model, { x, labels }, rows) {
  const classes = model.outputs[0].shape.at(-1);
  const [examples, targets] = tf.tidy(() => [
    tf.gather(x, rows),
    tf.oneHot(rows.map((row) => labels[row]), classes).toFloat(),
  ]);
  const figures = await model.trainOnBatch(examples, targets);
  tf.dispose([examples, targets]);
  return figures;
}

/** The numbers of all rows in a new order, cut into batches. */
function batches(count, size, random) {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [order[i], order[other]] = [order[other], order[i]];
  }
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => order.slice(i * size, (i + 1) * size));
}

/** A generator of numbers from 0 to 1 that can be seeded, as Math.random cannot: a 32-bit linear congruence. */
function randomNumbers(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // the constants of Numerical Recipes
    return state / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) next(); // neighbouring seeds part
  return next;
}

/** Lets the browser do what is waiting. tf.nextFrame() would wait forever in a page that nobody can see. */
function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
