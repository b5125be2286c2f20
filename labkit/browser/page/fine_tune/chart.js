/** Two small charts, loss and accuracy by epoch, and the same figures as a table for who does not see them. */
import { make } from '../elements.js';

const WIDTH = 260;
const HEIGHT = 150;
const LEFT = 38;
const RIGHT = 44;
const TOP = 20;
const BOTTOM = 32;
const MOST_DOTS = 25; // with more epochs they would hide the line

/**
 * Makes the charts and adds them to `parent`.
 * @param {Element} parent
 * @returns {{show: Function}} `show(history, epochs, turn)` draws what there is so far, rows of {epoch, loss, accuracy},
 *   on axes for all epochs; after epoch `turn`, if it is not null, all layers were trained
 */
export function createChart(parent) {
  const charts = make('div', 'lk-ft-charts');
  const details = make('details', 'lk-note');
  const table = make('table', 'lk-ft-table');
  details.append(make('summary', '', {}, 'These figures as a table'), table);
  parent.append(charts, details);
  const show = (history, epochs, turn) => {
    const most = history.length ? Math.max(...history.map(({ loss }) => loss)) : 1;
    charts.replaceChildren(
      lineChart({
        title: 'Loss', points: history.map(({ epoch, loss }) => [epoch, loss]), words: (value) => value.toFixed(2),
        epochs, most, turn,
      }),
      lineChart({
        title: 'Accuracy', points: history.map(({ epoch, accuracy }) => [epoch, accuracy]), words: inPercent,
        epochs, most: 1, turn,
      }),
    );
    fillTable(table, history);
  };
  return { show };
}

function inPercent(value) {
  return `${Math.round(value * 100)} %`;
}

function lineChart({ title, points, words, epochs, most, turn }) {
  const x = (epoch) => LEFT + ((WIDTH - LEFT - RIGHT) * epoch) / epochs;
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / most);
  const chart = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'lk-ft-chart', role: 'img' });
  chart.setAttribute('aria-label', describe(title, points, words));
  chart.append(text(title, { x: LEFT, y: 12, class: 'lk-ft-chart-title' }));
  chart.append(...[0, most / 2, most].flatMap((value) => [
    svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: 'lk-ft-grid' }),
    text(words(value), { x: LEFT - 5, y: y(value) + 3.5, 'text-anchor': 'end' }),
  ]));
  chart.append(...[...ticks(epochs).map((epoch) => [epoch, x(epoch), 13]), ['epoch', x(epochs / 2), BOTTOM - 4]].map(
    ([label, middle, down]) => text(String(label), { x: middle, y: HEIGHT - BOTTOM + down, 'text-anchor': 'middle' }),
  ));
  if (turn !== null) {
    const middle = x(turn + 0.5);
    chart.append(
      svg('line', { x1: middle, x2: middle, y1: TOP, y2: HEIGHT - BOTTOM, class: 'lk-ft-turn' }),
      text('all layers', { x: middle + 4, y: title === 'Loss' ? TOP + 9 : HEIGHT - BOTTOM - 5 }), // beside the line
    );
  }
  const places = points.map(([epoch, value]) => [x(epoch), y(value)]);
  if (places.length > 0) chart.append(...curve(places, words(points.at(-1)[1])));
  return chart;
}

function curve(places, lastWords) {
  const [lastX, lastY] = places.at(-1);
  const dotted = places.length <= MOST_DOTS ? places : [places.at(-1)];
  return [
    svg('polyline', { points: places.map((place) => place.join()).join(' '), class: 'lk-ft-line' }),
    ...dotted.map(([cx, cy]) => svg('circle', { cx, cy, r: 3, class: 'lk-ft-dot' })),
    text(lastWords, { x: lastX + 7, y: lastY + 3.5, class: 'lk-ft-last' }),
  ];
}

function describe(title, points, words) {
  if (points.length === 0) return `${title} by epoch: nothing yet`;
  const [[first, from], [last, to]] = [points[0], points.at(-1)];
  return `${title} by epoch: ${words(from)} in epoch ${first}, ${words(to)} in epoch ${last}`;
}

/** At most six whole epochs along the axis, the last among them. */
function ticks(epochs) {
  const step = Math.ceil(epochs / 5);
  const numbers = [];
  for (let epoch = epochs; epoch >= 1; epoch -= step) numbers.unshift(epoch);
  return numbers;
}

function fillTable(table, history) {
  const row = (tag, cells) => {
    const line = make('tr', '');
    line.append(...cells.map((cell) => make(tag, '', tag === 'th' ? { scope: 'col' } : {}, cell)));
    return line;
  };
  const cells = ({ epoch, loss, accuracy }) => [String(epoch), loss.toFixed(4), inPercent(accuracy)];
  const lines = history.map((figures) => row('td', cells(figures)));
  table.replaceChildren(row('th', ['Epoch', 'Loss', 'Accuracy']), ...lines);
}

function svg(tag, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function text(words, attributes) {
  const element = svg('text', attributes);
  element.textContent = words;
  return element;
}
