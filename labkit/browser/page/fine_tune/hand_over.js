/** Two ways out of the page for the trained model, both only when a button is pressed. */
import { make } from '../elements.js';

/**
 * Makes the buttons and adds them to `parent`.
 * @param {Element} parent
 * @param {object} options
 * @param {import('./tuner.js').Tuner} options.tuner
 * @param {function(object): Promise<void>} [options.handOver] gives a value to Python; without it, no such button
 * @param {function(): object} options.result what is said about the training, beside the model
 * @param {function(Error): void} options.onTrouble
 * @returns {{refresh: function(): void}} `refresh` after a training
 */
export function createHandOver(parent, { tuner, handOver, result, onTrouble }) {
  const line = make('div', 'lk-tools');
  const note = make('span', 'lk-note', { role: 'status' });
  const button = (words, action) => {
    const element = make('button', 'lk-button', { type: 'button', disabled: '' }, words);
    element.addEventListener('click', () => action().catch(onTrouble));
    line.append(element);
    return element;
  };
  const buttons = [];
  if (handOver) {
    buttons.push(button('Hand to Python', async () => {
      const artifacts = await tuner.artifacts();
      const { modelTopology, weightSpecs, weightData } = artifacts;
      await handOver({ ...result(), modelTopology, weightSpecs, weightData });
      note.textContent = `Handed over: ${Math.round(weightData.byteLength / 1000)} kB of weights.`;
    }));
  }
  buttons.push(button('Download', async () => {
    await tuner.download('tuned');
    note.textContent = 'Downloaded: tuned.json and tuned.weights.bin.';
  }));
  line.append(note);
  parent.append(line);
  const refresh = () => {
    note.textContent = '';
    for (const each of buttons) each.disabled = !tuner.trained;
  };
  return { refresh };
}
