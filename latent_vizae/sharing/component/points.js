// The codes as points: round ones where few are in view; of very many one image, written pixel by pixel.
//
// `cloud`: {dim, points, count}; `marks`: {kinds: of each code an index into `swatches`, or HIDDEN; swatches: colours; mask: 1 for
// each code that is selected, or null; lanes: of a 1-D map; solid: of a code of a 3-D map, 0 to 1; rim: whether points have one}.

import { clamp } from "./basics.js";
import { affine } from "./projection.js";
import { HIDDEN } from "./tints.js";

const MANY = 20000;
let inView = new Uint32Array(0), placesInView = new Float32Array(0); // which codes are in view, and their x, y and depth

function gather(cloud, kinds, box, to, margin) { // fills them; the projection is affine, so four of its values tell all
  const { dim: d, count: n, points } = cloud, [[x0, y0, z0], [a, b = [0, 0, 0], c = [0, 0, 0]]] = affine(to, d);
  if (inView.length < n) { inView = new Uint32Array(n); placesInView = new Float32Array(3 * n); }
  let found = 0;
  for (let i = 0; i < n; i++) {
    if (kinds[i] === HIDDEN) continue;
    const p = points[i * d], r = d > 1 ? points[i * d + 1] : 0, s = d > 2 ? points[i * d + 2] : 0;
    const x = x0 + a[0] * p + b[0] * r + c[0] * s, y = y0 + a[1] * p + b[1] * r + c[1] * s;
    if (x < -margin || y < -margin || x > box.w + margin || y > box.h + margin) continue;
    inView[found] = i; placesInView[3 * found] = x; placesInView[3 * found + 1] = y; placesInView[3 * found + 2] = z0 + a[2] * p + b[2] * r + c[2] * s;
    found++;
  }
  return found;
}

// [index, x, y, depth] of the codes in view, far ones first in 3-D.
export function* visible(cloud, kinds, box, to, margin = 4, most = Infinity) {
  const found = gather(cloud, kinds, box, to, margin), step = Math.max(1, Math.ceil(found / most));
  const order = cloud.dim === 3 && step === 1 ? Uint32Array.from({ length: found }, (_, m) => m).sort((m, k) => placesInView[3 * m + 2] - placesInView[3 * k + 2]) : null;
  const shown = inView.slice(0, found), places = placesInView.slice(0, 3 * found); // what is asked meanwhile fills the others
  for (let m = 0; m < found; m += step) { const k = order ? order[m] : m; yield [shown[k], places[3 * k], places[3 * k + 1], places[3 * k + 2]]; }
}

function dot(fill, radius, rim) { // a round point drawn once and stamped
  const ratio = window.devicePixelRatio || 1, side = Math.ceil((radius + 1.5) * 2 * ratio), stamp = document.createElement("canvas");
  stamp.width = stamp.height = side;
  const ctx = stamp.getContext("2d");
  ctx.beginPath(); ctx.arc(side / 2, side / 2, radius * ratio, 0, 7);
  if (rim) { ctx.strokeStyle = rim; ctx.lineWidth = Math.min(1.5, 0.7 * radius) * ratio; ctx.stroke(); }
  ctx.fillStyle = fill; ctx.fill();
  return stamp;
}

export function drawPoints(ctx, theme, cloud, marks, box, to, zoom) {
  const { dim, count } = cloud, { kinds, swatches, mask, rim, solid } = marks;
  if (count > MANY && drawMany(ctx, cloud, marks, box, to) > MANY) return;
  const found = gather(cloud, kinds, box, to, 4), ratio = window.devicePixelRatio || 1;
  const crowd = Math.sqrt(count > MANY ? found : count) / (count > MANY ? 1 : zoom), radius = clamp(box.w / (crowd * (rim ? 7 : 5.5)), 1.1, 5.5);
  const stamps = new Map(), later = [];
  const stamp = (i, x, y, z) => {
    const fill = swatches[kinds[i]];
    if (!stamps.has(fill)) stamps.set(fill, dot(fill, radius, (radius > 2.4 || rim) && theme.paper));
    const picture = stamps.get(fill), scale = dim === 3 ? 0.85 + 0.25 * z : 1, side = picture.width / ratio * scale;
    ctx.globalAlpha = (dim === 3 ? solid(i) : 0.9) * (mask && !mask[i] ? 0.16 : 1);
    ctx.drawImage(picture, x - side / 2, y - side / 2, side, side);
  };
  for (const [i, x, y, z] of visible(cloud, kinds, box, to)) if (mask?.[i]) later.push([i, x, y, z]); else stamp(i, x, y, z);
  for (const one of later) stamp(...one); // what is selected lies on top
  ctx.globalAlpha = 1;
}

const many = document.createElement("canvas");

function inksOf(marks) { // the colour of each code as a pixel, 0 where it is hidden; kept with its marks
  const { kinds, swatches } = marks, key = swatches.join();
  if (kinds.inked !== key) {
    const shades = Uint32Array.from(swatches, (hex) => { const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)); return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0; });
    kinds.inked = key; kinds.inks = Uint32Array.from(kinds, (kind) => (kind === HIDDEN ? 0 : shades[kind]));
  }
  return kinds.inks;
}

function drawMany(ctx, cloud, marks, box, to) { // into one image, in one pass; how many are in view: of few it draws none
  const { dim: d, count: n, points } = cloud, ratio = window.devicePixelRatio || 1, of = inksOf(marks), { mask } = marks;
  const [[x0, y0, z0], [a, b = [0, 0, 0], c = [0, 0, 0]]] = affine(to, d, ratio), w = Math.max(1, Math.round(box.w * ratio)), h = Math.max(1, Math.round(box.h * ratio));
  const xOf = (k) => x0 + a[0] * points[k] + b[0] * points[k + 1] + (d > 2 ? c[0] * points[k + 2] : 0), yOf = (k) => y0 + a[1] * points[k] + b[1] * points[k + 1] + (d > 2 ? c[1] * points[k + 2] : 0);
  let found = 0;
  for (let i = 0; i < n; i += 16) { const x = xOf(i * d), y = yOf(i * d); if (of[i] && x >= 0 && y >= 0 && x < w && y < h) found += 16; } // about
  if (found <= MANY) return found;
  const image = new ImageData(w, h), pixels = new Uint32Array(image.data.buffer), nearer = d === 3 ? new Float32Array(w * h).fill(-9) : null;
  const side = Math.max(1, Math.round(clamp(box.w / Math.sqrt(found) / 2.2, 1, 3) * ratio)), half = (side - 1) / 2;
  for (let pass = mask ? 0 : 1; pass < 2; pass++) for (let i = 0, k = 0; i < n; i++, k += d) { // what is selected lies on top
    let ink = of[i];
    if (ink === 0 || (mask && mask[i] !== pass)) continue;
    const x = (xOf(k) - half) | 0, y = (yOf(k) - half) | 0;
    if (x < 0 || y < 0 || x + side > w || y + side > h) continue;
    if (pass === 0) ink = (ink & 0xffffff) | (44 << 24);
    const z = nearer ? z0 + a[2] * points[k] + b[2] * points[k + 1] + c[2] * points[k + 2] : 0;
    for (let row = y * w + x, last = row + side * w; row < last; row += w) for (let at = row; at < row + side; at++) {
      if (nearer) { if (z < nearer[at]) continue; nearer[at] = z; }
      pixels[at] = ink;
    }
  }
  if (many.width !== w || many.height !== h) { many.width = w; many.height = h; }
  many.getContext("2d").putImageData(image, 0, 0);
  ctx.drawImage(many, 0, 0, box.w, box.h);
  return found;
}

export function drawRug(ctx, cloud, marks, box, to) { // of a 1-D map: one lane for each word, as ticks about the line
  const { kinds, swatches, mask, lanes } = marks, reach = box.h * 0.8, height = Math.max(4, reach / lanes);
  for (const [i, x] of visible(cloud, kinds, box, to, 4, 2 * MANY)) {
    ctx.globalAlpha = mask && !mask[i] ? 0.12 : 0.75; ctx.fillStyle = swatches[kinds[i]];
    ctx.fillRect(x - 0.7, box.h / 2 - reach / 2 + (lanes > 1 ? kinds[i] : 0) * height + 1, 1.4, height - 2);
  }
  ctx.globalAlpha = 1;
}
