/** Which GPU a browser would compute on, and whether it is one: some browsers draw with the CPU and call it a GPU. */

// How programs that play a GPU on the CPU call themselves: Chromium's, Mesa's two, Windows' and macOS'.
const SOFTWARE = /swiftshader|llvmpipe|softpipe|basic render|software/i;

/**
 * @typedef {object} Gpu
 * @property {boolean} available
 * @property {string} name as the browser tells it; empty where it does not
 * @property {boolean} software whether the CPU plays the GPU
 * @property {string} reason why it is not available
 */

/** @returns {Gpu} what WebGL 2 would use */
export function describeWebgl() {
  const gl = document.createElement('canvas').getContext('webgl2');
  if (!gl) return absent('this browser offers no WebGL 2');
  const extension = gl.getExtension('WEBGL_debug_renderer_info');
  const name = gl.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  gl.getExtension('WEBGL_lose_context')?.loseContext(); // a browser keeps only some 16 at a time
  return { available: true, name, software: SOFTWARE.test(name), reason: '' };
}

/** @returns {Promise<Gpu>} what WebGPU would use */
export async function describeWebgpu() {
  if (!navigator.gpu) return absent('this browser offers no WebGPU');
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) return absent('no GPU for WebGPU');
  const { vendor = '', architecture = '', description = '', isFallbackAdapter = false } = adapter.info ?? {};
  const name = [vendor, architecture, description].filter(Boolean).join(' ');
  return { available: true, name, software: isFallbackAdapter || SOFTWARE.test(name), reason: '' };
}

function absent(reason) {
  return { available: false, name: '', software: false, reason };
}
