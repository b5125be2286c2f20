/** How the model is trained: the choices, the button, the charts. */
import { make } from '../elements.js';
import { createChart } from './chart.js';

const MODES = { head: 'only a new head', all: 'a new head, then all' };
const RATES = ['0.1', '0.03', '0.01', '0.003', '0.001'];
const EPOCHS = 20;

/**
 * Makes the part of the page and adds it to `parent`.
 * @param {Element} parent
 * @param {object} options
 * @param {(wish: {mode: string, epochs: number, learningRate: number}) => void} options.onTrain
 * @param {() => void} options.onStop
 * @returns {TrainingPart}
 */
export function createTraining(parent, options) {
  return new TrainingPart(parent, options);
}

let ids = 0;

class TrainingPart {
  #options;
  #mode = make('select', 'lk-select');
  #epochs = make('input', 'lk-input lk-ft-number', { type: 'number', min: '1', max: '100', value: String(EPOCHS) });
  #rate = make('select', 'lk-select');
  #button = make('button', 'lk-button lk-button-main', { type: 'button' }, 'Train');
  #stop = make('button', 'lk-button', { type: 'button', hidden: '' }, 'Stop');
  #note = make('p', 'lk-note');
  #chart;
  #history = [];
  #total = EPOCHS;
  #turn = null; // the last epoch of the head alone, if more follow

  constructor(parent, options) {
    this.#options = options;
    for (const [mode, words] of Object.entries(MODES)) this.#mode.append(make('option', '', { value: mode }, words));
    for (const rate of RATES) this.#rate.append(make('option', '', { value: rate }, rate));
    this.#rate.value = '0.01';
    const line = make('div', 'lk-tools');
    const fields = [['Layers', this.#mode], ['Epochs', this.#epochs], ['Learning rate', this.#rate]];
    line.append(...fields.map(([words, control]) => this.#field(words, control)));
    const go = make('div', 'lk-tools lk-ft-go');
    go.append(this.#button, this.#stop, this.#note);
    this.#button.addEventListener('click', () => this.#train());
    this.#stop.addEventListener('click', () => options.onStop());
    parent.append(make('h3', 'lk-heading', {}, 'Train'), line, go);
    this.#chart = createChart(parent);
    this.#chart.show([], EPOCHS, null);
  }

  /** Why there can be no training, or an empty text if there can. */
  set missing(words) {
    this.#button.disabled = words !== '';
    this.#note.textContent = words;
  }

  /** Shows that it is training, or that it has ended; `words` say how. */
  setBusy(busy, words) {
    const hadFocus = [this.#button, this.#stop].includes(this.#button.getRootNode().activeElement);
    this.#button.hidden = busy;
    this.#stop.hidden = !busy;
    for (const control of [this.#mode, this.#epochs, this.#rate]) control.disabled = busy;
    this.#note.textContent = words;
    if (hadFocus) (busy ? this.#stop : this.#button).focus();
  }

  /** Adds the figures of an epoch to the charts. */
  add(figures) {
    this.#history.push(figures);
    this.#note.textContent = `Epoch ${figures.epoch} of ${this.#total}`;
    this.#chart.show(this.#history, this.#total, this.#turn);
  }

  /** All figures of the last training. */
  get history() {
    return this.#history;
  }

  #train() {
    const epochs = Math.round(this.#epochs.valueAsNumber);
    if (!(epochs >= 1 && epochs <= 100)) {
      this.#note.textContent = 'Epochs: a whole number from 1 to 100.';
      this.#epochs.focus();
      return;
    }
    const mode = this.#mode.value;
    this.#history = [];
    this.#total = mode === 'all' ? 2 * epochs : epochs;
    this.#turn = mode === 'all' ? epochs : null;
    this.#chart.show([], this.#total, this.#turn);
    this.#options.onTrain({ mode, epochs, learningRate: Number(this.#rate.value) });
  }

  #field(words, control) {
    control.id = `lk-train-${ids++}`;
    const field = make('span', 'lk-field');
    field.append(make('label', '', { for: control.id }, words), control);
    return field;
  }
}
