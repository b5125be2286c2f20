/** Bytes in words: 12 kB, 3.4 MB. */
export function size(bytes) {
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
