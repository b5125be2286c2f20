/** Probabilities as a list of bars: every row has a name, a bar and the value in words, so colour says nothing alone. */
import { make } from './elements.js';

/**
 * Makes the bars and adds them to `parent`. The exact numbers are in the `value` of their <data> elements.
 * @param {Element} parent
 * @param {object} options
 * @param {string} options.label name of the list for screen readers
 * @param {string[]} options.names one for each row
 * @returns {{element: HTMLElement, show: (values: ArrayLike<number>|null) => void}} `show` takes one value from 0 to 1
 *   for each name, or null for nothing
 */
export function createBars(parent, { label, names }) {
  const element = make('ul', 'lk-bars', { 'aria-label': label, role: 'list' });
  const rows = names.map((name) => createRow(element, name));
  parent.append(element);
  const show = (values) => {
    const best = values ? indexOfLargest(values) : -1;
    rows.forEach((row, i) => row(values ? values[i] : null, i === best));
  };
  show(null);
  return { element, show };
}

/**
 * Where the largest of some numbers is.
 * @param {ArrayLike<number>} values
 * @returns {number}
 */
export function indexOfLargest(values) {
  return Array.from(values).reduce((best, value, i, all) => (value > all[best] ? i : best), 0);
}

/**
 * A probability in words: "93 %".
 * @param {number} value from 0 to 1
 * @returns {string}
 */
export function percent(value) {
  const rounded = Math.round(value * 100);
  if (rounded === 0 && value > 0) return '< 1\u00a0%';
  return rounded === 100 && value < 1 ? '> 99\u00a0%' : `${rounded}\u00a0%`;
}

function createRow(list, name) {
  const row = make('li', 'lk-bar');
  const track = make('span', 'lk-bar-track', { 'aria-hidden': 'true' });
  const fill = make('span', 'lk-bar-fill');
  const text = make('data', 'lk-bar-value');
  track.append(fill);
  row.append(make('span', 'lk-bar-name', {}, name), track, text);
  list.append(row);
  return (value, best) => {
    fill.style.transform = `scaleX(${value ?? 0})`;
    text.value = value ?? '';
    text.textContent = value === null ? '–' : percent(value);
    row.classList.toggle('lk-bar-best', best);
  };
}
