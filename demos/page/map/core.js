// The state of the page's map, and small helpers. start.js and what it imports are joined into the body of gr.HTML's
// js_on_load, so `element`, `props`, `trigger`, `watch` and `server` are in scope. All events are delegated to `element`
// and all children are looked up by class, so the template may be rendered again at any time.

import { EMPTY_VIEW } from "latent-map/projection.js";

export const S = {
  turn: 0, value: null, asked: null, lost: null, map: null, points: null, count: 0, rows: null, hidden: new Set(),
  view: { ...EMPTY_VIEW }, plane: { axis: 2, depth: 0 }, tool: "look",
  cursor: null, mark: null, // where the keyboard stands; the position last painted
  wanted: null, seen: [], coarse: false, // the position asked for; pictures so far, with their places; whether one of them stands in
  draft: [], drag: null, touch: false, region: null, cell: -1, film: null,
  pins: [], chosen: null, serial: 0, layer: null, layerName: "none", thumbs: new Map(), shownThumbs: [], line: null,
  detail: 0, variant: 0, // of what the sheet leaves out, where the map has that
  ground: new Map(), fog: null, // pictures beneath the points, by level, column and row; what lies over them where the map extrapolates
  found: null, arrows: null, // directions with what moves along them; where they lead
};
export const stats = { lastLatencyMs: null, decodes: 0, latencies: [] };
element.__lv = stats;

export const HINTS = {
  look: "Move over the map to see the picture there; click to pin it.",
  region: "Drag a box or a lasso, or click corners and double-click to close a shape.",
  path: "Draw a line, or click corners and double-click to finish.",
  move: "Drag to move the map, wheel or pinch to zoom (after a click, or with Ctrl), double-click to fit.",
};
export const FRAMES = 24;
export const FPS = 20;
export const touching = window.matchMedia("(pointer: coarse)");
export const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

// ---------------------------------------------------------------- small helpers
export const q = (selector) => element.querySelector(selector);
export const mapCanvas = () => q(".lv-map canvas");
export const dim = () => (S.map ? S.map.dim : 2);
export const round = (p) => p.map((x) => Math.round(x * 1e5) / 1e5);
export const near = (a, b, r) => Math.hypot(a[0] - b[0], a[1] - b[1]) < r;
export const text = (selector, words) => { const node = q(selector); if (node && node.textContent !== words) node.textContent = words; };
export const show = (selector, yes) => { const node = q(selector); if (node) node.hidden = !yes; };

export function say(words, kind = "info") {
  const line = q(".lv-status");
  if (!line) return;
  line.textContent = words; line.dataset.kind = kind;
  clearTimeout(say.timer);
  if (kind === "info") say.timer = setTimeout(() => say("", "none"), 6000);
}

