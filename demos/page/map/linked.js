// Maps of the same codes on one page have one pointer: the code nearest to it is shown on each.

import { rowOf } from "./colours.js";
import { S, dim } from "./core.js";
import { look } from "./live.js";
import { nearest } from "./neighbours.js";
import { play } from "./samples.js";

const LINK = "latent-map-code";

export function tellOthers(point) {
  const group = S.value?.linked, i = group ? nearest(point) : -1;
  if (i >= 0) window.dispatchEvent(new CustomEvent(LINK, { detail: { from: element, group, row: rowOf(i) } }));
}

function indexOf(row) { // of a code among those that are drawn, -1 where it is not
  if (!S.rows) return row < S.count ? row : -1;
  let low = 0, high = S.rows.length - 1; // they ascend
  while (low < high) { const middle = (low + high) >> 1; if (S.rows[middle] < row) low = middle + 1; else high = middle; }
  return S.rows[low] === row ? low : -1;
}

function followOther({ detail }) {
  if (!element.isConnected) return window.removeEventListener(LINK, followOther);
  if (!S.map || detail.from === element || detail.group !== S.value?.linked) return;
  const i = indexOf(detail.row), d = dim();
  if (i < 0) return;
  play(false);
  look(Array.from(S.points.subarray(i * d, i * d + d)), performance.now(), true);
}
window.addEventListener(LINK, followOther);
