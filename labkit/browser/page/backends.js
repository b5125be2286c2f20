// TensorFlow.js with the backend that was asked for, or an error: where it is missing, `tf.setBackend` only returns false.

/** The names that `useBackend` takes, and what each runs on. */
export const BACKENDS = {
  cpu: 'plain JavaScript',
  wasm: 'WebAssembly on the CPU',
  webgl: 'the GPU by WebGL',
  webgpu: 'the GPU by WebGPU',
};

const scripts = new Map();
let locate = (path) => new URL(path, document.baseURI).href;

/** In a page without a server: `place(path)` gives, or promises, the address of what a server would have under `path`. */
export function locateWith(place) {
  locate = place;
}

/**
 * `fetch` of a file, once more if it fails: Chromium drops what waits for a connection, to this machine too, when a
 * network comes or goes (Wi-Fi, VPN, Docker).
 * @param {string} url
 * @returns {Promise<Response>} also one that says that there is no such file
 */
export const get = (url) => fetch(url).catch(() => fetch(url));

/** Loads a classic script once, by its path relative to the page; rejects when it cannot be had. */
export async function loadScript(url) {
  const address = await locate(url);
  if (!scripts.has(url)) {
    scripts.set(url, add(address).catch(() => add(address)).catch(() => {
      scripts.delete(url);
      throw new Error(`${url} could not be loaded`);
    }));
  }
  return scripts.get(url);
}

function add(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = address;
    script.onload = () => resolve();
    script.onerror = reject;
    document.head.append(script);
  });
}

/**
 * Loads what a backend needs, sets it, and makes sure that it was set.
 * @param {string} name one of `BACKENDS`
 * @returns {Promise<object>} TensorFlow.js, ready
 */
export async function useBackend(name) {
  if (!(name in BACKENDS)) throw new Error(`no backend "${name}"; there are ${Object.keys(BACKENDS).join(', ')}`);
  // Not tf.min.js: that one evaluates text as code, which the page's policy forbids.
  await loadScript('npm/@tensorflow/tfjs/dist/tf.es2017.min.js');
  const tf = globalThis.tf;
  if (name === 'wasm') {
    await loadScript('npm/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.es2017.min.js');
    await setWasmPaths(tf);
  }
  if (name === 'webgpu') {
    if (!(await navigator.gpu?.requestAdapter())) throw new Error('backend webgpu: this browser has no WebGPU adapter');
    await loadScript('npm/@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.es2017.min.js');
  }
  let set = false;
  try {
    set = await tf.setBackend(name);
    await tf.ready();
  } catch (error) {
    throw new Error(`backend ${name} is not available here: ${error.message}`);
  }
  if (!set || tf.getBackend() !== name) throw new Error(`backend ${name} is not available here; it is still ${tf.getBackend()}`);
  return tf;
}

/** Tells TensorFlow.js where its .wasm files are; which of them it takes is the browser's affair. */
async function setWasmPaths(tf) {
  const files = ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm'];
  const [plain, simd] = await Promise.all(files.map((file) => locate(`npm/@tensorflow/tfjs-backend-wasm/dist/${file}`)));
  // A page without isolation headers has no threads: the third file has to be named, and is never asked for.
  tf.wasm.setWasmPaths({ [files[0]]: plain, [files[1]]: simd, 'tfjs-backend-wasm-threaded-simd.wasm': simd });
}
