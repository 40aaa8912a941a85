// A map as Python describes it (`described` of static_file.py), for `mountMap`.

import { bytes } from "./basics.js";
import { ramp } from "./tints.js";

const array = (base64, Kind) => (base64 === null ? null : new Kind(bytes(base64).buffer));

function tintOf({ key, name, words, values }) {
  return words ? { key, name, ranks: array(values, Uint16Array), names: words, keys: words } : ramp(key, name, array(values, Float32Array));
}

export function mapOf(given) {
  return { ...given, tints: given.tints.map(tintOf), rows: array(given.rows, Uint32Array), points: Float32Array.from(array(given.points, Int16Array), (x) => x / 32767) };
}
