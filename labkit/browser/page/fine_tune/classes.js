/** The choice of the class that is drawn for, and what changes the classes: a new one, another name, one less. */
import { make } from '../elements.js';

let groups = 0;

/**
 * Makes the choice and adds it to `parent`.
 * @param {Element} parent
 * @param {object} options
 * @param {import('./examples.js').Examples} options.examples
 * @param {() => void} options.onChange another class is chosen, or the classes have changed
 * @param {(error: Error) => void} options.onTrouble
 * @returns {ClassChoice}
 */
export function createClassChoice(parent, options) {
  return new ClassChoice(parent, options);
}

/**
 * @property {number} selected number of the chosen class
 */
class ClassChoice {
  selected = 0;
  #options;
  #group = `lk-class-${groups++}`;
  #chips = make('fieldset', 'lk-ft-chips');
  #details = make('details', 'lk-ft-classes lk-note');
  #name = make('input', 'lk-input', { type: 'text', maxlength: '20', size: '10', autocomplete: 'off' });
  #controls;

  constructor(parent, options) {
    this.#options = options;
    const { examples } = options;
    const field = make('span', 'lk-field');
    this.#name.id = `${this.#group}-name`;
    field.append(make('label', '', { for: this.#name.id }, 'Name'), this.#name);
    this.#controls = [
      this.#button('Add a class', () => {
        examples.addClass(this.#name.value);
        this.selected = examples.names.length - 1;
      }),
      this.#button('Rename this one', () => examples.rename(this.selected, this.#name.value)),
      this.#button('Remove this one', () => examples.removeClass(this.selected)),
    ];
    const line = make('div', 'lk-tools');
    line.append(field, ...this.#controls);
    this.#details.append(make('summary', '', {}, 'Other classes'), line);
    parent.append(this.#chips, this.#details);
    this.refresh();
  }

  /** The chosen class by name. */
  get name() {
    return this.#options.examples.names[this.selected];
  }

  /** Shows the classes and counts as they are now. */
  refresh() {
    const { names } = this.#options.examples;
    this.selected = Math.min(this.selected, names.length - 1);
    const had = this.#chips.contains(this.#chips.getRootNode().activeElement);
    const legend = make('legend', 'lk-heading', {}, 'Draw an example of');
    this.#chips.replaceChildren(legend, ...names.map((name, label) => this.#chip(name, label)));
    if (had) this.#chips.querySelector('input:checked').focus();
  }

  set disabled(yes) {
    for (const control of [this.#chips, this.#name, ...this.#controls]) control.disabled = yes;
  }

  #chip(name, label) {
    const { drawn, given, held, train } = this.#options.examples.counts(label);
    const chip = make('label', 'lk-ft-chip');
    const radio = make('input', '', { type: 'radio', name: this.#group, value: String(label) });
    radio.checked = label === this.selected;
    radio.addEventListener('change', () => {
      this.selected = label;
      this.#options.onChange();
    });
    const words = `${drawn} drawn, ${given} given; ${train} to train with, ${held} to test with`;
    const looks = { title: words, 'aria-label': words, role: 'img' };
    const count = make('span', 'lk-ft-count', looks, String(drawn + given));
    chip.append(radio, make('span', '', {}, name), count);
    return chip;
  }

  #button(text, change) {
    const button = make('button', 'lk-button', { type: 'button' }, text);
    button.addEventListener('click', () => {
      try {
        change();
        this.#name.value = '';
        this.refresh();
        this.#options.onChange();
      } catch (error) {
        this.#options.onTrouble(error);
      }
    });
    return button;
  }
}
