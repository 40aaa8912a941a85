// Regions of a map: two corners of a box (of an interval in 1-D, of any depth in 3-D), or three and more of a polygon.

import { planeAxes } from "./projection.js";

export const ordered = ([a, b]) => [a.map((x, i) => Math.min(x, b[i])), a.map((x, i) => Math.max(x, b[i]))];

export function inPolygon(p, corners) { // even-odd rule
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [x0, y0] = corners[i], [x1, y1] = corners[j];
    if (y0 > p[1] !== y1 > p[1] && p[0] < (x1 - x0) * (p[1] - y0) / (y1 - y0) + x0) inside = !inside;
  }
  return inside;
}

export function codesIn(corners, { dim, points, count }, kinds, hidden, plane) { // those that are shown
  const found = [], p = Array(dim), [low, high] = corners.length === 2 ? ordered(corners) : [null, null];
  const across = low && (dim === 3 ? planeAxes(plane) : low.map((_, c) => c));
  for (let i = 0; i < count; i++) {
    if (kinds[i] === hidden) continue;
    for (let c = 0; c < dim; c++) p[c] = points[i * dim + c];
    if (low ? across.every((c) => p[c] >= low[c] && p[c] <= high[c]) : inPolygon(p, corners)) found.push(i);
  }
  return found;
}

export function outline([a, b], plane) { // the corners of a box, for drawing
  if (a.length === 1) return [a, b];
  const [i, j] = a.length === 3 ? planeAxes(plane) : [0, 1], at = (x, y) => { const p = [...a]; p[i] = x; p[j] = y; return p; };
  return [a, at(b[i], a[j]), at(b[i], b[j]), at(a[i], b[j])];
}

export function isNothing(corners) {
  return corners[0].every((_, c) => { const xs = corners.map((p) => p[c]); return Math.max(...xs) - Math.min(...xs) < 1e-3; });
}

// Places of a sheet of a region, row by row from the top; null for one that is not in it. A 1-D map's run on from row to row.
export function gridIn(corners, rows, columns, plane) {
  const dim = corners[0].length, [i, j] = dim === 3 ? planeAxes(plane) : [0, 1], places = [];
  const span = (c) => { const xs = corners.map((p) => p[c]); return [Math.min(...xs), Math.max(...xs)]; };
  const [left, right] = span(i), [bottom, top] = dim === 1 ? [0, 0] : span(j);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    const x = dim === 1 ? (r * columns + c) / (rows * columns - 1) : (c + 0.5) / columns, p = [...corners[0]];
    p[i] = left + x * (right - left);
    if (dim > 1) p[j] = top - (r + 0.5) / rows * (top - bottom);
    places.push(corners.length === 2 || inPolygon(p, corners) ? p : null);
  }
  return places;
}

export function nearestFew(point, most, { dim, points, count }, kinds, hidden) { // [code, squared distance], the nearest first
  const found = [];
  let farthest = Infinity;
  for (let i = 0; i < count; i++) {
    let far = 0;
    for (let c = 0; c < dim; c++) far += (points[i * dim + c] - point[c]) ** 2;
    if (far >= farthest || kinds[i] === hidden) continue;
    let at = found.length;
    while (at && found[at - 1][1] > far) at--;
    found.splice(at, 0, [i, far]);
    if (found.length > most) found.pop();
    if (found.length === most) farthest = found[most - 1][1];
  }
  return found;
}
