// The touchable map of latent_vizae: page.py joins these files, in its order, into the body of gr.HTML's
// js_on_load, so `element`, `props`, `trigger`, `watch` and `server` are in scope. All events are delegated
// to `element` and all children are looked up by class, so the template may be rendered again at any time.

// This file: the state, small helpers, and the calls to Python.

const EMPTY_VIEW = { cx: 0, cy: 0, zoom: 1, yaw: -0.6, pitch: 0.45 };
const S = {
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
const stats = { lastLatencyMs: null, decodes: 0, latencies: [] };
element.__lv = stats;

const LIGHT = ["#046ab2", "#fa8b01", "#257805", "#a42778", "#9d62fe", "#df3661", "#5d3905", "#090ef1", "#d58da8", "#919fff", "#650362", "#400da9"];
const DARK = ["#5b8fd0", "#f89c1a", "#76c984", "#c0808e", "#ab6ff5", "#4de6fb", "#a78005", "#e1e01d", "#9ea7eb", "#08aaa3", "#3dfba9", "#b43cf5"];
const HEAT = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]]; // cividis
const HINTS = {
  look: "Move over the map to see the picture there; click to pin it.",
  region: "Drag a box or a lasso, or click corners and double-click to close a shape.",
  path: "Draw a line, or click corners and double-click to finish.",
  move: "Drag to move the map, wheel or pinch to zoom (after a click, or with Ctrl), double-click to fit.",
};
const FRAMES = 24, FPS = 20;
const touching = window.matchMedia("(pointer: coarse)");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

// ---------------------------------------------------------------- small helpers
const q = (selector) => element.querySelector(selector);
const mapCanvas = () => q(".lv-map canvas");
const clamp = (x, low = -1, high = 1) => Math.min(high, Math.max(low, x));
const dim = () => (S.map ? S.map.dim : 2);
const signed = (x) => x.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
const round = (p) => p.map((x) => Math.round(x * 1e5) / 1e5);
const near = (a, b, r) => Math.hypot(a[0] - b[0], a[1] - b[1]) < r;
const text = (selector, words) => { const node = q(selector); if (node && node.textContent !== words) node.textContent = words; };
const show = (selector, yes) => { const node = q(selector); if (node) node.hidden = !yes; };

function say(words, kind = "info") {
  const line = q(".lv-status");
  if (!line) return;
  line.textContent = words; line.dataset.kind = kind;
  clearTimeout(say.timer);
  if (kind === "info") say.timer = setTimeout(() => say("", "none"), 6000);
}

function bytes(base64) {
  const raw = atob(base64), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

// One call to Python; errors become a line of text and a null.
const WAITS = { grid: "Decoding the region…", draws: "Drawing samples…", path: "Decoding the path…", traverse: "Decoding the pictures along it…", layer: "Measuring the map…", find: "Searching…", chosen: "Making the file…", column: "Fetching the column…", drawn: "Finding its place…" };

async function ask(name, ...args) {
  const turn = S.turn, words = WAITS[name], slow = setTimeout(() => words && turn === S.turn && say(words, "wait"), 400);
  try {
    const reply = await server[name](...args);
    if (turn !== S.turn) return null; // another map was loaded meanwhile
    if (reply?.gone) { lostMap(reply.error); return null; }
    if (!reply || reply.error) { say((reply && reply.error) || "The server sent no answer.", "error"); return null; }
    if (q(".lv-status")?.dataset.kind === "error") say("", "none");
    return reply;
  } catch (problem) {
    console.warn("latent map:", name, problem);
    if (turn === S.turn) say("The server did not answer. Move again to retry.", "error");
    return null;
  } finally {
    clearTimeout(slow);
    if (words && q(".lv-status")?.textContent === words) say("", "none");
  }
}

async function askQuietly(name, ...args) { // for what nobody waits for: a null where there is no answer, and no words
  const turn = S.turn;
  try {
    const reply = await server[name](...args);
    return turn === S.turn && reply && !reply.error ? reply : null;
  } catch (problem) { console.warn("latent map:", name, problem); return null; }
}

// One job in flight; while it runs only the latest request is kept.
function latestWins(job) {
  let waiting = null, busy = false;
  return async (...args) => {
    waiting = args;
    if (busy) return;
    busy = true;
    try { while (waiting) { const now = waiting; waiting = null; await job(...now); } } finally { busy = false; }
  };
}

function later(delay, job) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(job, delay); };
}
