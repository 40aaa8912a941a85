// Regions of a map: two corners of a box (of an interval in 1-D), or three and more of a polygon.

export function within(p, corners) { // even-odd rule; of two corners, their box
  if (corners.length === 2) return p.every((x, c) => c > 1 || (x >= Math.min(corners[0][c], corners[1][c]) && x <= Math.max(corners[0][c], corners[1][c])));
  let inside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [x0, y0] = corners[i], [x1, y1] = corners[j];
    if (y0 > p[1] !== y1 > p[1] && p[0] < (x1 - x0) * (p[1] - y0) / (y1 - y0) + x0) inside = !inside;
  }
  return inside;
}

export const outline = ([a, b]) => (a.length === 1 ? [a, b] : [a, [b[0], a[1], ...a.slice(2)], b, [a[0], b[1], ...a.slice(2)]]);

const boundsOf = (corners) => [Math.min, Math.max].map((extreme) => [0, 1].map((c) => extreme(...corners.map((p) => p[c] ?? 0))));

export function isNothing(corners) {
  const [low, high] = boundsOf(corners);
  return high[0] - low[0] < 1e-3 && high[1] - low[1] < 1e-3;
}

// Places of a sheet of a region, row by row from the top; null for one that is not in it. A 1-D map's run on from row to row.
export function gridIn(corners, rows, columns, depth) {
  const [low, high] = boundsOf(corners), dim = corners[0].length, places = [];
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    const x = dim === 1 ? (r * columns + c) / (rows * columns - 1) : (c + 0.5) / columns, y = (r + 0.5) / rows;
    const p = [low[0] + x * (high[0] - low[0]), high[1] - y * (high[1] - low[1]), depth].slice(0, dim);
    places.push(corners.length === 2 || within(p, corners) ? p : null);
  }
  return places;
}
