// A page inside a notebook's own page, for notebooks whose browser does not reach the kernel's machine: everything
// that a page server would answer comes by kernel messages instead, and modules become blob addresses.

const IMPORT = /(^(?:import|export)\b[^;'"]*?\bfrom\s*)(['"])(\.\.?\/[^'"]+)\2/gm; // whole statements, not comments

/** Reads what the kernel has under a path such as "page/arrays.js"; rejects when there is nothing. */
class Kernel {
  #model;
  #waiting = new Map();
  #me = Math.random().toString(36).slice(2); // every view of a widget hears all messages; ids must differ
  #last = 0;

  constructor(model) {
    this.#model = model;
    model.on('msg:custom', this.#receive);
  }

  bytes(path) {
    const id = `${this.#me}-${++this.#last}`;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#model.send({ kind: 'read', id, path });
    });
  }

  async text(path) {
    return new TextDecoder().decode(await this.bytes(path));
  }

  handOver(bytes) {
    this.#model.send({ kind: 'result' }, undefined, [bytes.buffer]);
  }

  close() {
    this.#model.off('msg:custom', this.#receive);
  }

  #receive = ({ id, error }, buffers) => {
    const { resolve, reject } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (error) reject?.(new Error(error));
    else resolve?.(buffers[0].buffer.slice(buffers[0].byteOffset, buffers[0].byteOffset + buffers[0].byteLength));
  };
}

/** Gives paths blob addresses; a module's own imports first, so that it finds them. */
class Blobs {
  #kernel;
  #addresses = new Map();

  constructor(kernel) {
    this.#kernel = kernel;
  }

  of(path) {
    if (!this.#addresses.has(path)) this.#addresses.set(path, this.#make(path));
    return this.#addresses.get(path);
  }

  async revoke() {
    for (const address of await Promise.allSettled(this.#addresses.values())) URL.revokeObjectURL(address.value);
  }

  async #make(path) {
    const type = path.endsWith('.wasm') ? 'application/wasm' : 'text/javascript';
    if (path.startsWith('npm/') && path.endsWith('.js')) {
      // Where a notebook has RequireJS (VS Code, Colab), scripts would hand themselves to its `define`.
      const text = await this.#kernel.text(path);
      const plain = `(function (define, exports, module) {${text}\n}).call(globalThis);`;
      return URL.createObjectURL(new Blob([plain], { type }));
    }
    if (!path.startsWith('page/')) return URL.createObjectURL(new Blob([await this.#kernel.bytes(path)], { type }));
    const text = await this.#kernel.text(path);
    const wanted = [...text.matchAll(IMPORT)].map((found) => found[3]);
    const places = new Map();
    for (const one of wanted) places.set(one, await this.of(new URL(one, `https://page/${path}`).pathname.slice(1)));
    const linked = text.replace(IMPORT, (_, before, quote, one) => `${before}${quote}${places.get(one)}${quote}`);
    return URL.createObjectURL(new Blob([linked], { type }));
  }
}

export default {
  async render({ model, el }) {
    const kernel = new Kernel(model);
    const blobs = new Blobs(kernel);
    el.dataset.lmSuppressShortcuts = 'true'; // arrow keys and Space are for the page, not for JupyterLab
    const root = el.attachShadow({ mode: 'open' });
    const frame = document.createElement('div');
    frame.style.cssText = `max-height: ${model.get('height')}px; overflow: auto`;
    root.append(frame);
    let page;
    try {
      const style = document.createElement('style');
      style.textContent = await kernel.text('page/style.css');
      root.prepend(style);
      const name = model.get('page');
      const { useBackend, locateWith } = await import(await blobs.of('page/backends.js'));
      const { encode } = await import(await blobs.of('page/arrays.js'));
      const { mount } = await import(await blobs.of(`page/${name}/${name}.js`));
      locateWith((path) => blobs.of(path));
      page = mount(frame, {
        files: {
          bytes: (path) => kernel.bytes(`files/${path}`),
          json: async (path) => JSON.parse(await kernel.text(`files/${path}`)),
        },
        useBackend,
        handOver: async (value) => kernel.handOver(new TextEncoder().encode(JSON.stringify(await encode(value)))),
        base: null,
        theme: { true: 'light', false: 'dark' }[document.body.dataset.jpThemeLight] ?? null,
      });
    } catch (error) {
      frame.textContent = `The page could not be loaded: ${error.message}`;
    }
    return () => {
      page?.unmount();
      kernel.close();
      blobs.revoke();
    };
  },
};
