// Arrays in JSON, as labkit/browser/arrays.py writes and reads them: {"$array": dtype, "shape": [...], "base64": "..."}.

const TYPES = {
  float32: Float32Array, float64: Float64Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array,
};
const CHUNK = 0x8000; // arguments of one call; engines allow some ten thousand

/** Turns a parsed JSON value into one whose arrays are `{data: TypedArray, shape: number[]}`. */
export function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value === null || typeof value !== 'object') return value;
  if ('$number' in value) return Number(value.$number);
  if ('$array' in value) {
    const bytes = Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
    return { data: new TYPES[value.$array](bytes.buffer), shape: value.shape };
  }
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, decode(inner)]));
}

/** Turns a value into one that JSON can carry: tensors (read, not disposed), typed arrays and buffers become arrays. */
export async function encode(value) {
  if (typeof value === 'number' && !Number.isFinite(value)) return { $number: String(value) }; // JSON has null for them
  if (value === null || typeof value !== 'object') return value;
  if (isTensor(value)) {
    const data = await value.data();
    return packed(data, value.shape, value.dtype === 'bool' ? 'bool' : undefined);
  }
  if (value instanceof ArrayBuffer) return packed(new Uint8Array(value), [value.byteLength]);
  if (ArrayBuffer.isView(value)) return packed(value, [value.length]);
  if (Array.isArray(value)) return Promise.all(value.map(encode));
  if (value instanceof Map || value instanceof Set || value instanceof Date) {
    throw new TypeError(`a ${value.constructor.name} cannot be sent; make it an array, an object or a text`);
  }
  const pairs = Object.entries(value).map(async ([name, inner]) => [name, await encode(inner)]);
  return Object.fromEntries(await Promise.all(pairs));
}

function isTensor(value) {
  return typeof value.data === 'function' && Array.isArray(value.shape) && typeof value.dtype === 'string';
}

function packed(data, shape, dtype) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let letters = '';
  for (let start = 0; start < bytes.length; start += CHUNK) {
    letters += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  const name = Object.keys(TYPES).find((key) => data instanceof TYPES[key]);
  if (!name) throw new TypeError(`${data.constructor.name} cannot be sent; use a Float32Array, an Int32Array or a Uint8Array`);
  return { $array: dtype ?? name, shape, base64: btoa(letters) };
}
