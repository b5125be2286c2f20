/** What the model knew before, and what it knows after the training. */
import { indexOfLargest, percent } from '../bars.js';
import { make } from '../elements.js';

/**
 * Makes the part of the page and adds it to `parent`.
 * @param {Element} parent
 * @param {{known: string[]}} options names of the classes of the model as it came
 * @returns {Comparison}
 */
export function createComparison(parent, options) {
  return new Comparison(parent, options);
}

class Comparison {
  #known;
  #cells = {};
  #confusion = make('details', 'lk-note');
  #grid = make('table', 'lk-ft-table');

  constructor(parent, { known }) {
    this.#known = known;
    const table = make('table', 'lk-ft-table lk-ft-compare');
    const head = make('tr', '');
    head.append(make('td', ''), ...['Before', 'After'].map((words) => make('th', '', { scope: 'col' }, words)));
    table.append(head, this.#row('held', 'Kept back for the test'), this.#row('own', 'Your drawing now'));
    this.#confusion.append(make('summary', '', {}, 'Which class was taken for which'), this.#grid);
    this.#confusion.hidden = true;
    const note = 'Before: in the test, the new head untrained; for your drawing, the model as it came, which knows'
      + ` only ${known.join(', ')}.`;
    const heading = make('h3', 'lk-heading', {}, 'Before and after');
    parent.append(heading, table, this.#confusion, make('p', 'lk-note', {}, note));
  }

  /**
   * Shows how the examples that were kept back were told apart.
   * @param {{before: object|null, after: object|null}} figures from `evaluate`; null where none were kept back
   * @param {string[]} names of the classes
   */
  showHeld({ before, after }, names) {
    for (const [when, figures] of Object.entries({ before, after })) {
      this.#cells.held[when].textContent = figures ? rightInWords(figures) : 'none was kept back';
    }
    this.#confusion.hidden = !after;
    if (after) this.#fillConfusion(after.confusion, names);
  }

  /**
   * Shows what both models say of the drawing on the paper.
   * @param {{before: Float32Array, after: Float32Array|null}|null} answers null when the paper is empty
   * @param {string[]} names of the classes of the trained model
   */
  showOwn(answers, names) {
    const words = (probabilities, classes) => {
      if (!probabilities) return '–';
      const best = indexOfLargest(probabilities);
      return `“${classes[best]}”, ${percent(probabilities[best])}`;
    };
    this.#cells.own.before.textContent = words(answers?.before, this.#known);
    this.#cells.own.after.textContent = words(answers?.after, names);
  }

  #row(name, words) {
    const row = make('tr', '');
    const after = make('td', `lk-ft-after lk-ft-after-${name}`, {}, '–');
    this.#cells[name] = { before: make('td', `lk-ft-before-${name}`, {}, '–'), after };
    row.append(make('th', '', { scope: 'row' }, words), this.#cells[name].before, after);
    return row;
  }

  #fillConfusion(confusion, names) {
    const line = (first, cells) => {
      const row = make('tr', '');
      row.append(make('th', '', { scope: 'row' }, first), ...cells);
      return row;
    };
    const head = line('is \\ was taken for', names.map((name) => make('th', '', { scope: 'col' }, name)));
    const cell = (count, right) => make('td', right ? 'lk-ft-right' : '', {}, String(count));
    const rows = confusion.map((counts, i) => line(names[i], counts.map((count, j) => cell(count, i === j))));
    this.#grid.replaceChildren(head, ...rows);
  }
}

function rightInWords({ accuracy, confusion, predicted }) {
  const right = confusion.reduce((sum, row, label) => sum + row[label], 0);
  return `${percent(accuracy)} right (${right} of ${predicted.length})`;
}
