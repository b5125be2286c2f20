/**
 * Draw a digit and see what a model thinks of it while you draw.
 *
 * The page reads these files:
 *
 *     model/model.json   a graph model or a layers model of TensorFlow.js, and its weights. It takes float32
 *                        (1, 32, 32, 1), 0 for paper and 1 for ink, and gives one probability for each class.
 *     page.json          {"title": "Draw a digit", "classes": ["0", "1", ...],
 *                         "examples": [{"label": 7, "ink": [64 counts from 0 to 16, row by row]}, ...],
 *                         "tflite": "model.tflite"}
 *     model.tflite       the same model for LiteRT.js, if page.json names it
 *
 * In page.json only "classes" has to be there. An example is a picture of scikit-learn's digits as it is, `label` the
 * number of its class.
 */
import { createBars, indexOfLargest, percent } from '../bars.js';
import { createPad, inkOf, paintInk, watchLooks } from '../canvas.js';
import { make } from '../elements.js';
import { Asker } from './asker.js';
import { createChoice } from './choice.js';
import { createFacts } from './facts.js';

const SEEN = 'Stretched, set upright and counted in 8 × 8 squares, as its training data was.';
const QUIET_MS = 700; // a screen reader hears the answer when nothing has changed for so long

/**
 * Fills `root` with the page.
 *
 * @param {Element|ShadowRoot} root
 * @param {object} context
 * @param {{bytes: function(string): Promise<ArrayBuffer>, json: function(string): Promise<object>}} context.files
 * @param {function(string): Promise<object>} context.useBackend from backends.js
 * @param {function(): Promise<object>} [context.lite] gives the module lite.js, where LiteRT.js can be had
 * @param {string} [context.theme] "light" or "dark" instead of what the system prefers
 * @returns {{unmount: function(): Promise<void>, ready: Promise<void>}} `ready` when the first answer can be given, or it
 *   is said why not
 */
export function mount(root, context) {
  const page = new DrawPage(root, context);
  return { unmount: () => page.unmount(), ready: page.start() };
}

class DrawPage {
  #context;
  #container = make('div', 'labkit lk-draw', { 'aria-busy': 'true' });
  #trouble = make('p', 'lk-trouble', { role: 'alert' });
  #heard = make('p', 'lk-heard', { role: 'status' });
  #parts = null; // what is there once page.json was read
  #timer = 0;

  constructor(root, context) {
    this.#context = context;
    if (context.theme) this.#container.dataset.theme = context.theme;
    this.#container.append(this.#trouble, this.#heard);
    root.append(this.#container);
  }

  async start() {
    try {
      const about = await this.#context.files.json('page.json').catch((error) => {
        throw new Error(`${error.message}. The page needs a page.json that names the classes: {"classes": ["0", "1"]}`);
      });
      this.#build(about);
      await this.#parts.choice.start();
    } catch (error) {
      this.#say(error);
    } finally {
      this.#container.setAttribute('aria-busy', 'false');
    }
  }

  async unmount() {
    clearTimeout(this.#timer);
    this.#container.remove();
    this.#parts?.stopWatching();
    this.#parts?.pad.destroy();
    await this.#parts?.asker.stop();
  }

  #build({ title = 'Draw a digit', classes, examples = [], tflite = null }) {
    if (!classes?.length) throw new Error('page.json names no classes; it is to be like {"classes": ["0", "1"]}');
    const head = make('header', 'lk-head');
    const main = make('div', 'lk-draw-main');
    const seen = make('section', 'lk-draw-seen');
    const answer = make('section', 'lk-draw-answer');
    head.append(make('h2', 'lk-title', {}, title));
    const facts = createFacts();
    const asker = new Asker({
      look: () => this.#look(),
      classes: classes.length,
      onAnswer: (probabilities) => this.#show(probabilities),
      onTrouble: (error) => this.#say(error),
      onBusy: (busy) => this.#container.setAttribute('aria-busy', String(busy)),
    });
    const choice = createChoice(head, { ...this.#context, tflite, asker, facts, onTrouble: (error) => this.#say(error) });
    const pad = createPad(main, { label: 'Paper', onChange: () => { this.#say(null); asker.wake(); } });
    main.append(answer, seen);
    this.#container.append(head, this.#trouble, main, facts.element, this.#heard);
    this.#parts = { classes, pad, asker, choice, facts, ...this.#buildSeen(seen, pad, examples), ...buildAnswer(answer, classes) };
  }

  #buildSeen(seen, pad, examples) {
    const picture = make('canvas', 'lk-seen', { role: 'img', 'aria-label': 'What the model sees: 8 by 8 squares' });
    const note = make('p', 'lk-note', {}, SEEN);
    seen.append(make('h3', 'lk-heading', {}, 'The model sees'), picture, note);
    const stopWatching = watchLooks(picture, () => paintInk(picture, inkOf(pad.bitmap())));
    let next = 0;
    if (examples.length > 0) {
      pad.addButton('Show me one', () => {
        pad.show(examples[next].ink);
        next = (next + 1) % examples.length;
      });
    }
    return { picture, note, stopWatching, examples };
  }

  /** Shows what the model is asked about, and returns it; null if that is nothing. */
  #look() {
    const { pad, picture, note, examples, classes } = this.#parts;
    const bitmap = pad.bitmap();
    paintInk(picture, inkOf(bitmap));
    // Looked up, for undo brings back an earlier one.
    const example = pad.ink && examples.find(({ ink }) => pad.ink.every((count, i) => count === ink[i]));
    note.textContent = example ? `An example, and the data says: ${classes[example.label]}.` : SEEN;
    return pad.empty ? null : bitmap;
  }

  #show(probabilities) {
    const { classes, bars, winner, likely, facts, asker } = this.#parts;
    bars.show(probabilities);
    facts.showTimings(asker.timings);
    const best = probabilities && indexOfLargest(probabilities);
    winner.textContent = probabilities ? classes[best] : '?';
    likely.textContent = probabilities ? `${probabilities[best] < 0.5 ? 'perhaps, ' : ''}probability ${percent(probabilities[best])}`
      : 'draw something';
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#heard.textContent = probabilities ? `Looks like ${classes[best]}, ${percent(probabilities[best])}.` : 'The paper is empty.';
    }, QUIET_MS);
  }

  #say(error) {
    this.#trouble.textContent = error ? `${error.message ?? error}` : '';
  }
}

function buildAnswer(parent, classes) {
  const winner = make('span', 'lk-winner', {}, '?');
  const likely = make('span', 'lk-note', {}, 'draw something');
  const line = make('p', 'lk-answer-line');
  line.append(winner, likely);
  parent.append(make('h3', 'lk-heading', {}, 'It answers'), line);
  const bars = createBars(parent, { label: 'Probability of each class', names: classes });
  return { winner, likely, bars };
}
