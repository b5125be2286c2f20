/** The model behind the page: as it came, and as it was trained here. */
import { SIDE } from '../bitmap.js';
import { readModel } from '../draw/models.js';
import { evaluate, trainAll, trainHead, withNewHead } from '../transfer.js';
import { registerWasmGradients } from '../wasm_gradients.js';

export const HEAD = 'new_head'; // the name of the new layer, also in what is handed over
const BATCH = 16; // of few examples; with larger batches an epoch would have hardly any steps
const SLOWER = 10; // so much smaller are the steps when all layers are trained

export class Tuner {
  #tf;
  #artifacts;
  #base;
  #tuned = null;

  /**
   * Reads the model, for WebAssembly.
   * @param {{files: object, useBackend: function(string): Promise<object>}} context what `mount` was given
   */
  async load({ files, useBackend }) {
    const { artifacts } = await readModel(files, 'model');
    if (artifacts.format !== 'layers-model') {
      throw new Error(`model.json has the format "${artifacts.format}"; only a "layers-model" can be trained`);
    }
    this.#tf = await useBackend('wasm');
    registerWasmGradients(this.#tf);
    this.#artifacts = artifacts;
    const base = await this.#fresh();
    const shape = JSON.stringify(base.inputs[0].shape.slice(1));
    const given = `[${SIDE},${SIDE},1]`;
    if (shape !== given) {
      base.dispose();
      throw new Error(`the model takes ${shape}; this page gives it ${given}`);
    }
    this.#base = base;
  }

  get loaded() {
    return this.#base !== undefined;
  }

  get trained() {
    return this.#tuned !== null;
  }

  /**
   * Trains the model as it came, with a new head.
   *
   * @param {object} wish
   * @param {string[]} wish.names of the classes
   * @param {import('./examples.js').Labelled} wish.training
   * @param {import('./examples.js').Labelled} wish.held
   * @param {'head'|'all'} wish.mode only the new head; or the head and then all layers, in smaller steps
   * @param {number} wish.epochs of the head, and of all layers
   * @param {number} wish.learningRate
   * @param {number} wish.seed
   * @param {AbortSignal} wish.signal stops it
   * @param {function} wish.report called after every epoch with {epoch, loss, accuracy}
   * @returns {Promise<{before: object, after: object, milliseconds: number}>} what `evaluate` says of the held
   *   examples, before with the new head untrained; null where none are held
   */
  async train({ names, training, held, mode, epochs, learningRate, seed, signal, report }) {
    const tf = this.#tf;
    const base = await this.#fresh();
    const model = withNewHead(tf, base, { classes: names.length, seed, name: HEAD });
    base.layers.at(-1).dispose(); // not in the model any more
    const data = this.#tensors(training);
    const test = this.#tensors(held);
    const judge = () => (held.labels.length ? evaluate(tf, model, test) : null);
    try {
      const before = await judge();
      const start = performance.now();
      const options = { epochs, learningRate, batchSize: BATCH, seed, signal, report };
      await trainHead(tf, model, data, options);
      if (mode === 'all') {
        const next = ({ epoch, ...figures }) => report({ epoch: epoch + epochs, ...figures });
        await trainAll(tf, model, data, { ...options, learningRate: learningRate / SLOWER, report: next });
      }
      const milliseconds = performance.now() - start;
      this.#tuned?.dispose();
      this.#tuned = model;
      return { before, after: await judge(), milliseconds };
    } finally {
      tf.dispose([data.x, test.x]);
      if (this.#tuned !== model) model.dispose();
    }
  }

  /** Probabilities for one bitmap: of the model as it came, and of the trained one (null if there is none). */
  async ask(bitmap) {
    const answer = async (model) => {
      const probabilities = this.#tf.tidy(() => model.predict(this.#tf.tensor4d(bitmap, [1, SIDE, SIDE, 1])));
      const values = await probabilities.data();
      probabilities.dispose();
      return values;
    };
    return { before: await answer(this.#base), after: this.trained ? await answer(this.#tuned) : null };
  }

  /** The trained model as `tf.io` describes models: modelTopology, weightSpecs, weightData. */
  async artifacts() {
    let found;
    await this.#tuned.save(this.#tf.io.withSaveHandler(async (artifacts) => {
      found = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
    }));
    return found;
  }

  /** Saves the trained model as two files, where the browser puts downloads. */
  download(name) {
    return this.#tuned.save(`downloads://${name}`);
  }

  dispose() {
    this.#base?.dispose();
    this.#tuned?.dispose();
  }

  #fresh() {
    return this.#tf.loadLayersModel(this.#tf.io.fromMemory(this.#artifacts));
  }

  #tensors({ bitmaps, labels }) {
    const pixels = new Float32Array(bitmaps.length * SIDE * SIDE);
    bitmaps.forEach((bitmap, i) => pixels.set(bitmap, i * SIDE * SIDE));
    return { x: this.#tf.tensor4d(pixels, [bitmaps.length, SIDE, SIDE, 1]), labels };
  }
}
