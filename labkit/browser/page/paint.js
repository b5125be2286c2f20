/** What is painted on paper. A canvas takes its colours from the style: `color`, `border-color`, `caret-color`. */
import { CELLS } from './bitmap.js';

const PEN = 0.07; // of the paper's side; what the model sees has a width of its own

/**
 * Paints 8 x 8 counts as squares, darker (or lighter, on dark paper) where there is more ink.
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} counts 64 values from 0 to 16
 */
export function paintInk(canvas, counts) {
  const { context, side, ink, guides } = prepare(canvas);
  const cell = side / CELLS;
  for (let i = 0; i < counts.length; i++) {
    const [x, y] = [i % CELLS, Math.floor(i / CELLS)].map((cells) => Math.round(cells * cell));
    context.globalAlpha = counts[i] ? 1 : 0.6;
    context.fillStyle = guides;
    context.fillRect(x, y, Math.ceil(cell) - 1, Math.ceil(cell) - 1);
    context.globalAlpha = counts[i] / 16;
    context.fillStyle = ink;
    context.fillRect(x, y, Math.ceil(cell) - 1, Math.ceil(cell) - 1);
  }
}

/**
 * Calls `repaint` when the element's size, or the theme, changes.
 * @param {Element} element inside a container with the class "labkit"
 * @param {() => void} repaint
 * @returns {() => void} stops it
 */
export function watchLooks(element, repaint) {
  const theme = new MutationObserver(repaint);
  const size = new ResizeObserver(() => {
    const container = element.closest('.labkit'); // there at the latest when the element is laid out
    if (container) theme.observe(container, { attributes: true, attributeFilter: ['data-theme', 'class'] });
    repaint();
  });
  size.observe(element);
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', repaint);
  return () => {
    size.disconnect();
    theme.disconnect();
    dark.removeEventListener('change', repaint);
  };
}

/**
 * Makes the bitmap of a canvas as sharp as the screen, empties it, and finds its colours.
 * @param {HTMLCanvasElement} canvas a square
 * @returns {{context: CanvasRenderingContext2D, side: number, ink: string, guides: string, mark: string}} side in device pixels, 0
 *   before the canvas is laid out
 */
export function prepare(canvas) {
  const side = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext('2d');
  context.globalAlpha = 1;
  context.clearRect(0, 0, side, side);
  const style = getComputedStyle(canvas);
  return { context, side, ink: style.color, guides: style.borderTopColor, mark: style.caretColor };
}

/** Two dashed lines between which a digit stands well. */
export function paintGuides(context, side, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash([side / 100, side / 50]);
  context.beginPath();
  for (const at of [0.1, 0.9]) {
    context.moveTo(side * 0.06, Math.round(side * at) + 0.5);
    context.lineTo(side * 0.94, Math.round(side * at) + 0.5);
  }
  context.stroke();
  context.setLineDash([]);
}

/** The lines of a drawing, points from 0 to 1, as a round pen draws them. */
export function paintStrokes(context, side, colour, strokes) {
  context.strokeStyle = colour;
  context.lineWidth = side * PEN;
  context.lineCap = context.lineJoin = 'round';
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(stroke[0][0] * side, stroke[0][1] * side);
    for (const [x, y] of stroke) context.lineTo(x * side, y * side);
    context.stroke();
  }
}

/** An example of 8 x 8 counts, enlarged without its squares. */
export function paintSoft(context, side, colour, counts) {
  const small = new OffscreenCanvas(CELLS, CELLS);
  const pixels = small.getContext('2d');
  pixels.fillStyle = colour;
  for (let i = 0; i < counts.length; i++) {
    pixels.globalAlpha = counts[i] / 16;
    pixels.fillRect(i % CELLS, Math.floor(i / CELLS), 1, 1);
  }
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(small, side * 0.1, side * 0.1, side * 0.8, side * 0.8);
}

/** Where the pen of the keyboard is: a ring, full when it is down. */
export function paintPen(context, side, colour, pen) {
  const [x, y, radius] = [pen.x * side, pen.y * side, side * PEN * 0.75];
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = Math.max(2, side / 120);
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  if (pen.down) context.fill(); else context.stroke();
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + dx * radius, y + dy * radius);
    context.lineTo(x + dx * radius * 1.8, y + dy * radius * 1.8);
  }
  context.stroke();
}
