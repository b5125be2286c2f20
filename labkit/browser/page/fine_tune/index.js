// The fine-tuning page by itself: its files come from the server that it came from, and the trained model may go there.

import { encode } from '../arrays.js';
import { useBackend } from '../backends.js';
import { files } from '../server_files.js';
import { mount } from './fine_tune.js';

mount(document.body, {
  files,
  useBackend,
  handOver: async (value) => {
    const answer = await fetch('result', { method: 'POST', body: JSON.stringify(await encode(value)) });
    if (!answer.ok) throw new Error(`The model could not be handed over: the server answered ${answer.status}`);
  },
  base: '',
  theme: new URLSearchParams(location.search).get('theme'),
});
