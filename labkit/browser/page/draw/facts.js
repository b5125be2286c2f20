/** The page's last line: how long answers take, how large the model is, what it runs on. */
import { make } from '../elements.js';
import { size } from '../size.js';
import { inWords } from './timings.js';

const NAMES = { last: 'Last answer', median: 'Median', first: 'First answer', model: 'Model', library: 'Library', gpu: 'GPU' };

/**
 * Makes the line.
 * @returns {{element: HTMLElement, showTimings: Function, showLoaded: Function, showGpu: Function}}
 */
export function createFacts() {
  const element = make('dl', 'lk-facts');
  const values = {};
  const rows = {};
  for (const [name, text] of Object.entries(NAMES)) {
    rows[name] = make('div', `lk-fact-${name}`);
    values[name] = make('dd', '', {}, '–');
    rows[name].append(make('dt', '', {}, text), values[name]);
    element.append(rows[name]);
  }
  rows.gpu.hidden = true;
  return {
    element,
    /** @param {Timings} timings */
    showTimings(timings) {
      values.last.textContent = inWords(timings.last);
      values.median.textContent = `${inWords(timings.median)}${timings.count ? ` (last ${timings.count})` : ''}`;
      values.first.textContent = inWords(timings.first);
    },
    /** @param {{bytes: number, model: number, library: number}} loaded the model's size, and milliseconds */
    showLoaded({ bytes, model, library }) {
      values.model.textContent = `${size(bytes)}, loaded in ${inWords(model)}`;
      values.library.textContent = `loaded in ${inWords(library)}`;
    },
    /** @param {Gpu|null} gpu from gpu.js; null where none is used */
    showGpu(gpu) {
      rows.gpu.hidden = !gpu;
      if (gpu) values.gpu.textContent = `${gpu.software ? 'none, the CPU plays it: ' : ''}${gpu.name || 'the browser keeps its name'}`;
    },
  };
}
