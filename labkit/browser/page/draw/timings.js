/** How long answers took: the first by itself (it compiles), then the last and the median of the newest 50. */

const KEPT = 50;

export class Timings {
  #newest = [];

  /** Milliseconds of the first call, or null. */
  first = null;

  /** @param {number} milliseconds of one call */
  add(milliseconds) {
    if (this.first === null) {
      this.first = milliseconds;
      return;
    }
    this.#newest.push(milliseconds);
    if (this.#newest.length > KEPT) this.#newest.shift();
  }

  /** Milliseconds of the last call after the first, or null. */
  get last() {
    return this.#newest.at(-1) ?? null;
  }

  /** The median in milliseconds, or null. */
  get median() {
    if (this.#newest.length === 0) return null;
    const sorted = [...this.#newest].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /** How many calls the median is of. */
  get count() {
    return this.#newest.length;
  }
}

/**
 * A time in words. Browsers blur their clock to 0.1 ms, so no more digits are told.
 * @param {number|null} milliseconds
 * @returns {string}
 */
export function inWords(milliseconds) {
  if (milliseconds === null) return '–';
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return milliseconds < 0.1 ? '< 0.1 ms' : `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}
