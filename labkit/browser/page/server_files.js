// A page's files, from the server that it came from. (In a widget they come by kernel messages: widget.js.)

import { get } from './backends.js';

async function read(name) {
  const answer = await get(`files/${name}`);
  if (!answer.ok) throw new Error(`files/${name} could not be read: the server answered ${answer.status}`);
  return answer;
}

/** What a page's `mount` takes as `context.files`. */
export const files = {
  bytes: async (name) => (await read(name)).arrayBuffer(),
  json: async (name) => (await read(name)).json(),
};
