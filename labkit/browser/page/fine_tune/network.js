/**
 * What the page asked for over the network, as the browser counts it, and what it is forbidden to.
 *
 * The browser keeps a list of resources that a page loaded (Resource Timing); of a request it says where it went, what
 * part of the page asked for it, and how many bytes came back. It does not list WebSockets, WebRTC or leaving for another
 * address, and not what extensions or the browser itself send.
 */

/** Keeps the list from the page's first request on. */
export class RequestLog {
  #observer;
  #entries = [];
  #mark = Infinity;

  /** @param {() => void} onChange called when there is more */
  constructor(onChange) {
    this.#entries = performance.getEntriesByType('navigation').map(entryOf);
    this.#observer = new PerformanceObserver((list) => {
      this.#entries.push(...list.getEntries().map(entryOf));
      onChange();
    });
    this.#observer.observe({ type: 'resource', buffered: true });
  }

  /** From now on, requests count as made after the first drawing. Calling it again changes nothing. */
  markFirstDrawing() {
    this.#mark = Math.min(this.#mark, performance.now());
  }

  /** @returns {{name: string, host: string, kind: string, bytes: number, start: number, late: boolean}[]} */
  get entries() {
    return this.#entries.map((entry) => ({ ...entry, late: entry.start > this.#mark }));
  }

  /** How many requests, bytes received, to which hosts, and how many since the first drawing. */
  get summary() {
    const entries = this.entries;
    return {
      count: entries.length,
      bytes: entries.reduce((sum, { bytes }) => sum + bytes, 0),
      hosts: [...new Set(entries.map(({ host }) => host))],
      late: entries.filter(({ late }) => late).length,
    };
  }

  stop() {
    this.#observer.disconnect();
  }
}

function entryOf({ name, initiatorType, transferSize, startTime }) {
  const { host, pathname, protocol } = new URL(name);
  const place = host || `this page (${protocol})`; // blob: and data: leave nothing
  const below = new URL('.', document.baseURI).pathname;
  const path = pathname.startsWith(below) ? pathname.slice(below.length) || 'the page itself' : pathname;
  return { name: path, host: place, kind: initiatorType, bytes: transferSize, start: startTime };
}

/**
 * Whether this page's policy (Content-Security-Policy) forbids it to talk to others. Found without the network: a
 * policy as this page's also forbids to "fetch" an address that has its answer in it.
 * @returns {Promise<boolean>}
 */
export async function isPolicyInForce() {
  return fetch('data:text/plain,x').then(() => false, () => true);
}

/**
 * Tries to send bytes to another machine, which the page's policy forbids.
 * @param {string} url
 * @param {Uint8Array} body
 * @returns {Promise<{sent: boolean, directive: string, blocked: string}>} which rule of the policy, and which address,
 *   the browser named when it refused; empty if it did not
 */
export async function tryToSend(url, body) {
  const done = new AbortController();
  const refusal = new Promise((resolve) => {
    const listen = (event) => { if (event.blockedURI.startsWith(new URL(url).origin)) resolve(event); };
    document.addEventListener('securitypolicyviolation', listen, { signal: done.signal });
  });
  try {
    const sent = await fetch(url, { method: 'POST', mode: 'no-cors', body }).then(() => true, () => false);
    if (sent) return { sent, directive: '', blocked: '' };
    const { effectiveDirective, blockedURI } = await Promise.race([refusal, noRefusal()]);
    return { sent, directive: effectiveDirective, blocked: blockedURI };
  } finally {
    done.abort();
  }
}

/** After a second: nothing was sent, but for another reason than the policy. */
function noRefusal() {
  return new Promise((resolve) => {
    setTimeout(() => resolve({ effectiveDirective: '', blockedURI: '' }), 1000);
  });
}
