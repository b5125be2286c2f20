/** The classes that the learner chose, and the examples of each. No document, no TensorFlow.js. */
import { bitmapFromInk } from '../bitmap.js';

const HELD_EVERY = 4; // of a class nobody gave test examples for, every fourth drawing is kept back

/**
 * @typedef {object} Given
 * @property {string[]} classes names of the classes that examples are given for
 * @property {{label: number, ink: number[]}[]} train examples to train with; label is the number of the class
 * @property {{label: number, ink: number[]}[]} test examples to test with, never trained with
 *
 * @typedef {object} Labelled
 * @property {Float32Array[]} bitmaps of 32 x 32
 * @property {number[]} labels number of the class of each
 */

export class Examples {
  #given;
  #classes;
  #past = [];

  /** @param {Given} given */
  constructor({ classes, train = [], test = [] }) {
    const of = (label, some) => some.filter((example) => example.label === label).map(({ ink }) => bitmapFromInk(ink));
    this.#given = classes.map((_, label) => ({ train: of(label, train), test: of(label, test) }));
    this.#classes = classes.map((name, given) => ({ name, given, drawn: [], filled: 0 }));
  }

  /** Names of the classes, in the order of their numbers. */
  get names() {
    return this.#classes.map(({ name }) => name);
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  /** Whether there are given examples for any of the classes. */
  get canFill() {
    return this.#classes.some((each) => this.#offer(each).train.length > 0);
  }

  /** How many drawings, given examples and examples for the test a class has. */
  counts(label) {
    const each = this.#classes[label];
    const held = this.#heldOf(each).length;
    return { drawn: each.drawn.length, given: each.filled, held, train: this.#trainOf(each).length };
  }

  /** The learner's own drawings of a class, the newest last. */
  drawings(label) {
    return this.#classes[label].drawn;
  }

  /** @throws {Error} the name is empty or taken */
  addClass(name) {
    const good = this.#checked(name);
    this.#remember();
    this.#classes.push({ name: good, given: null, drawn: [], filled: 0 });
  }

  /** @throws {Error} the name is empty or taken */
  rename(label, name) {
    if (name.trim() === this.#classes[label].name) return;
    const good = this.#checked(name);
    this.#remember();
    this.#classes[label] = { ...this.#classes[label], name: good };
  }

  /** @throws {Error} fewer than two classes would be left */
  removeClass(label) {
    if (this.#classes.length <= 2) throw new Error('A model needs at least two classes to tell apart.');
    this.#remember();
    this.#classes.splice(label, 1);
  }

  /** Keeps a drawing as an example of a class. */
  keep(label, bitmap) {
    this.#remember();
    this.#classes[label] = { ...this.#classes[label], drawn: [...this.#classes[label].drawn, bitmap] };
  }

  /** Adds given examples to every class that has some, until there are `count`; with fewer, takes some away. */
  fillUp(count) {
    this.#remember();
    this.#classes = this.#classes.map((each) => {
      const wanted = Math.max(0, count - each.drawn.length);
      return { ...each, filled: Math.min(wanted, this.#offer(each).train.length) };
    });
  }

  /** Takes back the last change. */
  undo() {
    if (this.canUndo) this.#classes = this.#past.pop();
  }

  /** Why there can be no training yet, or an empty text. */
  get missing() {
    const poor = this.#classes.filter((each) => this.#trainOf(each).length === 0).map(({ name }) => name);
    return poor.length ? `There is no example to train with for: ${poor.join(', ')}.` : '';
  }

  /** @returns {Labelled} what is trained with */
  get training() {
    return labelled(this.#classes.map((each) => this.#trainOf(each)));
  }

  /** @returns {Labelled} what is kept back for the test */
  get held() {
    return labelled(this.#classes.map((each) => this.#heldOf(each)));
  }

  #offer({ given }) {
    return given === null ? { train: [], test: [] } : this.#given[given];
  }

  #trainOf(each) {
    const own = this.#offer(each).test.length ? each.drawn : each.drawn.filter((_, i) => (i + 1) % HELD_EVERY !== 0);
    return [...own, ...this.#offer(each).train.slice(0, each.filled)];
  }

  #heldOf(each) {
    const test = this.#offer(each).test;
    return test.length ? test : each.drawn.filter((_, i) => (i + 1) % HELD_EVERY === 0);
  }

  #checked(name) {
    const trimmed = name.trim();
    if (!trimmed) throw new Error('A class needs a name.');
    if (this.names.includes(trimmed)) throw new Error(`There is a class “${trimmed}” already.`);
    return trimmed;
  }

  #remember() {
    this.#past.push([...this.#classes]);
  }
}

function labelled(groups) {
  return { bitmaps: groups.flat(), labels: groups.flatMap((group, label) => group.map(() => label)) };
}
