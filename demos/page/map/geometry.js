// From the map to the canvas's pixels and back, in 1, 2 and 3 dimensions; zoom, pan and turn.

import { refreshArrows } from "./arrows.js";
import { EMPTY_VIEW, S, clamp, dim } from "./core.js";
import { redraw } from "./drawing.js";
import { refreshGround } from "./ground.js";
import { refreshLine, refreshThumbs } from "./layers.js";

export const box = { w: 1, h: 1 };
export const unit = () => ({ 1: box.w / 2.12, 2: Math.min(box.w, box.h) / 2.12, 3: Math.min(box.w, box.h) / 3.25 })[dim()] * S.view.zoom;

function rotation() { // the three rows of the view of a cube
  const { yaw, pitch } = S.view, a = Math.cos(yaw), b = Math.sin(yaw), c = Math.cos(pitch), d = Math.sin(pitch);
  return [[a, 0, b], [b * d, c, -a * d], [-b * c, d, a * c]];
}

export function projector() { // a function from a map position to [x, y, depth] on the canvas
  const u = unit(), { cx, cy } = S.view, x0 = box.w / 2 - cx * u, y0 = box.h / 2 + cy * u;
  if (dim() === 1) return (p) => [x0 + p[0] * u, box.h / 2, 0];
  if (dim() === 2) return (p) => [x0 + p[0] * u, y0 - p[1] * u, 0];
  const [r, s, t] = rotation();
  return (p) => [x0 + (r[0] * p[0] + r[1] * p[1] + r[2] * p[2]) * u, y0 - (s[0] * p[0] + s[1] * p[1] + s[2] * p[2]) * u, t[0] * p[0] + t[1] * p[1] + t[2] * p[2]];
}

export function lift(px, py) { // canvas pixels -> map position (3-D: on the picking plane)
  const u = unit(), x = (px - box.w / 2) / u + S.view.cx, y = S.view.cy - (py - box.h / 2) / u;
  if (dim() === 1) return [clamp(x)];
  if (dim() === 2) return [clamp(x), clamp(y)];
  const { axis, depth } = S.plane, [i, j] = planeAxes(), [r, s] = rotation();
  const det = r[i] * s[j] - r[j] * s[i], X = x - r[axis] * depth, Y = y - s[axis] * depth;
  if (Math.abs(det) < 0.06) return S.cursor || onPlane(0, 0); // the plane is seen edge-on
  return onPlane(clamp((X * s[j] - Y * r[j]) / det), clamp((Y * r[i] - X * s[i]) / det));
}

export const planeAxes = () => [0, 1, 2].filter((k) => k !== S.plane.axis);

export function onPlane(a, b) {
  const p = [0, 0, 0], [i, j] = planeAxes();
  p[S.plane.axis] = S.plane.depth; p[i] = a; p[j] = b;
  return p;
}

export function outline(a, b) { // the corners of the box between two positions, for drawing
  if (dim() === 3) { const [i, j] = planeAxes(); return [[a[i], a[j]], [b[i], a[j]], [b[i], b[j]], [a[i], b[j]]].map((c) => { const p = [...a]; p[i] = c[0]; p[j] = c[1]; return p; }); }
  return dim() === 2 ? [a, [b[0], a[1]], b, [a[0], b[1]]] : [a, b];
}

export function zoomAt(px, py, factor) {
  const before = unit(), old = S.view.zoom;
  S.view.zoom = clamp(old * factor, dim() === 3 ? 0.6 : 1, 80);
  const after = before * S.view.zoom / old, k = 1 / before - 1 / after;
  panBy((px - box.w / 2) * k, -(py - box.h / 2) * k);
}

export function panBy(dx, dy) { // in map units
  S.view.cx = clamp(S.view.cx + dx); S.view.cy = dim() === 1 ? 0 : clamp(S.view.cy + dy);
  redraw(true); refreshThumbs(); refreshLine(); refreshArrows(); refreshGround();
}

export function turnBy(dx, dy) {
  S.view.yaw += dx * 0.008; S.view.pitch = clamp(S.view.pitch + dy * 0.008, -1.5, 1.5);
  redraw(true); refreshThumbs();
}

export function fit() { S.view = { ...EMPTY_VIEW }; panBy(0, 0); }
