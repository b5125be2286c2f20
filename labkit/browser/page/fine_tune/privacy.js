/** The page's own account of what it sent and received, and of what it cannot do. */
import { make } from '../elements.js';
import { size } from '../size.js';
import { isPolicyInForce, RequestLog, tryToSend } from './network.js';

const STRANGER = 'https://example.com/';
const NO_PROOF = [
  'The browser lists what this page asked for, not what other pages, extensions or the browser itself send.',
  'The policy comes from the server that gave you this page: another server could give you another policy.',
  'It binds this page, not you: “Download” and “Hand to Python” give the model away because you press them,'
    + ' and a model can remember something of what it was trained with.',
];
const IN_NOTEBOOK = 'Inside a notebook, this page shares the notebook’s connection: it has no list and no policy of its'
  + ' own. It asks the kernel for its files, and gives it something only when you press “Hand to Python”.';

/**
 * Makes the part of the page and adds it to `parent`.
 * @param {Element} parent
 * @param {object} options
 * @param {boolean} options.alone whether this is a page of its own, and not a part of a notebook's
 * @param {() => Float32Array} options.something a drawing to try to send
 * @returns {{markFirstDrawing: () => void, stop: () => void}}
 */
export function createPrivacy(parent, { alone, something }) {
  const details = make('details', 'lk-ft-privacy');
  const summary = make('summary', 'lk-ft-summary', {}, 'What left this page?');
  details.append(summary);
  parent.append(details);
  if (!alone) {
    details.append(make('p', 'lk-note', {}, IN_NOTEBOOK));
    return { markFirstDrawing: () => {}, stop: () => {} };
  }
  const table = make('table', 'lk-ft-table');
  const scroll = make('div', 'lk-ft-scroll', { tabindex: '0', role: 'region', 'aria-label': 'Requests of this page' });
  scroll.append(table);
  const log = new RequestLog(() => showRequests());
  const showRequests = () => {
    summary.textContent = `What left this page? ${inWords(log.summary)}`;
    if (details.open) fill(table, log.entries);
  };
  details.addEventListener('toggle', showRequests);
  details.append(scroll, createAttempt(something), createNoProof());
  showRequests();
  const markFirstDrawing = () => {
    log.markFirstDrawing();
    showRequests();
  };
  return { markFirstDrawing, stop: () => log.stop() };
}

function inWords({ count, bytes, hosts, late }) {
  const since = `${late} since your first drawing`;
  return `${count} requests, ${size(bytes)} received, all to ${hosts.join(' and ')}; ${since}.`;
}

function fill(table, entries) {
  const line = (tag, cells) => {
    const row = make('tr', '');
    row.append(...cells.map((cell) => make(tag, '', tag === 'th' ? { scope: 'col' } : {}, cell)));
    return row;
  };
  const cells = ({ name, host, kind, bytes, late }) => [name, host, kind, size(bytes), late ? 'after' : 'before'];
  const rows = entries.map((entry) => line('td', cells(entry)));
  const head = ['What', 'Asked of', 'Asked by', 'Received', 'Your first drawing'];
  table.replaceChildren(line('th', head), ...rows);
}

function createAttempt(something) {
  const attempt = make('div', 'lk-ft-attempt');
  const button = make('button', 'lk-button', { type: 'button' }, 'Try to send a drawing to example.com');
  const result = make('p', 'lk-note', { role: 'status' });
  button.addEventListener('click', async () => {
    result.textContent = '';
    result.textContent = await attemptInWords(something);
  });
  attempt.append(button, result);
  return attempt;
}

async function attemptInWords(something) {
  if (!(await isPolicyInForce())) return 'Not tried: this page has no policy here, the drawing would really be sent.';
  const body = Uint8Array.from(something());
  const { sent, directive, blocked } = await tryToSend(STRANGER, body);
  const what = `${body.length} bytes`;
  if (sent) return `It was sent: ${what} to ${STRANGER}. This page’s policy does not hold.`;
  if (!directive) return 'It was not sent, but the browser does not say that the policy is the reason.';
  return `The browser refused to send ${what} to ${blocked}: the page’s policy forbids it (${directive}).`;
}

function createNoProof() {
  const list = make('ul', 'lk-ft-list');
  list.append(...NO_PROOF.map((words) => make('li', '', {}, words)));
  const part = make('div', 'lk-note');
  part.append(make('p', '', {}, 'What this does not prove:'), list);
  return part;
}
