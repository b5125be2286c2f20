/** The choice of what the model runs on. What is not to be had is there too, disabled, with the reason. */
import { make } from '../elements.js';
import { describeWebgl, describeWebgpu } from '../gpu.js';
import { openWithLiteRt, openWithTensorFlow, readModel } from './models.js';

const LABELS = {
  wasm: 'WebAssembly',
  webgl: 'WebGL',
  webgpu: 'WebGPU',
  cpu: 'plain JavaScript',
  litert: 'LiteRT.js',
};

/**
 * Makes the choice and adds it to `parent`.
 * @param {Element} parent
 * @param {object} options what `mount` was given, and:
 * @param {string|null} options.tflite name of the file for LiteRT.js
 * @param {Asker} options.asker gets the model that is chosen
 * @param {object} options.facts from `createFacts`
 * @param {(error: Error|null) => void} options.onTrouble null when there is none any more
 * @returns {Choice}
 */
export function createChoice(parent, options) {
  return new Choice(parent, options);
}

let ids = 0;

class Choice {
  #options;
  #select = make('select', 'lk-select', { disabled: '' }); // until a model answers, or it is said why not
  #items = {};
  #gpus = {};
  #current = null;
  #read = null; // the model's files
  #turn = Promise.resolve(); // one change after the other

  constructor(parent, options) {
    this.#options = options;
    this.#select.id = `lk-runs-on-${ids++}`;
    for (const [name, text] of Object.entries(LABELS)) {
      if (name === 'litert' && !options.tflite) continue;
      this.#items[name] = make('option', '', { value: name }, text);
      this.#select.append(this.#items[name]);
    }
    const field = make('div', 'lk-field');
    field.append(make('label', '', { for: this.#select.id }, 'Runs on'), this.#select);
    parent.append(field);
    this.#select.addEventListener('change', () => this.#changed());
  }

  /** Reads the model and lets it answer on WebAssembly, which is there in every browser. */
  async start() {
    const start = performance.now();
    this.#read = await readModel(this.#options.files, 'model').catch((error) => {
      throw new Error(`${error.message}. The page needs a folder "model" with a model.json and its weights.`);
    });
    this.#read.milliseconds = performance.now() - start;
    await this.#use('wasm').finally(() => { this.#select.disabled = false; });
    await this.#findOut();
  }

  /** Marks what is not to be had here. */
  async #findOut() {
    this.#gpus = { webgl: describeWebgl(), webgpu: await describeWebgpu() };
    for (const [name, gpu] of Object.entries(this.#gpus)) {
      if (!gpu.available) this.#disable(name, gpu.reason);
      else if (gpu.software) this.#items[name].textContent = `${LABELS[name]} (software GPU)`;
    }
    if (this.#items.litert && !this.#options.lite) this.#disable('litert', 'not inside a notebook');
  }

  #disable(name, reason) {
    this.#items[name].disabled = true;
    this.#items[name].textContent = `${LABELS[name]} (not here: ${reason})`;
  }

  #changed() {
    this.#turn = this.#turn.then(() => this.#change());
  }

  async #change() {
    const [before, wanted] = [this.#current, this.#select.value];
    if (wanted === before) return;
    this.#options.onTrouble(null);
    try {
      await this.#use(wanted);
    } catch (error) {
      this.#disable(wanted, 'it failed');
      this.#select.value = before;
      if (before) await this.#use(before).catch(this.#options.onTrouble);
      this.#options.onTrouble(new Error(`${LABELS[wanted]} cannot be used here: ${error.message}`));
    }
  }

  async #use(name) {
    const { asker, facts } = this.#options;
    this.#current = null;
    const loaded = { bytes: 0, model: 0, library: 0 };
    await asker.replace(() => (name === 'litert' ? this.#openLiteRt(loaded) : this.#openTensorFlow(name, loaded)));
    this.#current = name;
    facts.showLoaded(loaded);
    facts.showGpu(this.#gpus[name] ?? null);
    facts.showTimings(asker.timings);
  }

  async #openTensorFlow(name, loaded) {
    const tf = await timed(loaded, 'library', () => this.#options.useBackend(name));
    loaded.bytes = this.#read.bytes;
    loaded.model = this.#read.milliseconds;
    return timed(loaded, 'model', () => openWithTensorFlow(tf, this.#read.artifacts));
  }

  async #openLiteRt(loaded) {
    const { lite, files, tflite } = this.#options;
    const bytes = await timed(loaded, 'model', () => files.bytes(tflite));
    loaded.bytes = bytes.byteLength;
    return timed(loaded, 'library', () => openWithLiteRt(lite, bytes, tflite));
  }
}

/** Adds the milliseconds that `work` takes to `loaded[part]`. */
async function timed(loaded, part, work) {
  const start = performance.now();
  const got = await work();
  loaded[part] += performance.now() - start;
  return got;
}
