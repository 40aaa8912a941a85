// Between positions of a map and pixels of its canvas, in 1, 2 and 3 dimensions.

import { clamp } from "./basics.js";

export const EMPTY_VIEW = { cx: 0, cy: 0, zoom: 1, yaw: -0.6, pitch: 0.45 };

export const planeAxes = ({ axis }) => [0, 1, 2].filter((k) => k !== axis);

export function onPlane(plane, a, b) { // a position on the plane across one axis of a 3-D map
  const p = [0, 0, 0], [i, j] = planeAxes(plane);
  p[plane.axis] = plane.depth; p[i] = a; p[j] = b;
  return p;
}

function rotation({ yaw, pitch }) { // the three rows of the view of a cube
  const a = Math.cos(yaw), b = Math.sin(yaw), c = Math.cos(pitch), d = Math.sin(pitch);
  return [[a, 0, b], [b * d, c, -a * d], [-b * c, d, a * c]];
}

// `view`: {cx, cy, zoom, yaw, pitch}, in map units and radians; `plane`: {axis, depth} of a 3-D map, on which positions are picked.
// It gives {unit, x0, y0, to, from}: pixels of a map unit and of the middle; `to(p)` is [x, y, depth], larger the nearer;
// `from(x, y)` a position inside the map, or null where the plane is seen from its edge.
export function projection(box, dim, view, plane) {
  const unit = { 1: box.w / 2.12, 2: Math.min(box.w, box.h) / 2.12, 3: Math.min(box.w, box.h) / 3.25 }[dim] * view.zoom;
  const x0 = box.w / 2 - view.cx * unit, y0 = box.h / 2 + view.cy * unit, here = { unit, x0, y0 };
  if (dim === 1) return { ...here, to: (p) => [x0 + p[0] * unit, box.h / 2, 0], from: (x) => [clamp((x - x0) / unit)] };
  if (dim === 2) return { ...here, to: (p) => [x0 + p[0] * unit, y0 - p[1] * unit, 0], from: (x, y) => [clamp((x - x0) / unit), clamp((y0 - y) / unit)] };
  const [r, s, t] = rotation(view), along = (row, p) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2];
  return {
    ...here, to: (p) => [x0 + along(r, p) * unit, y0 - along(s, p) * unit, along(t, p)],
    from(x, y) {
      const [i, j] = planeAxes(plane), { axis, depth } = plane, det = r[i] * s[j] - r[j] * s[i];
      if (Math.abs(det) < 0.06) return null;
      const X = (x - x0) / unit - r[axis] * depth, Y = (y0 - y) / unit - s[axis] * depth;
      return onPlane(plane, clamp((X * s[j] - Y * r[j]) / det), clamp((Y * r[i] - X * s[i]) / det));
    },
  };
}

export function affine(to, dim, ratio = 1) { // of a projection, which four of its values tell: [middle, [of each axis]]
  const scaled = (p) => to(p).map((x, k) => (k < 2 ? x * ratio : x)), origin = scaled(Array(dim).fill(0));
  const axes = Array.from({ length: dim }, (_, c) => scaled(Array.from({ length: dim }, (_, k) => Number(k === c))).map((x, k) => x - origin[k]));
  return [origin, axes];
}

// The view after a zoom about a pixel: the position beneath it stays.
export function zoomed(box, at, view, x, y, factor, least, most) {
  const zoom = clamp(view.zoom * factor, least, most), k = 1 / at.unit - view.zoom / (at.unit * zoom);
  return { ...view, zoom, cx: clamp(view.cx + (x - box.w / 2) * k), cy: clamp(view.cy - (y - box.h / 2) * k) };
}

// The view in which codes are seen whole; null where there are none.
export function viewOf(view, { dim, points }, rows) {
  if (!rows.length || dim === 3) return null;
  const low = [1, 1], high = [-1, -1];
  for (const i of rows) for (let c = 0; c < dim; c++) { const x = points[i * dim + c]; low[c] = Math.min(low[c], x); high[c] = Math.max(high[c], x); }
  if (dim === 1) low[1] = high[1] = 0;
  const spread = Math.max(high[0] - low[0], high[1] - low[1]);
  return { ...view, cx: (low[0] + high[0]) / 2, cy: (low[1] + high[1]) / 2, zoom: clamp(1.6 / Math.max(spread, 0.05), 1, 20) };
}
