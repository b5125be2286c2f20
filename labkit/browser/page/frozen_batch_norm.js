/**
 * A frozen BatchNormalization that stays what it was.
 *
 * Keras says: `trainable = false` on a BatchNormalization also means that it uses its stored statistics while the rest
 * of the model is trained (keras.io, guide "Transfer learning & fine-tuning"). TensorFlow.js 4.22 only stops training
 * gamma and beta: in `fit` such a layer still normalises with the batch's mean and variance, and still overwrites the
 * stored ones. The frozen base of a model is then no longer the one that was trained, without a word.
 */

const kept = new WeakSet();

/**
 * From now on, every frozen BatchNormalization of a model uses its stored statistics, and does not change them. Whether
 * a layer is frozen is looked up each time it is called, so layers may be frozen and freed later. A layer is frozen if
 * `trainable` is false for it or for a model around it.
 *
 * @param {object} model a layers model
 * @returns {number} how many layers of this kind the model has, in models inside it as well
 */
export function keepFrozenStatistics(model) {
  return visit(model, []);
}

/**
 * Freeze a layer, or a model with all that is inside it. (`trainable = false` for a Sequential inside a Sequential
 * freezes nothing in TensorFlow.js 4.22: the outer one trains the inner one's layers all the same.)
 *
 * @param {object} layer a layer or a layers model
 */
export function freeze(layer) {
  inside(layer).forEach(freeze);
  layer.trainable = false;
}

/**
 * Free a layer, or a model with all that is inside it, but for every BatchNormalization: that is frozen.
 *
 * @param {object} layer a layer or a layers model
 */
export function freeAllButBatchNorm(layer) {
  layer.trainable = layer.getClassName() !== 'BatchNormalization';
  inside(layer).forEach(freeAllButBatchNorm);
}

function visit(owner, around) {
  if (owner.getClassName() === 'BatchNormalization') {
    keep(owner, around);
    return 1;
  }
  return inside(owner).reduce((count, layer) => count + visit(layer, [...around, owner]), 0);
}

/** The layers of a model, the layer of a wrapper such as TimeDistributed or the two of Bidirectional; else none. */
function inside({ layers, layer, forwardLayer, backwardLayer }) {
  return [...(layers ?? []), ...[layer, forwardLayer, backwardLayer].filter(Boolean)];
}

function keep(layer, around) {
  if (kept.has(layer)) return;
  kept.add(layer);
  const call = layer.call.bind(layer);
  const frozen = () => [layer, ...around].some((owner) => !owner.trainable);
  layer.call = (inputs, options) => call(inputs, frozen() ? { ...options, training: false } : options);
}
