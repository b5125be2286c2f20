// The drawing page by itself: its files come from the server that it came from.

import { useBackend } from '../backends.js';
import { mount } from './draw.js';

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
  lite: () => import('../lite.js'),
  theme: new URLSearchParams(location.search).get('theme'),
});
