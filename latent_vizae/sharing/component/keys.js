// Keys on the canvas of a map, the same on every one: arrows move a position (finely with Shift, on the plane of a 3-D map), + and −
// zoom about it, 0 shows all.

import { clamp } from "./basics.js";
import { planeAxes } from "./projection.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export function moved({ key, shiftKey }, point, { zoom }, plane) { // where an arrow leads from there; null of another key
  if (!ARROWS[key]) return null;
  const p = [...point], axes = p.length === 3 ? planeAxes(plane) : [0, p.length - 1], step = (shiftKey ? 0.01 : 0.05) / Math.sqrt(zoom);
  axes.forEach((axis, k) => { p[axis] = clamp(p[axis] + ARROWS[key][k] * step); });
  return p;
}

export function zoomKey({ key }, spot, zoomAt, fit) { // whether it was one; `spot` gives the pixels of that position
  if (key === "0") fit();
  else if ("+=-".includes(key)) zoomAt(...spot().slice(0, 2), key === "-" ? 1 / 1.4 : 1.4);
  else return false;
  return true;
}
