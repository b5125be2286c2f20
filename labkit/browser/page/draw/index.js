// The drawing page by itself: its files come from the server that it came from.

import { useBackend } from '../backends.js';
import { files } from '../server_files.js';
import { mount } from './draw.js';

mount(document.body, {
  files,
  useBackend,
  lite: () => import('../lite.js'),
  theme: new URLSearchParams(location.search).get('theme'),
});
