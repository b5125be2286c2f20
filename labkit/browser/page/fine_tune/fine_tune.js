/**
 * Teach a model new classes, in the page: draw examples, train, and compare what it knew before with what it knows now.
 *
 * The page reads these files:
 *
 *     model/model.json   a layers model of TensorFlow.js (from labkit.browser.export_layers_model); its last layer is
 *                        Dense. It takes float32 (batch, 32, 32, 1), 0 for paper and 1 for ink.
 *     page.json          {"title": "Teach it new digits", "known": ["0", ...], "classes": ["5", ...],
 *                         "train": [{"label": 0, "ink": [64 counts from 0 to 16, row by row]}, ...], "test": [...],
 *                         "given": 20, "seed": 1}
 *
 * "known" are the classes of the model as it comes, "classes" those that it is to learn; `label` is a number among
 * these. "train" are given examples, to be added to one's own; "given" is how many of them each class has at the start
 * (none unless it says so). With "test" the model is judged. "seed" decides everything that is random.
 *
 * What is handed over (`context.handOver`) is `{classes, mode, history, accuracy: {before, after}, modelTopology,
 * weightSpecs, weightData}`: `labkit.browser.read_weights` takes it. The new layer's name is "new_head".
 */
import { make } from '../elements.js';
import { createCollector } from './collect.js';
import { createComparison } from './compare.js';
import { Examples } from './examples.js';
import { createHandOver } from './hand_over.js';
import { createPrivacy } from './privacy.js';
import { STYLE } from './style.js';
import { createTraining } from './training.js';
import { Tuner } from './tuner.js';

/**
 * Fills `root` with the page.
 *
 * @param {Element|ShadowRoot} root
 * @param {object} context
 * @param {{bytes: function(string): Promise<ArrayBuffer>, json: function(string): Promise<object>}} context.files
 * @param {function(string): Promise<object>} context.useBackend from backends.js
 * @param {function(object): Promise<void>} [context.handOver] gives the trained model to Python
 * @param {string|null} context.base null where this is a part of another page: a notebook's
 * @param {string} [context.theme] "light" or "dark" instead of what the system prefers
 * @returns {{unmount: function(): void, ready: Promise<void>}} `ready` when there can be training
 */
export function mount(root, context) {
  const page = new FineTunePage(root, context);
  return { unmount: () => page.unmount(), ready: page.start() };
}

class FineTunePage {
  #context;
  #container = make('div', 'labkit', { 'aria-busy': 'true' });
  #trouble = make('p', 'lk-trouble', { role: 'alert' });
  #heard = make('p', 'lk-heard', { role: 'status' });
  #tuner = new Tuner();
  #parts = null; // what is there once page.json was read
  #running = null; // what stops the training
  #result = null;
  #drawing = null;
  #asking = false;
  #reading = 'The model is being read …'; // why there can be no training as long as there is no model

  constructor(root, context) {
    this.#context = context;
    if (context.theme) this.#container.dataset.theme = context.theme;
    this.#container.dataset.lmSuppressShortcuts = 'true'; // JupyterLab's keys, while a control here has the focus
    const style = make('style', '', {}, STYLE);
    this.#container.append(style, this.#trouble, this.#heard);
    root.append(this.#container);
  }

  async start() {
    try {
      const about = await this.#context.files.json('page.json');
      this.#build(about);
      await this.#tuner.load(this.#context);
      this.#refresh();
    } catch (error) {
      this.#reading = 'The model could not be read.';
      if (this.#parts) this.#refresh();
      this.#say(error);
    } finally {
      this.#container.setAttribute('aria-busy', 'false');
    }
  }

  unmount() {
    this.#running?.abort();
    this.#parts?.collector.destroy();
    this.#parts?.privacy.stop();
    this.#tuner.dispose();
    this.#container.remove();
  }

  #build(about) {
    const { title = 'Teach the model new classes', known, classes, given = 0, seed = 1 } = about;
    const examples = new Examples(about);
    if (given) examples.fillUp(given);
    const page = make('div', 'lk-ft');
    const [main, side] = [make('div', 'lk-ft-main'), make('div', 'lk-ft-side')];
    const [collect, train, compare] = ['section', 'section', 'section'].map((tag) => make(tag, ''));
    main.append(collect, side);
    side.append(train, compare);
    page.append(make('h2', 'lk-title', {}, title), this.#trouble, main);
    this.#container.append(page);
    this.#parts = { examples, known, seed, names: classes };
    const parts = this.#parts;
    const onTrouble = (error) => this.#say(error);
    const { handOver, base } = this.#context;
    parts.training = createTraining(train, {
      onTrain: (wish) => this.#train(wish), onStop: () => this.#running?.abort(),
    });
    parts.comparison = createComparison(compare, { known });
    parts.handOver = createHandOver(compare, { tuner: this.#tuner, handOver, result: () => this.#result, onTrouble });
    parts.privacy = createPrivacy(page, {
      alone: base !== null, something: () => this.#drawing ?? new Float32Array(1024),
    });
    parts.collector = createCollector(collect, {
      examples, onTrouble, say: (words) => this.#tell(words),
      onChange: () => this.#refresh(), onDraw: (bitmap) => this.#drawn(bitmap),
    });
    this.#refresh();
  }

  #refresh() {
    const { training, examples } = this.#parts;
    if (!this.#running) training.missing = this.#tuner.loaded ? examples.missing : this.#reading;
  }

  async #train(wish) {
    const { examples, training, collector, comparison, handOver, seed } = this.#parts;
    const { names } = examples;
    this.#running = new AbortController();
    const { signal } = this.#running;
    this.#say(null);
    this.#setBusy(true, 'Training …');
    this.#tell('Training has begun.');
    let words = '';
    try {
      const { training: data, held } = examples;
      const given = { names, training: data, held, seed, signal, report: (figures) => training.add(figures) };
      const { before, after, milliseconds } = await this.#tuner.train({ ...wish, ...given });
      this.#parts.names = names;
      comparison.showHeld({ before, after }, names);
      this.#result = { ...wish, classes: names, history: training.history, accuracy: accuracies({ before, after }) };
      words = inWords({ signal, milliseconds, examples: data.labels.length, after });
    } catch (error) {
      this.#say(error);
    }
    this.#running = null;
    this.#setBusy(false, words);
    this.#tell(words);
    handOver.refresh();
    collector.refresh();
    this.#drawn(this.#drawing);
  }

  #setBusy(busy, words) {
    this.#container.setAttribute('aria-busy', String(busy));
    this.#parts.collector.disabled = busy;
    this.#parts.training.setBusy(busy, words);
  }

  /** Asks both models about the drawing; while they answer, only the last of further drawings waits. */
  async #drawn(bitmap) {
    if (bitmap) this.#parts.privacy.markFirstDrawing();
    this.#drawing = bitmap;
    if (this.#asking || this.#running || !this.#tuner.loaded) return;
    this.#asking = true;
    try {
      for (let asked; asked !== this.#drawing;) {
        asked = this.#drawing;
        const answers = asked && (await this.#tuner.ask(asked));
        this.#parts.comparison.showOwn(answers, this.#parts.names);
      }
    } catch (error) {
      this.#say(error);
    } finally {
      this.#asking = false;
    }
  }

  #tell(words) {
    this.#heard.textContent = words;
  }

  #say(error) {
    this.#trouble.textContent = error ? `${error.message ?? error}` : '';
  }
}

function accuracies({ before, after }) {
  return { before: before?.accuracy ?? null, after: after?.accuracy ?? null };
}

function inWords({ signal, milliseconds, examples, after }) {
  const how = signal.aborted ? 'Stopped' : 'Trained';
  const right = after ? `, ${Math.round(after.accuracy * 100)} % of the examples kept back are right` : '';
  return `${how} in ${(milliseconds / 1000).toFixed(1)} s with ${examples} examples${right}.`;
}
