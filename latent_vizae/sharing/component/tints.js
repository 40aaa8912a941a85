// What colours the codes: words, each a class of the legend, or numbers along a ramp.
//
// A tint is {key, name, ranks, names, keys} of words, whose ranks say which one each code has, or {key, name, values, low, high,
// cut, missing} of numbers. Without one (null) all codes have one colour.

import { clamp } from "./basics.js";

const LIGHT = ["#046ab2", "#fa8b01", "#257805", "#a42778", "#9d62fe", "#df3661", "#5d3905", "#090ef1", "#d58da8", "#919fff", "#650362", "#400da9"];
const DARK = ["#5b8fd0", "#f89c1a", "#76c984", "#c0808e", "#ab6ff5", "#4de6fb", "#a78005", "#e1e01d", "#9ea7eb", "#08aaa3", "#3dfba9", "#b43cf5"];
const HEAT = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]]; // cividis
const SHADES = 64;
export const MISSING = "no label";
export const HIDDEN = 0xffffffff;

export function shade(t) { // red, green and blue of a number from 0 to 1
  const at = t * (HEAT.length - 1), i = Math.min(HEAT.length - 2, Math.floor(at)), f = at - i;
  return HEAT[i].map((low, c) => low + (HEAT[i + 1][c] - low) * f);
}

export function ramp(key, name, values) { // from the least to the largest; of long tails from 1 % to 99 %
  const sorted = values.filter((x) => !Number.isNaN(x)).sort(), n = sorted.length, at = (share) => sorted[Math.round(share * (n - 1))];
  if (!n) return { key, name, values, low: 0, high: 0, cut: false, missing: values.length };
  const cut = at(0.99) - at(0.01) < 0.5 * (sorted[n - 1] - sorted[0]) && at(0.99) > at(0.01);
  return { key, name, values, low: cut ? at(0.01) : sorted[0], high: cut ? at(0.99) : sorted[n - 1], cut, missing: values.length - n };
}

export function swatchesOf(tint, dark) { // the colours of a tint
  const palette = dark ? DARK : LIGHT, grey = dark ? "#7d828b" : "#9a9ea6", kept = dark ? "dark" : "light";
  if (!tint) return [palette[0]];
  if (!tint[kept]) {
    const ramped = () => Array.from({ length: SHADES }, (_, s) => shade(dark ? 0.18 + 0.82 * s / (SHADES - 1) : 0.86 * s / (SHADES - 1)));
    tint[kept] = tint.ranks ? tint.names.map((name, i) => (name === MISSING ? grey : palette[i % palette.length]))
      : [...ramped().map((rgb) => "#" + rgb.map((c) => Math.round(c).toString(16).padStart(2, "0")).join("")), grey];
  }
  return tint[kept];
}

export function rampStyle(tint, dark) { // the background of the scale of numbers
  return "linear-gradient(90deg, " + swatchesOf(tint, dark).slice(0, SHADES).filter((_, i) => i % 7 === 0).join(", ") + ")";
}

export function swatchOf(tint, i) { // which of the colours a code has
  if (!tint) return 0;
  if (tint.ranks) return tint.ranks[i];
  const t = (tint.values[i] - tint.low) / (tint.high - tint.low || 1);
  return Number.isNaN(t) ? SHADES : Math.round(clamp(t, 0, 1) * (SHADES - 1));
}

export function kindsOf(tint, hidden, count) { // of all codes, HIDDEN where its word is among the hidden ranks
  const gone = tint?.ranks && hidden.size ? Uint8Array.from(tint.names, (_, rank) => hidden.has(rank)) : null;
  return Uint32Array.from({ length: count }, (_, i) => (gone && gone[tint.ranks[i]] ? HIDDEN : swatchOf(tint, i)));
}

export function isolated(hidden, rank, kinds) { // that one alone, or all where it is alone already
  const others = Array.from({ length: kinds }, (_, i) => i).filter((i) => i !== rank);
  return new Set(!hidden.has(rank) && others.every((i) => hidden.has(i)) ? [] : others);
}
