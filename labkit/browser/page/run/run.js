// Runs the script that labkit.browser.run was given, and sends home what it returns.

import { decode, encode } from '../arrays.js';
import { get, useBackend } from '../backends.js';

const post = (where, body) => fetch(where, { method: 'POST', body });

let sent = Promise.resolve();

/** Sends one message of progress after those before it; the script may wait for it or not. */
function report(message) {
  const ready = encode(message); // as it is now
  sent = sent.then(async () => post('progress', JSON.stringify((await ready) ?? null)));
  return sent;
}

/** Where the script cannot be parsed: `import()` does not say, a script element does. */
function placeOfSyntaxError() {
  return new Promise((resolve) => {
    addEventListener('error', (event) => resolve(`at job.js:${event.lineno}:${event.colno}`), { once: true });
    const script = Object.assign(document.createElement('script'), { type: 'module', src: 'job.js' });
    script.onload = () => resolve('');
    document.head.append(script);
  });
}

const refused = [];
addEventListener('securitypolicyviolation', ({ blockedURI, effectiveDirective }) => {
  refused.push(`\n    ${blockedURI} is against the page's Content Security Policy (${effectiveDirective})`);
});

async function fail(error) {
  await new Promise((resolve) => setTimeout(resolve)); // what was refused is said in a task of its own
  const name = error?.message ? `${error.name}: ${error.message}` : String(error);
  return post('error', JSON.stringify({ message: name, stack: `${error?.stack ?? ''}${refused.join('')}` }));
}

try {
  const job = await (await get('job.json')).json();
  const tf = job.backend ? await useBackend(job.backend) : undefined;
  const script = await import(new URL('job.js', document.baseURI)).catch(async (error) => {
    if (error instanceof SyntaxError) error.stack = await placeOfSyntaxError();
    throw error;
  });
  if (typeof script.default !== 'function') {
    throw new TypeError('the script has no default export: write "export default async function ({ tf, args, report }) { ... }"');
  }
  // What is thrown where nobody waits for it would otherwise be noticed only when the time is up.
  for (const kind of ['error', 'unhandledrejection']) {
    addEventListener(kind, (event) => fail(event.reason ?? event.error ?? event.message));
  }
  const answer = await script.default({ tf, args: decode(job.args), report });
  const body = JSON.stringify((await encode(answer)) ?? null);
  await sent; // or the result could overtake what was reported before it
  await post('result', body);
} catch (error) {
  await fail(error);
}
