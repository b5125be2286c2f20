// TFLite files in a page: by LiteRT.js, and by tfjs-tflite, which must first be kept from answering zeros.
//
// Both take a file only with all shapes fixed. With an open batch LiteRT.js refuses to run, and tfjs-tflite hands out
// its buffer for the answer before it knows how large the answer is: zeros, and no error. So both loaders read what the
// file says about its shapes first. (labkit.browser.check_tflite does the same in Python.)

import { get, loadScript, useBackend } from './backends.js';

const LITERT = 'npm/@litertjs/core/wasm/';
const TFJS_TFLITE = 'npm/@tensorflow/tfjs-tflite/';
const MARK = 'TFL3'; // bytes 4 to 8 of every TFLite file: the identifier of its schema

/**
 * Throws unless a TFLite file states all shapes of its inputs and outputs.
 * @param {ArrayBuffer} buffer the file
 * @param {string} name what to call it in the error
 */
export function checkTflite(buffer, name = 'the file') {
  if (!isTflite(buffer)) throw new Error(`${name} is not a TFLite file: it does not say ${MARK} in its bytes 4 to 8`);
  for (const { kind, tensor, shape } of shapes(buffer)) {
    if (shape.includes(-1)) {
      throw new Error(
        `${name}: the ${kind} "${tensor}" has the shape [${shape}], where -1 is open. tfjs-tflite would answer zeros and ` +
        'LiteRT.js refuse to run. Write it anew with a fixed batch: labkit.browser.export_tflite(model, path, batch=1)',
      );
    }
  }
}

/**
 * Loads a TFLite file with tfjs-tflite; `model.predict(tensor)` as with a graph model.
 * @param {string} url relative to the page
 * @returns {Promise<object>} tfjs-tflite's TFLiteModel
 */
export async function loadTflite(url) {
  const buffer = await checked(url);
  if (!globalThis.tf) await useBackend('cpu'); // it needs tensors of TensorFlow.js, and computes itself
  await loadScript(`${TFJS_TFLITE}dist/tf-tflite.es2017.min.js`);
  const { tflite } = globalThis;
  tflite.setWasmPath(new URL(`${TFJS_TFLITE}wasm/`, document.baseURI).href);
  try {
    return await tflite.loadTFLiteModel(buffer, { numThreads: 1 }); // more need a page that is isolated from others
  } catch (error) {
    throw new Error(
      `${url} is not for tfjs-tflite, whose runtime of 2022 lacks newer ops and weights of 8 bits alone ` +
      `(quantize="dynamic"); take loadLiteRt, or another quantize. It says: ${error.message}`,
    );
  }
}

let runtime;

/**
 * Loads a TFLite file with LiteRT.js, to be asked by `predictLiteRt`.
 * @param {string} url relative to the page
 * @param {'wasm'|'webgpu'} accelerator what to compute on: the CPU, or the GPU by WebGPU
 * @returns {Promise<object>} LiteRT.js's CompiledModel; `model.delete()` frees its memory
 */
export async function loadLiteRt(url, accelerator = 'wasm') {
  if (!['wasm', 'webgpu'].includes(accelerator)) throw new Error(`no accelerator "${accelerator}"; there are wasm and webgpu`);
  if (accelerator === 'webgpu' && !(await navigator.gpu?.requestAdapter())) {
    throw new Error('accelerator webgpu: this browser has no WebGPU adapter; use "wasm"');
  }
  const buffer = await checked(url);
  const { loadLiteRt: start, loadAndCompile } = await import('@litertjs/core');
  runtime ??= start(new URL(LITERT, document.baseURI).href, { threads: false }); // it may be started only once
  await runtime;
  return loadAndCompile(new Uint8Array(buffer), { accelerator });
}

/**
 * Asks a model of LiteRT.js. Its tensors lie in memory that nobody collects: here they are freed.
 * @param {object} model what `loadLiteRt` returned
 * @param {Object<string, TypedArray|{data: TypedArray}>} inputs by name: as many numbers as the model's shape has
 * @returns {Promise<Object<string, {data: TypedArray, shape: number[]}>>} outputs by name
 */
export async function predictLiteRt(model, inputs) {
  const { Tensor } = await import('@litertjs/core');
  const given = {};
  let answers = {};
  try {
    for (const { name, shape } of model.getInputDetails()) given[name] = new Tensor(numbers(inputs, name, shape), [...shape]);
    answers = await model.run(given);
    const read = {};
    for (const { name, shape } of model.getOutputDetails()) {
      read[name] = { data: (await answers[name].data()).slice(), shape: [...shape] };
    }
    return read;
  } finally {
    for (const tensor of [...Object.values(given), ...Object.values(answers)]) tensor.delete();
  }
}

function numbers(inputs, name, shape) {
  const data = inputs[name]?.data ?? inputs[name];
  const size = shape.reduce((product, length) => product * length, 1);
  if (data?.length !== size) {
    throw new Error(`input "${name}" takes ${size} numbers, for the shape [${[...shape]}]; given were ${data?.length ?? 'none'}`);
  }
  return data;
}

async function checked(url) {
  const response = await get(url);
  if (!response.ok) throw new Error(`${url} could not be loaded: HTTP ${response.status}`);
  const buffer = await response.arrayBuffer();
  checkTflite(buffer, url);
  return buffer;
}

function isTflite(buffer) {
  return buffer.byteLength >= 8 && String.fromCharCode(...new Uint8Array(buffer, 4, 4)) === MARK;
}

// The numbers of the fields below are those of TFLite's schema (tensorflow/lite/schema/schema.fbs); the format is that of
// FlatBuffers: a table points back to a list of where its fields are, 0 for those that are not there.

/** Of each input and output of the main graph: its kind, its tensor's name, its shape with -1 for what is open. */
function shapes(buffer) {
  const view = new DataView(buffer);
  const follow = (at) => at + view.getUint32(at, true);
  const field = (table, number) => {
    const fields = table - view.getInt32(table, true);
    const where = 4 + 2 * number;
    const offset = where < view.getUint16(fields, true) ? view.getUint16(fields + where, true) : 0;
    return offset ? table + offset : 0;
  };
  const list = (at, read) => {
    const start = at ? follow(at) : 0;
    return Array.from({ length: start ? view.getUint32(start, true) : 0 }, (_, i) => read(start + 4 + 4 * i));
  };
  const integer = (at) => view.getInt32(at, true);
  const text = (at) => (at ? new TextDecoder().decode(new Uint8Array(buffer, follow(at) + 4, view.getUint32(follow(at), true))) : '');

  const [graph] = list(field(follow(0), 2), follow); // Model.subgraphs; the others are bodies of loops and branches
  const tensors = list(field(graph, 0), follow); // SubGraph.tensors
  const described = (kind) => (number) => {
    const open = list(field(tensors[number], 7), integer); // Tensor.shape_signature, there only when something is open
    const shape = open.length ? open : list(field(tensors[number], 0), integer); // Tensor.shape says 1 for that
    return { kind, tensor: text(field(tensors[number], 3)), shape }; // Tensor.name
  };
  return [
    ...list(field(graph, 1), integer).map(described('input')), // SubGraph.inputs
    ...list(field(graph, 2), integer).map(described('output')), // SubGraph.outputs
  ];
}
