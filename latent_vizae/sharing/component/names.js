// Words on the map: a group's where its codes lie densest, one of a single code, such as a prompt, at its point.

import { brief } from "./basics.js";

const MOST_NAMES = 60, CELLS = { 2: 40, 3: 14 };

const namePlaces = (tint, cloud) => (tint.places ??= tint.names.length > MOST_NAMES ? codePlaces(tint, cloud) : groupPlaces(tint, cloud));

function codePlaces(tint, { dim: d, points, count }) { // [rank, count, place] of each of many words, the most frequent first: where its first code is; numbers stay off
  if (tint.names.every((name) => /^-?\d+$/.test(name))) return [];
  const found = new Map();
  for (let i = 0; i < count; i++) {
    const rank = tint.ranks[i], known = found.get(rank);
    if (known) known[1]++; else found.set(rank, [rank, 1, Array.from(points.subarray(i * d, (i + 1) * d))]);
  }
  return [...found.values()].sort((a, b) => b[1] - a[1]);
}

function groupPlaces(tint, { dim: d, points, count }) { // the same of few words: the middle of where a word's codes lie densest
  const side = CELLS[d], kinds = tint.names.length, counts = new Uint32Array(kinds * side ** d), sizes = new Uint32Array(kinds);
  const cell = (i) => { let at = 0; for (let c = 0; c < d; c++) at = at * side + Math.min(side - 1, Math.max(0, Math.floor((points[i * d + c] + 1) / 2 * side))); return at; };
  for (let i = 0; i < count; i++) { counts[tint.ranks[i] * side ** d + cell(i)]++; sizes[tint.ranks[i]]++; }
  const best = Array.from({ length: kinds }, (_, kind) => densest(counts.subarray(kind * side ** d, (kind + 1) * side ** d), side, d));
  const sums = best.map(() => new Float64Array(d + 1));
  for (let i = 0; i < count; i++) {
    const kind = tint.ranks[i];
    if (!best[kind].has(cell(i))) continue;
    for (let c = 0; c < d; c++) sums[kind][c] += points[i * d + c];
    sums[kind][d]++;
  }
  return sums.map((sum, kind) => [kind, sizes[kind], Array.from(sum.subarray(0, d), (x) => x / sum[d])]).filter(([, size]) => size).sort((a, b) => b[1] - a[1]);
}

function densest(counts, side, d) { // the block of 3 cells a side that holds most
  let most = -1, found = new Set();
  for (let at = 0; at < counts.length; at++) {
    if (!counts[at]) continue;
    const block = around(at, side, d), sum = block.reduce((total, cell) => total + counts[cell], 0) + counts[at];
    if (sum > most) { most = sum; found = new Set(block); }
  }
  return found;
}

function around(at, side, d) {
  let cells = [0];
  for (let c = d - 1, scale = 1; c >= 0; c--, scale *= side) {
    const own = Math.floor(at / scale) % side;
    cells = cells.flatMap((cell) => [own - 1, own, own + 1].filter((k) => k >= 0 && k < side).map((k) => cell + k * scale));
  }
  return cells;
}

export function drawNames(ctx, theme, cloud, tint, hidden, box, to) {
  if (!tint?.ranks || cloud.dim === 1) return;
  const size = tint.names.length > 12 ? 13 : 16, taken = [];
  ctx.font = "600 " + size + "px system-ui, sans-serif"; ctx.textAlign = "center"; ctx.textBaseline = "middle"; ctx.lineJoin = "round";
  for (const [rank, , place] of namePlaces(tint, cloud)) {
    if (hidden.has(rank)) continue;
    let [x, y] = to(place);
    if (x < 0 || y < 0 || x > box.w || y > box.h) continue;
    if (taken.length === MOST_NAMES) break;
    const words = brief(tint.names[rank]), w = ctx.measureText(words).width / 2 + 3, h = size / 2 + 2;
    x = Math.min(box.w - w, Math.max(w, x)); y = Math.min(box.h - h, Math.max(h, y)); // whole, at the border too
    if (taken.some((t) => Math.abs(t.x - x) < t.w + w && Math.abs(t.y - y) < t.h + h)) continue;
    taken.push({ x, y, w, h });
    ctx.strokeStyle = theme.paper; ctx.lineWidth = 4; ctx.globalAlpha = 0.9; ctx.strokeText(words, x, y); ctx.globalAlpha = 1;
    ctx.fillStyle = theme.ink; ctx.fillText(words, x, y);
  }
}
