/**
 * Paper to draw on, with mouse, pen, finger or keyboard. Used by every page where somebody draws.
 *
 * A pad is made of elements with the classes of style.css, in a container with the class "labkit". It takes its colours
 * from there (`color`, `border-color`, `caret-color`) and follows them when the theme changes.
 */
import { bitmapFromInk, bitmapFromStrokes } from './bitmap.js';
import { make } from './elements.js';
import { paintGuides, paintPen, paintSoft, paintStrokes, prepare, watchLooks } from './paint.js';

export { inkOf } from './bitmap.js';
export { paintInk, watchLooks } from './paint.js';

const STEP = 1 / 16; // an arrow key moves the pen this far
const NEAR = 0.006; // points closer than this are one
const HINT = 'Keyboard: arrows move, Space draws or lifts, Backspace undoes.';
const DIRECTIONS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  Home: [-1, -1], PageUp: [1, -1], End: [-1, 1], PageDown: [1, 1], // as on a number pad
};

/**
 * Makes a pad and adds it to `parent`.
 *
 * @param {Element} parent
 * @param {object} options
 * @param {string} options.label name for screen readers: "Paper for a digit"
 * @param {(pad: Pad) => void} [options.onChange] called after every change, several times a frame while drawing
 * @returns {Pad}
 */
export function createPad(parent, options) {
  return new Pad(parent, options);
}

/**
 * @property {HTMLElement} element the whole pad
 * @property {HTMLElement} tools where the buttons are; a page may append its own
 */
class Pad {
  #state = { strokes: [], ink: null };
  #past = [];
  #pointer = null; // the one that draws
  #pen = { x: 0.5, y: 0.25, down: false, shown: false };
  #onChange;
  #undo;
  #clear;
  #says;
  #canvas;
  #stopWatching;

  constructor(parent, { label, onChange = () => {} }) {
    this.#onChange = onChange;
    this.element = make('div', 'lk-pad');
    this.#canvas = make('canvas', 'lk-paper', { tabindex: '0', role: 'application', 'aria-label': `${label}. ${HINT}` });
    this.#canvas.dataset.lmSuppressShortcuts = 'true'; // JupyterLab moves between cells with the same keys
    this.tools = make('div', 'lk-tools');
    this.#undo = this.addButton('Undo', () => this.undo());
    this.#clear = this.addButton('Clear', () => this.clear());
    this.#says = make('span', 'lk-heard', { role: 'status' });
    this.element.append(this.#canvas, this.tools, make('p', 'lk-hint', {}, HINT), this.#says);
    parent.append(this.element);
    this.#listen();
    this.#stopWatching = watchLooks(this.#canvas, () => this.#paint());
    this.#changed({ silent: true });
  }

  /** The lines on the paper: strokes of points [x, y] from 0 to 1. */
  get strokes() {
    return this.#state.strokes;
  }

  /** The counts of the example that is shown, or null. */
  get ink() {
    return this.#state.ink;
  }

  get empty() {
    return this.#state.ink === null && this.#state.strokes.length === 0;
  }

  /** What is on the paper as the model takes it: Float32Array of 32 x 32 zeros and ones. */
  bitmap() {
    return this.#state.ink ? bitmapFromInk(this.#state.ink) : bitmapFromStrokes(this.#state.strokes);
  }

  /** Empties the paper; undo brings it back. */
  clear() {
    if (this.empty) return;
    this.#begin({ strokes: [], ink: null });
    this.#changed();
  }

  /** Takes back the last stroke, example or clearing. */
  undo() {
    if (this.#past.length === 0) return;
    this.#lift();
    this.#state = this.#past.pop();
    this.#changed();
  }

  /** Empties the paper and forgets what was on it, for the next drawing. */
  reset() {
    this.#past = [];
    this.#lift();
    this.#state = { strokes: [], ink: null };
    this.#changed();
  }

  /**
   * Shows an example instead of lines; it goes when somebody draws.
   * @param {ArrayLike<number>} ink 64 counts from 0 to 16
   */
  show(ink) {
    bitmapFromInk(ink); // refuses what is no example
    this.#begin({ strokes: [], ink: Uint8Array.from(ink) });
    this.#changed();
  }

  /** Adds a button to the tools and returns it. */
  addButton(text, onClick) {
    const button = make('button', 'lk-button', { type: 'button' }, text);
    button.addEventListener('click', onClick);
    this.tools.append(button);
    return button;
  }

  focus() {
    this.#canvas.focus();
  }

  /** Removes the pad and all that listens for it. */
  destroy() {
    this.#stopWatching();
    this.element.remove();
  }

  #begin(state) {
    this.#past.push(this.#state);
    this.#lift();
    this.#state = state;
  }

  /** Ends the stroke that is being drawn: it may not be there any more. */
  #lift() {
    this.#pen.down = false;
    this.#pointer = null;
  }

  #beginStroke(point) {
    this.#begin({ strokes: [...this.#state.strokes, [point]], ink: null });
    this.#changed();
  }

  #extendStroke(points) {
    const stroke = this.#state.strokes.at(-1);
    const before = stroke.length;
    for (const [x, y] of points) {
      const [lastX, lastY] = stroke.at(-1);
      if (Math.hypot(x - lastX, y - lastY) >= NEAR) stroke.push([x, y]);
    }
    if (stroke.length > before) this.#changed();
  }

  #changed({ silent = false } = {}) {
    this.#undo.disabled = this.#past.length === 0;
    this.#clear.disabled = this.empty;
    this.#paint();
    if (!silent) this.#onChange(this);
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener('pointerdown', (event) => this.#pointerDown(event));
    canvas.addEventListener('pointermove', (event) => this.#pointerMove(event));
    for (const end of ['pointerup', 'pointercancel']) {
      canvas.addEventListener(end, (event) => { if (event.pointerId === this.#pointer) this.#pointer = null; });
    }
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('focus', () => { this.#pen.shown = canvas.matches(':focus-visible'); this.#paint(); });
    canvas.addEventListener('blur', () => { this.#pen.shown = this.#pen.down = false; this.#paint(); });
  }

  #pointerDown(event) {
    if (event.button !== 0 || this.#pointer !== null) return; // a second finger, the right button
    this.#canvas.setPointerCapture(event.pointerId); // a line may leave the paper and come back
    this.#pen.shown = false;
    this.#beginStroke(this.#place(event));
    this.#pointer = event.pointerId;
  }

  #pointerMove(event) {
    if (event.pointerId !== this.#pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.#extendStroke((events.length ? events : [event]).map((each) => this.#place(each)));
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in DIRECTIONS) this.#movePen(DIRECTIONS[event.key]);
    else if (event.key === ' ') { if (!event.repeat) this.#putPen(); }
    else if (event.key === 'Backspace') this.undo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #movePen([right, down]) {
    const pen = this.#pen;
    pen.shown = true;
    pen.x = inside(pen.x + right * STEP);
    pen.y = inside(pen.y + down * STEP);
    if (pen.down) this.#extendStroke([[pen.x, pen.y]]);
    this.#paint();
  }

  #putPen() {
    const pen = this.#pen;
    const down = !pen.down;
    pen.shown = true;
    if (down) this.#beginStroke([pen.x, pen.y]);
    pen.down = down;
    this.#says.textContent = `Pen ${down ? 'down' : 'up'}, ${percent(pen.x)} from the left, ${percent(pen.y)} from the top.`;
    this.#paint();
  }

  #paint() {
    const { context, side, ink, guides, mark } = prepare(this.#canvas);
    if (side === 0) return; // not laid out yet
    paintGuides(context, side, guides);
    if (this.#state.ink) paintSoft(context, side, ink, this.#state.ink);
    else paintStrokes(context, side, ink, this.#state.strokes);
    if (this.#pen.shown) paintPen(context, side, mark, this.#pen);
  }
}

function inside(value) {
  return Math.max(0, Math.min(1, value));
}

function percent(value) {
  return `${Math.round(value * 100)} %`;
}
