/** Where examples are drawn and kept. */
import { createPad, inkOf, paintInk, watchLooks } from '../canvas.js';
import { make } from '../elements.js';
import { createClassChoice } from './classes.js';

const SHOWN = 10; // of the drawings of a class, the newest
const FILL = 20;

/**
 * Makes the part of the page and adds it to `parent`.
 * @param {Element} parent
 * @param {object} options
 * @param {import('./examples.js').Examples} options.examples
 * @param {() => void} options.onChange the examples have changed
 * @param {(bitmap: Float32Array|null) => void} options.onDraw what is on the paper has changed; null when it is empty
 * @param {(words: string) => void} options.say for screen readers
 * @param {(error: Error|null) => void} options.onTrouble null when there is none any more
 * @returns {Collector}
 */
export function createCollector(parent, options) {
  return new Collector(parent, options);
}

let ids = 0;

class Collector {
  #options;
  #choice;
  #pad;
  #keep;
  #takeBack;
  #fill;
  #fillCount = make('input', 'lk-input lk-ft-number', { type: 'number', min: '1', max: '500', value: String(FILL) });
  #thumbs = make('div', 'lk-ft-thumbs', { role: 'img' });
  #stopWatching;
  #busy = false; // one may draw then, and keep nothing

  constructor(parent, options) {
    this.#options = options;
    const { examples, onTrouble } = options;
    this.#choice = createClassChoice(parent, { examples, onTrouble, onChange: () => this.#changed() });
    this.#pad = createPad(parent, { label: 'Paper for an example', onChange: () => this.#drawn() });
    this.#keep = this.#pad.addButton('Keep', () => this.#keepDrawing());
    this.#keep.classList.add('lk-button-main');
    this.#pad.element.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && event.target.matches('canvas')) this.#keepDrawing();
    });
    parent.append(this.#thumbs, this.#buildLine());
    this.#stopWatching = watchLooks(this.#thumbs, () => this.#paintThumbs());
    this.refresh();
    this.#drawn();
  }

  /** Shows the examples as they are now. */
  refresh() {
    const { examples } = this.#options;
    this.#choice.refresh();
    this.#keep.textContent = `Keep as “${this.#choice.name}”`;
    this.#takeBack.disabled = !examples.canUndo;
    this.#fill.disabled = !examples.canFill;
    const drawings = examples.drawings(this.#choice.selected).length;
    this.#thumbs.setAttribute('aria-label', `Your drawings of “${this.#choice.name}”: ${drawings}`);
    this.#paintThumbs();
  }

  set disabled(yes) {
    this.#busy = yes;
    this.#choice.disabled = yes;
    for (const control of [this.#keep, this.#takeBack, this.#fill, this.#fillCount]) control.disabled = yes;
    if (!yes) {
      this.refresh();
      this.#keep.disabled = this.#pad.empty;
    }
  }

  destroy() {
    this.#stopWatching();
    this.#pad.destroy();
  }

  #buildLine() {
    this.#fillCount.id = `lk-fill-${ids++}`;
    this.#takeBack = make('button', 'lk-button', { type: 'button' }, 'Take back');
    this.#fill = make('button', 'lk-button', { type: 'button' }, 'Add given examples');
    const field = make('span', 'lk-field');
    const label = make('label', '', { for: this.#fillCount.id }, 'up to');
    field.append(label, this.#fillCount, make('span', 'lk-label', {}, 'each'));
    this.#takeBack.addEventListener('click', () => this.#change('Taken back.', (examples) => examples.undo()));
    this.#fill.addEventListener('click', () => {
      const count = this.#fillCount.valueAsNumber;
      if (!(count >= 1)) this.#options.onTrouble(new Error('Each class can have 1 to 500 examples.'));
      else this.#change('Given examples added.', (examples) => examples.fillUp(Math.floor(count)));
    });
    const line = make('div', 'lk-tools');
    line.append(this.#takeBack, this.#fill, field);
    return line;
  }

  #keepDrawing() {
    if (this.#pad.empty || this.#keep.disabled) return;
    const { selected, name } = this.#choice;
    this.#change('', (examples) => examples.keep(selected, this.#pad.bitmap()));
    this.#options.say(`Kept as “${name}”: ${this.#options.examples.counts(selected).drawn} drawn.`);
    this.#pad.reset();
    this.#pad.focus();
  }

  #change(words, how) {
    how(this.#options.examples);
    if (words) this.#options.say(words);
    this.#changed();
  }

  #changed() {
    this.#options.onTrouble(null);
    this.refresh();
    this.#options.onChange();
  }

  #drawn() {
    this.#keep.disabled = this.#busy || this.#pad.empty;
    this.#options.onDraw(this.#pad.empty ? null : this.#pad.bitmap());
  }

  #paintThumbs() {
    const drawings = this.#options.examples.drawings(this.#choice.selected).slice(-SHOWN);
    const missing = drawings.length - this.#thumbs.children.length;
    for (let i = 0; i < missing; i++) this.#thumbs.append(make('canvas', 'lk-ft-thumb'));
    while (this.#thumbs.children.length > drawings.length) this.#thumbs.lastChild.remove();
    drawings.forEach((bitmap, i) => paintInk(this.#thumbs.children[i], inkOf(bitmap)));
  }
}
