/**
 * From a drawing to the picture that the model was trained on.
 *
 * scikit-learn's digits are pictures of 8 x 8 cells; a cell is the number of black pixels (0 to 16) in a block of 4 x 4
 * pixels of a black and white picture of 32 x 32. Those pictures were normalised by NIST's form reader before anybody
 * counted (NISTIR 5469, 1994: second-generation normalisation, then shearing), and every picture of the set shows it:
 *
 * - the digit with its stroke's width is stretched to 20 x 32 pixels, whatever its proportions, and put in the middle;
 * - strokes are thickened or thinned until 256 to 412 pixels are black, in a 1 as in an 8;
 * - rows are shifted so that the leftmost ink near the top and near the bottom stand one above the other.
 *
 * Here the same is done with the lines of a drawing. The pen is as wide as makes the mean ink that of the data.
 *
 * A stroke is a list of points [x, y], 0 to 1 from the left and from the top of the paper. A drawing is a list of
 * strokes. A bitmap is a Float32Array of 1,024 zeros and ones, row by row. Ink is a Uint8Array of 64 counts, 0 to 16.
 */

/** Pixels along one side of a bitmap. */
export const SIDE = 32;
/** Cells along one side of the counted picture. */
export const CELLS = 8;

const BLOCK = SIDE / CELLS;
const BOX = { width: 20, height: 32 }; // pixels
const INK = { least: 256, most: 412 }; // black pixels, NIST's limits; those of the data are nearly all between them
const PEN = 0.09; // half its width, in heights of the drawing
const THICKER = 2; // times as wide at most, so that a dot stays a dot
const STRETCH = 2; // a narrow drawing, a 1, is widened no more than this: it is not to become a square
const SMALLEST = 0.1; // of the paper: what is smaller is not blown up to full size
const EDGE = 2; // rows from the top and the bottom where the shear is measured: the outermost are noisy

/**
 * The bitmap of a drawing.
 * @param {number[][][]} strokes
 * @returns {Float32Array} all zeros if nothing is drawn
 */
export function bitmapFromStrokes(strokes) {
  const drawn = strokes.filter((stroke) => stroke.length > 0);
  if (drawn.length === 0) return new Float32Array(SIDE * SIDE);
  const { lines, brush } = fitted(drawn);
  const bitmap = inked(distances(lines, brush, 0));
  const slope = slopeOf(bitmap);
  return slope === 0 ? bitmap : inked(distances(lines, brush, slope));
}

/**
 * A bitmap with exactly the given ink in every block, the way back from a counted picture.
 * @param {ArrayLike<number>} ink 64 whole numbers from 0 to 16
 * @returns {Float32Array}
 */
export function bitmapFromInk(ink) {
  if (ink.length !== CELLS * CELLS || Array.from(ink).some((count) => !(count >= 0 && count <= BLOCK * BLOCK))) {
    const start = Array.from(ink).slice(0, 8);
    throw new RangeError(`An example is ${CELLS * CELLS} counts from 0 to ${BLOCK * BLOCK}, got ${ink.length} values: ${start}...`);
  }
  const bitmap = new Float32Array(SIDE * SIDE);
  for (let i = 0; i < bitmap.length; i++) {
    const x = i % SIDE;
    const y = Math.floor(i / SIDE);
    bitmap[i] = (y % BLOCK) * BLOCK + (x % BLOCK) < ink[cellOf(x, y)] ? 1 : 0;
  }
  return bitmap;
}

/**
 * The counted picture of a bitmap: what the first layers of the model make of it.
 * @param {ArrayLike<number>} bitmap
 * @returns {Uint8Array} 64 counts, row by row
 */
export function inkOf(bitmap) {
  const ink = new Uint8Array(CELLS * CELLS);
  for (let i = 0; i < bitmap.length; i++) ink[cellOf(i % SIDE, Math.floor(i / SIDE))] += bitmap[i];
  return ink;
}

function cellOf(x, y) {
  return Math.floor(y / BLOCK) * CELLS + Math.floor(x / BLOCK);
}

/** The drawing in pixels, and half the width of its strokes, which is stretched with it. */
function fitted(strokes) {
  const [left, right] = extent(strokes.flat().map((point) => point[0]));
  const [top, bottom] = extent(strokes.flat().map((point) => point[1]));
  const pen = PEN * Math.max(bottom - top, (right - left) / STRETCH, SMALLEST);
  const across = BOX.width / Math.max(right - left + 2 * pen, SMALLEST);
  const down = BOX.height / Math.max(bottom - top + 2 * pen, SMALLEST);
  const scale = [Math.min(across, STRETCH * down), Math.min(down, STRETCH * across)];
  const middle = [(left + right) / 2, (top + bottom) / 2];
  const pixels = (point) => point.map((value, axis) => SIDE / 2 + (value - middle[axis]) * scale[axis]);
  return { lines: strokes.map((stroke) => stroke.map(pixels)), brush: scale.map((value) => value * pen) };
}

function extent(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

/**
 * How far the middle of every pixel is from the nearest line: 1 at the edge of the brush, an ellipse.
 * Rows are shifted by `slope` pixels for every row below the middle.
 */
function distances(lines, [width, height], slope) {
  const squares = new Float32Array(SIDE * SIDE).fill(Infinity);
  for (const [from, to] of lines.flatMap(segments)) {
    const [x0, y0] = [from[0] / width, from[1] / height];
    const [dx, dy] = [to[0] / width - x0, to[1] / height - y0];
    const length = dx * dx + dy * dy || 1;
    for (let i = 0; i < squares.length; i++) {
      const row = Math.floor(i / SIDE) + 0.5;
      const x = ((i % SIDE) + 0.5 - (row - SIDE / 2) * slope) / width - x0;
      const y = row / height - y0;
      const along = Math.max(0, Math.min(1, (x * dx + y * dy) / length));
      const square = (x - along * dx) ** 2 + (y - along * dy) ** 2;
      if (square < squares[i]) squares[i] = square;
    }
  }
  return squares.map(Math.sqrt);
}

function segments(line) {
  return line.map((point, i) => [line[Math.max(0, i - 1)], point]).slice(line.length > 1 ? 1 : 0);
}

/** Black where the brush was, with strokes as much thicker or thinner as the limits of ink ask for. */
function inked(far) {
  const nearest = far.slice().sort();
  const edge = Math.min(nearest[INK.most - 1], Math.max(1, Math.min(THICKER, nearest[INK.least - 1])));
  return far.map((distance) => (distance <= edge ? 1 : 0));
}

/** By how many pixels a row the digit is to be shifted to stand upright. */
function slopeOf(bitmap) {
  const leftmost = (row) => bitmap.subarray(row * SIDE, (row + 1) * SIDE).indexOf(1);
  const rows = Array.from({ length: SIDE }, (_, row) => row).filter((row) => leftmost(row) >= 0);
  const [top, bottom] = [rows[0] + EDGE, rows.at(-1) - EDGE];
  if (bottom <= top || leftmost(top) < 0 || leftmost(bottom) < 0) return 0;
  return (leftmost(top) - leftmost(bottom)) / (bottom - top);
}
