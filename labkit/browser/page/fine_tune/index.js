// The fine-tuning page by itself: its files come from the server that it came from, and the trained model may go there.

import { encode } from '../arrays.js';
import { useBackend } from '../backends.js';
import { mount } from './fine_tune.js';

async function read(name) {
  const answer = await fetch(`files/${name}`);
  if (!answer.ok) throw new Error(`files/${name} could not be read: the server answered ${answer.status}`);
  return answer;
}

mount(document.body, {
  files: {
    bytes: async (name) => (await read(name)).arrayBuffer(),
    json: async (name) => (await read(name)).json(),
  },
  useBackend,
  handOver: async (value) => {
    const answer = await fetch('result', { method: 'POST', body: JSON.stringify(await encode(value)) });
    if (!answer.ok) throw new Error(`The model could not be handed over: the server answered ${answer.status}`);
  },
  base: '',
  theme: new URLSearchParams(location.search).get('theme'),
});
