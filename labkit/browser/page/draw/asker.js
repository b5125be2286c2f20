/** Asks the model about the newest drawing: once a frame at most, one call at a time, the last drawing always. */
import { SIDE } from '../bitmap.js';
import { Timings } from './timings.js';

export class Asker {
  /** Of the model that answers now. */
  timings = new Timings();

  #options;
  #answerer = null;
  #waiting = false; // a drawing has not been answered yet
  #call = null; // the promise of the call that runs
  #replacing = false;
  #stopped = false;

  /**
   * @param {object} options
   * @param {() => Float32Array|null} options.look gives the bitmap of the drawing as it is now, null if there is none
   * @param {number} options.classes how many probabilities the model is to give
   * @param {(probabilities: Float32Array|null) => void} options.onAnswer null if nothing was drawn
   * @param {(error: Error) => void} options.onTrouble
   * @param {(busy: boolean) => void} options.onBusy
   */
  constructor(options) {
    this.#options = options;
  }

  /** Something was drawn: looks and asks as soon as it can. */
  wake() {
    this.#waiting = true;
    this.#next();
  }

  /**
   * Puts another model in place of the one that answers, and asks it about empty paper once, which compiles it.
   * @param {() => Promise<Answerer>} open see models.js
   * @throws what `open` and the first call throw; nothing answers then
   */
  async replace(open) {
    this.#replacing = true;
    this.#options.onBusy(true);
    try {
      await this.#call;
      this.#close();
      const answerer = await open();
      if (this.#stopped) return answerer.dispose();
      this.#answerer = answerer;
      this.timings = new Timings();
      await this.#timed(new Float32Array(SIDE * SIDE));
      this.#waiting = true;
    } catch (error) {
      this.#close();
      throw error;
    } finally {
      this.#replacing = false;
      this.#next();
    }
  }

  /** Asks no more and gives back the model's memory. */
  async stop() {
    this.#stopped = true;
    await this.#call;
    this.#close();
  }

  #close() {
    this.#answerer?.dispose();
    this.#answerer = null;
  }

  #next() {
    if (this.#stopped || this.#replacing || this.#call) return;
    if (!this.#waiting || !this.#answerer) {
      this.#options.onBusy(false);
      return;
    }
    this.#options.onBusy(true);
    this.#call = new Promise(requestAnimationFrame)
      .then(() => this.#answer())
      .catch((error) => this.#options.onTrouble(error))
      .then(() => { this.#call = null; this.#next(); });
  }

  async #answer() {
    if (this.#stopped) return;
    this.#waiting = false;
    const bitmap = this.#options.look();
    this.#options.onAnswer(bitmap && (await this.#timed(bitmap)));
  }

  async #timed(bitmap) {
    const start = performance.now();
    const probabilities = await this.#answerer.ask(bitmap);
    this.timings.add(performance.now() - start);
    this.#check(probabilities);
    return probabilities;
  }

  #check(probabilities) {
    const { classes } = this.#options;
    if (probabilities.length !== classes) {
      throw new Error(`The model gives ${probabilities.length} numbers and page.json names ${classes} classes; they are to be as many.`);
    }
    const sum = probabilities.reduce((total, value) => total + value, 0);
    if (!(Math.abs(sum - 1) < 0.02)) {
      throw new Error(`The model’s answers add up to ${sum.toFixed(2)}, not to 1. Let it end in a softmax, then they are probabilities.`);
    }
  }
}
