// The touchable map of latent_vizae: the body of gr.HTML's js_on_load, so `element`, `props`,
// `trigger`, `watch` and `server` are in scope. All events are delegated to `element` and all
// children are looked up by class, so the template may be rendered again at any time.

// ---------------------------------------------------------------- state
const EMPTY_VIEW = { cx: 0, cy: 0, zoom: 1, yaw: -0.6, pitch: 0.45 };
const S = {
  turn: 0, value: null, map: null, points: null, count: 0, labels: null, order: [], ranks: null, hidden: new Set(),
  view: { ...EMPTY_VIEW }, plane: { axis: 2, depth: 0 }, tool: "look",
  cursor: null, mark: null, // where the keyboard stands; the position last painted
  draft: [], drag: null, region: null, cell: -1, film: null,
  pins: [], chosen: null, serial: 0, layer: null, layerName: "none", thumbs: new Map(), shownThumbs: [], line: null,
};
const stats = { lastLatencyMs: null, decodes: 0, latencies: [] };
element.__lv = stats;

const LIGHT = ["#046ab2", "#fa8b01", "#257805", "#a42778", "#9d62fe", "#df3661", "#5d3905", "#090ef1", "#d58da8", "#919fff", "#650362", "#400da9"];
const DARK = ["#5b8fd0", "#f89c1a", "#76c984", "#c0808e", "#ab6ff5", "#4de6fb", "#a78005", "#e1e01d", "#9ea7eb", "#08aaa3", "#3dfba9", "#b43cf5"];
const HEAT = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]]; // cividis
const HINTS = {
  look: "Move over the map to see the picture there; click to pin it.",
  region: "Drag a box, or click corners and double-click to close a shape.",
  path: "Draw a line, or click corners and double-click to finish.",
  move: "Drag to move the map, wheel or pinch to zoom, double-click to fit.",
};
const FRAMES = 24, FPS = 20;
const coarse = window.matchMedia("(pointer: coarse)");
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
async function ask(name, ...args) {
  const turn = S.turn;
  try {
    const reply = await server[name](...args);
    if (turn !== S.turn) return null; // another map was loaded meanwhile
    if (!reply || reply.error) { say((reply && reply.error) || "The server sent no answer.", "error"); return null; }
    if (q(".lv-status")?.dataset.kind === "error") say("", "none");
    return reply;
  } catch (problem) {
    console.warn("latent map:", name, problem);
    if (turn === S.turn) say("The server did not answer. Move again to retry.", "error");
    return null;
  }
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

// ---------------------------------------------------------------- pictures
function rawTile(data, offset, width, height, channels) {
  const tile = document.createElement("canvas");
  tile.width = width; tile.height = height;
  const image = new ImageData(width, height), out = image.data;
  for (let i = 0, j = offset; i < out.length; i += 4, j += channels) {
    out[i] = data[j]; out[i + 1] = data[channels > 1 ? j + 1 : j]; out[i + 2] = data[channels > 2 ? j + 2 : j]; out[i + 3] = 255;
  }
  tile.getContext("2d").putImageData(image, 0, 0);
  return tile;
}

// {count, height, width, raw | jpeg} -> canvases or bitmaps, all drawable
async function tiles(images) {
  const { count, width, height, channels = 1 } = images;
  if (images.jpeg) return Promise.all(images.jpeg.map((one) => createImageBitmap(new Blob([bytes(one)], { type: "image/jpeg" }))));
  const data = bytes(images.raw), size = width * height * channels;
  return Array.from({ length: count }, (_, i) => rawTile(data, i * size, width, height, channels));
}

const isSmall = (tile) => Math.max(tile.width, tile.height) < 96;

function paintTile(canvas, tile) {
  if (canvas.width !== tile.width || canvas.height !== tile.height) { canvas.width = tile.width; canvas.height = tile.height; }
  canvas.style.aspectRatio = tile.width + " / " + tile.height;
  canvas.classList.toggle("lv-pixels", isSmall(tile));
  canvas.getContext("2d").drawImage(tile, 0, 0);
}

// Sizes a canvas to its box in device pixels; returns a context that draws in CSS pixels.
function fitCanvas(canvas, width = canvas.clientWidth, height = canvas.clientHeight) {
  const ratio = window.devicePixelRatio || 1, w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

// Draws a row-major sheet of tiles into (width x height).
function drawSheet(ctx, pictures, rows, cols, width, height, gap = 0) {
  const w = width / cols, h = height / rows;
  pictures.forEach((tile, i) => {
    ctx.imageSmoothingEnabled = !isSmall(tile);
    ctx.drawImage(tile, (i % cols) * w + gap / 2, Math.floor(i / cols) * h, w - gap, h);
  });
}

// ---------------------------------------------------------------- geometry: map <-> canvas pixels
const box = { w: 1, h: 1 };
const unit = () => ({ 1: box.w / 2.12, 2: Math.min(box.w, box.h) / 2.12, 3: Math.min(box.w, box.h) / 3 })[dim()] * S.view.zoom;

function rotation() { // the three rows of the view of a cube
  const { yaw, pitch } = S.view, a = Math.cos(yaw), b = Math.sin(yaw), c = Math.cos(pitch), d = Math.sin(pitch);
  return [[a, 0, b], [b * d, c, -a * d], [-b * c, d, a * c]];
}

function projector() { // a function from a map position to [x, y, depth] on the canvas
  const u = unit(), { cx, cy } = S.view, x0 = box.w / 2 - cx * u, y0 = box.h / 2 + cy * u;
  if (dim() === 1) return (p) => [x0 + p[0] * u, box.h / 2, 0];
  if (dim() === 2) return (p) => [x0 + p[0] * u, y0 - p[1] * u, 0];
  const [r, s, t] = rotation();
  return (p) => [x0 + (r[0] * p[0] + r[1] * p[1] + r[2] * p[2]) * u, y0 - (s[0] * p[0] + s[1] * p[1] + s[2] * p[2]) * u, t[0] * p[0] + t[1] * p[1] + t[2] * p[2]];
}

function lift(px, py) { // canvas pixels -> map position (3-D: on the picking plane)
  const u = unit(), x = (px - box.w / 2) / u + S.view.cx, y = S.view.cy - (py - box.h / 2) / u;
  if (dim() === 1) return [clamp(x)];
  if (dim() === 2) return [clamp(x), clamp(y)];
  const { axis, depth } = S.plane, [i, j] = planeAxes(), [r, s] = rotation();
  const det = r[i] * s[j] - r[j] * s[i], X = x - r[axis] * depth, Y = y - s[axis] * depth;
  if (Math.abs(det) < 0.06) return S.cursor || onPlane(0, 0); // the plane is seen edge-on
  return onPlane(clamp((X * s[j] - Y * r[j]) / det), clamp((Y * r[i] - X * s[i]) / det));
}

const planeAxes = () => [0, 1, 2].filter((k) => k !== S.plane.axis);

function onPlane(a, b) {
  const p = [0, 0, 0], [i, j] = planeAxes();
  p[S.plane.axis] = S.plane.depth; p[i] = a; p[j] = b;
  return p;
}

function outline(a, b) { // the corners of the box between two positions, for drawing
  if (dim() === 3) { const [i, j] = planeAxes(); return [[a[i], a[j]], [b[i], a[j]], [b[i], b[j]], [a[i], b[j]]].map((c) => { const p = [...a]; p[i] = c[0]; p[j] = c[1]; return p; }); }
  return dim() === 2 ? [a, [b[0], a[1]], b, [a[0], b[1]]] : [a, b];
}

function zoomAt(px, py, factor) {
  const before = unit(), old = S.view.zoom;
  S.view.zoom = clamp(old * factor, dim() === 3 ? 0.6 : 1, 80);
  const after = before * S.view.zoom / old, k = 1 / before - 1 / after;
  panBy((px - box.w / 2) * k, -(py - box.h / 2) * k);
}

function panBy(dx, dy) { // in map units
  S.view.cx = clamp(S.view.cx + dx); S.view.cy = dim() === 1 ? 0 : clamp(S.view.cy + dy);
  redraw(true); refreshThumbs(); refreshLine();
}

function turnBy(dx, dy) {
  S.view.yaw += dx * 0.008; S.view.pitch = clamp(S.view.pitch + dy * 0.008, -1.5, 1.5);
  redraw(true); refreshThumbs();
}

function fit() { S.view = { ...EMPTY_VIEW }; panBy(0, 0); }

// ---------------------------------------------------------------- drawing the map
const base = document.createElement("canvas");
let dirty = false, baseDirty = true, theme = {};

function redraw(all = false) {
  baseDirty ||= all;
  if (dirty) return;
  dirty = true;
  requestAnimationFrame(() => { dirty = false; draw(); });
}

function readTheme() {
  const style = getComputedStyle(q(".lv-map")), rgb = (style.backgroundColor.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
  theme = { paper: style.backgroundColor, ink: style.color, accent: getComputedStyle(element).accentColor, dark: rgb[0] * 0.3 + rgb[1] * 0.59 + rgb[2] * 0.11 < 128 };
  element.dataset.theme = theme.dark ? "dark" : "light";
}

const palette = () => (theme.dark ? DARK : LIGHT);
const colour = (index) => palette()[S.labels ? S.ranks[index] % palette().length : 0];

function draw() {
  const canvas = mapCanvas();
  if (!canvas || !canvas.clientWidth || !element.isConnected) return;
  box.w = canvas.clientWidth; box.h = canvas.clientHeight;
  if (baseDirty || base.width !== canvas.width) {
    baseDirty = false;
    base.style.width = box.w + "px";
    drawBase(fitCanvas(base, box.w, box.h));
  }
  const ctx = fitCanvas(canvas, box.w, box.h);
  ctx.drawImage(base, 0, 0, box.w, box.h);
  if (S.map) drawOver(ctx, projector());
}

function drawBase(ctx) {
  ctx.fillStyle = theme.paper; ctx.fillRect(0, 0, box.w, box.h);
  if (!S.map) return;
  const project = projector();
  drawHeat(ctx, project);
  drawFrame(ctx, project);
  if (dim() === 1) drawRug(ctx, project); else drawPoints(ctx, project);
  drawThumbs(ctx, project);
}

function drawHeat(ctx, project) {
  if (!S.layer || dim() !== 2) return;
  const [x0, y0] = project([-1, 1]), [x1, y1] = project([1, -1]);
  ctx.globalAlpha = theme.dark ? 0.6 : 0.5; ctx.imageSmoothingEnabled = true;
  ctx.drawImage(S.layer.picture, x0, y0, x1 - x0, y1 - y0);
  ctx.globalAlpha = 1;
}

function trace(ctx, project, corners, close) {
  ctx.beginPath();
  corners.forEach((p, i) => { const [x, y] = project(p); if (i) ctx.lineTo(x, y); else ctx.moveTo(x, y); });
  if (close) ctx.closePath();
}

function drawFrame(ctx, project) {
  ctx.strokeStyle = theme.ink; ctx.lineWidth = 1; ctx.globalAlpha = 0.22;
  const line = (corners, close) => { trace(ctx, project, corners, close); ctx.stroke(); };
  if (dim() === 1) line([[-1], [1]]);
  if (dim() === 2) { line([[-1, -1], [1, -1], [1, 1], [-1, 1]], true); ctx.globalAlpha = 0.1; line([[-1, 0], [1, 0]]); line([[0, -1], [0, 1]]); }
  if (dim() === 3) for (const a of [-1, 1]) { line([[-1, -1, a], [1, -1, a], [1, 1, a], [-1, 1, a]], true); for (const b of [-1, 1]) line([[a, b, -1], [a, b, 1]]); }
  ctx.globalAlpha = 1;
}

function* visible(project, margin = 4) { // [index, x, y, depth] of the codes in view, far ones first in 3-D
  const n = S.count, d = dim(), p = new Array(d);
  const order = d === 3 ? depthOrder(project) : null;
  for (let m = 0; m < n; m++) {
    const i = order ? order[m] : m;
    if (S.labels && S.hidden.has(S.labels[i])) continue;
    for (let c = 0; c < d; c++) p[c] = S.points[i * d + c];
    const [x, y, z] = project(p);
    if (x > -margin && y > -margin && x < box.w + margin && y < box.h + margin) yield [i, x, y, z];
  }
}

function depthOrder(project) {
  const z = Float32Array.from({ length: S.count }, (_, i) => project([S.points[3 * i], S.points[3 * i + 1], S.points[3 * i + 2]])[2]);
  return Uint32Array.from(z.keys()).sort((a, b) => z[a] - z[b]);
}

function dot(fill, radius) { // a round point drawn once and stamped
  const ratio = window.devicePixelRatio || 1, side = Math.ceil((radius + 1.5) * 2 * ratio), stamp = document.createElement("canvas");
  stamp.width = stamp.height = side;
  const ctx = stamp.getContext("2d");
  ctx.beginPath(); ctx.arc(side / 2, side / 2, radius * ratio, 0, 7);
  ctx.fillStyle = fill; ctx.fill();
  ctx.lineWidth = ratio * (radius > 2.4 ? 0.9 : 0); ctx.strokeStyle = theme.paper; if (ctx.lineWidth && radius > 2.4) ctx.stroke();
  return stamp;
}

function drawPoints(ctx, project) {
  const crowd = Math.sqrt(S.count) / S.view.zoom, radius = clamp(box.w / (crowd * 5.5), 1.1, 5.5), ratio = window.devicePixelRatio || 1;
  const stamps = new Map();
  for (const [i, x, y, z] of visible(project)) {
    const fill = colour(i);
    if (!stamps.has(fill)) stamps.set(fill, dot(fill, radius));
    const stamp = stamps.get(fill), scale = dim() === 3 ? 0.85 + 0.25 * z : 1, side = stamp.width / ratio * scale;
    ctx.globalAlpha = dim() === 3 ? clamp(1.05 - 1.5 * Math.abs(S.points[3 * i + S.plane.axis] - S.plane.depth), 0.16, 1) : 0.9; // 3-D: solid near the plane
    ctx.drawImage(stamp, x - side / 2, y - side / 2, side, side);
  }
  ctx.globalAlpha = 1;
}

function drawRug(ctx, project) { // one lane per label, as ticks about the line
  const lanes = S.labels ? S.order.length : 1, reach = box.h * 0.8, height = Math.max(4, reach / lanes);
  ctx.globalAlpha = 0.75;
  for (const [i, x] of visible(project)) {
    const lane = S.labels ? S.ranks[i] : 0;
    ctx.fillStyle = colour(i);
    ctx.fillRect(x - 0.7, box.h / 2 - reach / 2 + lane * height + 1, 1.4, height - 2);
  }
  ctx.globalAlpha = 1;
}

function drawThumbs(ctx, project) {
  for (const { index, side } of S.shownThumbs) {
    const tile = S.thumbs.get(index), d = dim();
    if (!tile || (S.labels && S.hidden.has(S.labels[index]))) continue;
    const [x, y] = project(Array.from(S.points.subarray(index * d, index * d + d)));
    ctx.fillStyle = colour(index);
    ctx.beginPath(); ctx.roundRect(x - side / 2 - 2, y - side / 2 - 2, side + 4, side + 4, 4); ctx.fill();
    ctx.imageSmoothingEnabled = !isSmall(tile);
    ctx.drawImage(tile, x - side / 2, y - side / 2, side, side);
  }
}

function haloed(ctx, width, colourOf, alpha = 1) { // a line that reads on any ground
  ctx.globalAlpha = alpha; ctx.lineJoin = ctx.lineCap = "round";
  ctx.strokeStyle = theme.paper; ctx.lineWidth = width + 2.5; ctx.stroke();
  ctx.strokeStyle = colourOf; ctx.lineWidth = width; ctx.stroke(); ctx.globalAlpha = 1;
}

function drawOver(ctx, project) {
  if (dim() === 3) drawPlane(ctx, project);
  if (S.region) drawArea(ctx, project, S.region.corners);
  if (S.drag && S.drag.kind === "box") drawArea(ctx, project, [S.drag.from, S.drag.to]);
  if (S.film) { trace(ctx, project, S.film.points); haloed(ctx, 2.5, theme.accent); }
  if (S.draft.length) drawDraft(ctx, project);
  S.pins.forEach((pin, i) => drawPin(ctx, project(pin.point), i + 1, pin.key === S.chosen));
  if (S.film) drawDot(ctx, project(S.film.points[frame()]), 7);
  if (S.mark) drawCrosshair(ctx, project(S.mark));
}

function drawArea(ctx, project, corners) {
  const shape = corners.length === 2 ? outline(corners[0], corners[1]) : corners;
  if (dim() === 1) { const [a] = project(shape[0]), [b] = project(shape[1]); ctx.beginPath(); ctx.rect(Math.min(a, b), 4, Math.abs(b - a), box.h - 8); } else trace(ctx, project, shape, true);
  ctx.fillStyle = theme.accent; ctx.globalAlpha = 0.14; ctx.fill(); ctx.globalAlpha = 1;
  haloed(ctx, 2, theme.accent);
}

function drawPlane(ctx, project) {
  trace(ctx, project, [onPlane(-1, -1), onPlane(1, -1), onPlane(1, 1), onPlane(-1, 1)], true);
  ctx.fillStyle = theme.accent; ctx.globalAlpha = 0.1; ctx.fill();
  ctx.globalAlpha = 0.8; ctx.strokeStyle = theme.accent; ctx.lineWidth = 1.5; ctx.stroke(); ctx.globalAlpha = 1;
}

function drawDraft(ctx, project) {
  const corners = S.cursor && S.drag?.kind !== "line" ? [...S.draft, S.cursor] : S.draft;
  trace(ctx, project, corners); haloed(ctx, 2, theme.accent);
  if (S.drag?.kind !== "line") S.draft.forEach((p) => drawDot(ctx, project(p), 5));
}

function drawDot(ctx, [x, y], radius) {
  ctx.beginPath(); ctx.arc(x, y, radius, 0, 7); ctx.fillStyle = theme.accent; ctx.fill(); ctx.lineWidth = 2; ctx.strokeStyle = theme.paper; ctx.stroke();
}

function drawPin(ctx, [x, y], number, chosen) {
  ctx.beginPath(); ctx.moveTo(x, y); ctx.lineTo(x - 7, y - 13); ctx.arc(x, y - 18, 10, 2.4, 0.74); ctx.closePath();
  ctx.fillStyle = chosen ? theme.accent : theme.ink; ctx.fill(); ctx.lineWidth = 1.5; ctx.strokeStyle = theme.paper; ctx.stroke();
  ctx.fillStyle = theme.paper; ctx.font = "600 11px system-ui, sans-serif"; ctx.textAlign = "center"; ctx.textBaseline = "middle"; ctx.fillText(String(number), x, y - 18);
}

function drawCrosshair(ctx, [x, y]) {
  ctx.beginPath();
  for (const [a, b] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { ctx.moveTo(x + a * 6, y + b * 6); ctx.lineTo(x + a * 15, y + b * 15); }
  ctx.moveTo(x + 6, y); ctx.arc(x, y, 6, 0, 7);
  haloed(ctx, 1.8, theme.ink);
}

// ---------------------------------------------------------------- the picture under the pointer
// Over a WebSocket, where there is one: a fetch costs the browser several milliseconds a picture.
let wire = null, wiredAt = -Infinity;

function connect() { // tried again at most every ten seconds
  if (wire || performance.now() - wiredAt < 1e4) return;
  wiredAt = performance.now();
  const address = new URL("latent-map/live", (window.gradio_config?.root || location.origin) + "/");
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { wire = socket; };
  socket.onclose = () => { if (wire === socket) wire = null; socket.onmessage?.(null); };
}

async function askWire(point) {
  const turn = S.turn, socket = wire;
  const event = await new Promise((done) => { socket.onmessage = done; socket.send(JSON.stringify([S.map.id, round(point), carried()])); });
  socket.onmessage = null;
  if (!event || turn !== S.turn) return null;
  const size = new DataView(event.data).getUint32(0, true), data = new Uint8Array(event.data, 4 + size);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(event.data, 4, size)));
  if (head.error) { say(head.error, "error"); return null; }
  if (q(".lv-status")?.dataset.kind === "error") say("", "none");
  const tile = head.kind === "raw" ? rawTile(data, 0, head.width, head.height, head.channels) : await createImageBitmap(new Blob([data], { type: "image/jpeg" }));
  return { tile, support: head.support };
}

async function askPicture(point) {
  connect();
  if (wire) return askWire(point);
  const reply = await ask("render", S.map.id, [round(point)], carried());
  return reply && { tile: (await tiles(reply.images))[0], support: reply.support[0] };
}

const decode = latestWins(async (point, started) => {
  const turn = S.turn, reply = await askPicture(point);
  if (!reply || turn !== S.turn || (S.film && S.film.playing)) return;
  paintPreview(reply.tile, point, reply.support);
  stats.lastLatencyMs = performance.now() - started;
  stats.latencies.push(stats.lastLatencyMs);
  if (stats.latencies.length > 1000) stats.latencies.shift();
  element.dataset.decodes = String(++stats.decodes);
  element.dataset.at = round(point).join(",");
});

function look(point, started = performance.now()) {
  if (!S.map) return;
  S.cursor = point;
  if (S.film && S.film.playing) return redraw();
  decode(point, started);
}

function paintPreview(tile, point, support) {
  S.tile = tile; S.mark = point;
  paintTile(q(".lv-preview canvas"), tile);
  text(".lv-at", point.map((x, i) => "xyz"[i] + " " + signed(x)).join("   "));
  if (support !== null && support !== undefined) {
    const level = support >= 0.5 ? "in" : support >= 0.1 ? "edge" : "far";
    text(".lv-support", { in: "among the codes", edge: "at the edge of the codes", far: "far from any code: the map extrapolates" }[level]);
    q(".lv-support").dataset.level = level;
  } else { text(".lv-support", ""); q(".lv-support").dataset.level = ""; }
  text(".lv-near", nearestWords(point));
  if (dim() === 1) q(".lv-position").value = point[0];
  redraw();
}

function paintPreviewBlank(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  text(".lv-support", ""); q(".lv-support").dataset.level = "";
}

function nearest(point) {
  const d = dim(); let best = -1, least = Infinity;
  for (let i = 0; i < S.count; i++) {
    let far = 0;
    for (let c = 0; c < d; c++) far += (S.points[i * d + c] - point[c]) ** 2;
    if (far < least) { least = far; best = i; }
  }
  return best;
}

function nearestWords(point) {
  const i = nearest(point);
  return i < 0 ? "" : S.labels ? "nearest code: " + nameOf(S.labels[i]) : "nearest code: no. " + i;
}

const nameOf = (label) => (S.map.names && S.map.names[String(label)]) ?? String(label);
const announce = later(600, () => S.mark && say(q(".lv-at").textContent + ", " + q(".lv-support").textContent + ", " + q(".lv-near").textContent));

// ---------------------------------------------------------------- region -> grid
const cells = () => clamp(Math.round(Number(q(".lv-cells").value)) || 10, 2, 20);

const fetchGrid = latestWins(async (corners, final) => {
  const shape = corners.length === 2 ? { box: ordered(corners).map(round) } : { polygon: corners.map(round) };
  const started = performance.now(), n = cells(), reply = await ask("grid", S.map.id, shape, n, n, carried());
  if (!reply) return;
  const pictures = await tiles(reply.images);
  if (!S.region) return; // cleared meanwhile
  Object.assign(S.region, { rows: reply.rows, cols: reply.cols, points: reply.points, tiles: pictures });
  paintGrid(); stage();
  stats.lastGridMs = performance.now() - started;
  if (final) emit("region", { box: shape.box || null, corners: shape.polygon || shape.box, points: reply.points });
});

const ordered = ([a, b]) => [a.map((x, i) => Math.min(x, b[i])), a.map((x, i) => Math.max(x, b[i]))];

function setRegion(corners, final = true) {
  play(false); S.film = null; S.draft = []; S.cell = -1;
  S.region = { ...(S.region || {}), corners };
  redraw(); stage();
  if (final || (S.map.image.width < 96 && !(stats.lastGridMs > 250))) fetchGrid(corners, final); // live while dragging, where it is quick
}

function paintGrid() {
  const { region } = S, canvas = q(".lv-grid canvas");
  if (!region || !region.tiles) return;
  show(".lv-grid", true); show(".lv-empty", false);
  const width = canvas.clientWidth, [one] = region.tiles, height = width / region.cols * region.rows * one.height / one.width;
  canvas.style.height = height + "px";
  const ctx = fitCanvas(canvas, width, height);
  drawSheet(ctx, region.tiles, region.rows, region.cols, width, height);
  if (S.cell >= 0) {
    const w = width / region.cols, h = height / region.rows;
    ctx.beginPath(); ctx.rect((S.cell % region.cols) * w + 1.5, Math.floor(S.cell / region.cols) * h + 1.5, w - 3, h - 3); haloed(ctx, 2, theme.accent);
  }
}

function chooseCell(cell) { // shows a cell's picture at its place on the map
  const { region } = S;
  if (!region || !region.tiles || cell < 0 || cell >= region.tiles.length || cell === S.cell) return;
  S.cell = cell;
  S.cursor = region.points[cell];
  paintPreview(region.tiles[cell], region.points[cell], null);
  paintGrid();
}

function cellAt(event) {
  const r = q(".lv-grid canvas").getBoundingClientRect(), { rows, cols } = S.region;
  return clamp(Math.floor((event.clientY - r.top) / r.height * rows), 0, rows - 1) * cols + clamp(Math.floor((event.clientX - r.left) / r.width * cols), 0, cols - 1);
}

// ---------------------------------------------------------------- path -> film
async function setPath(corners) {
  S.draft = []; S.region = null;
  const reply = await ask("path", S.map.id, thin(corners, 32).map(round), FRAMES, carried());
  if (!reply) return redraw();
  S.film = { corners, points: reply.points, tiles: await tiles(reply.images), at: 0, step: 1, playing: false };
  const scrub = q(".lv-scrub");
  scrub.max = S.film.tiles.length - 1;
  stage(); seek(0); play(!calm.matches);
  emit("path", { corners: thin(corners, 32).map(round), points: reply.points });
}

function thin(line, most) { // keeps the ends and at most `most` corners at even steps along the line
  if (line.length <= most) return line;
  return Array.from({ length: most }, (_, i) => line[Math.round(i * (line.length - 1) / (most - 1))]);
}

function endFilm() { play(false); S.film = null; stage(); }

const frame = () => Math.round(S.film.at);

function seek(at) {
  const { film } = S;
  film.at = clamp(at, 0, film.tiles.length - 1);
  q(".lv-scrub").value = frame();
  q(".lv-scrub").setAttribute("aria-valuetext", "frame " + (frame() + 1) + " of " + film.tiles.length);
  S.cursor = film.points[frame()];
  paintPreview(film.tiles[frame()], film.points[frame()], null);
  paintStrip();
}

function play(yes) {
  const { film } = S;
  if (!film) return;
  const button = q(".lv-play");
  button.toggleAttribute("data-playing", yes);
  button.setAttribute("aria-label", yes ? "Pause" : "Play");
  if (film.playing === yes) return;
  film.playing = yes;
  if (yes) { let last = performance.now(); requestAnimationFrame(function tick(now) { if (film !== S.film || !film.playing || !element.isConnected) return; if (now - last >= 1000 / FPS - 2) { last = now; advance(film); } requestAnimationFrame(tick); }); }
}

function advance(film) {
  const end = film.tiles.length - 1;
  if (q(".lv-pingpong").checked) {
    if (film.at >= end) film.step = -1;
    if (film.at <= 0) film.step = 1;
    seek(film.at + film.step);
  } else seek(film.at >= end ? 0 : film.at + 1);
}

function stripShape(width) { // every frame, in as few even rows as leave them large enough to see
  const n = S.film.tiles.length, rows = Math.ceil(n / Math.max(2, Math.floor(width / 42)));
  return { rows, cols: Math.ceil(n / rows) };
}

function paintStrip() {
  const { film } = S, canvas = q(".lv-strip canvas"), width = canvas.clientWidth;
  if (!film || !width) return;
  const { rows, cols } = stripShape(width), [one] = film.tiles, w = width / cols, h = w * one.height / one.width;
  canvas.style.height = h * rows + "px";
  const ctx = fitCanvas(canvas, width, h * rows);
  drawSheet(ctx, film.tiles, rows, cols, width, h * rows);
  ctx.beginPath(); ctx.rect((frame() % cols) * w + 1.5, Math.floor(frame() / cols) * h + 1.5, w - 3, h - 3); haloed(ctx, 2.5, theme.accent);
}

function drawCover(ctx, pictures, w, h) { // side by side, cropped to their cells
  pictures.forEach((tile, i) => {
    const scale = Math.max(w / tile.width, h / tile.height), sw = w / scale, sh = h / scale;
    ctx.imageSmoothingEnabled = !isSmall(tile);
    ctx.drawImage(tile, (tile.width - sw) / 2, (tile.height - sh) / 2, sw, sh, i * w, 0, w, h);
  });
}

// ---------------------------------------------------------------- the line of pictures under a 1-D map
const refreshLine = later(60, latestWins(async () => {
  if (!S.map || dim() !== 1) return;
  const canvas = q(".lv-line canvas"), count = clamp(Math.floor(canvas.clientWidth / canvas.clientHeight), 4, 12), w = canvas.clientWidth / count;
  const spots = Array.from({ length: count }, (_, i) => lift((i + 0.5) * w, 0));
  const reply = await ask("render", S.map.id, spots.map(round), carried());
  if (!reply) return;
  S.line = await tiles(reply.images); paintLine();
}));

function paintLine() {
  const canvas = q(".lv-line canvas");
  if (S.line && canvas.clientWidth) drawCover(fitCanvas(canvas), S.line, canvas.clientWidth / S.line.length, canvas.clientHeight);
}

// ---------------------------------------------------------------- pins
const carried = () => { const pin = S.pins.find((p) => p.key === S.chosen); return pin && pin.id && q(".lv-carry").checked ? pin.id : null; };

function emit(kind, { point = S.cursor, points = null, corners = null, box: bounds = null }) {
  trigger("select", { kind, id: S.map.id, point: point && round(point), points: points || (point && [round(point)]), corners, box: bounds });
}

function addPin(point, tile, id = null) {
  const pin = { key: ++S.serial, point: Array.from(point), tile, id };
  S.pins.push(pin);
  if (S.pins.length > 24) S.pins.shift();
  if (id) S.chosen = pin.key;
  listPins(); redraw(); emit("pin", { point: pin.point });
  return pin;
}

async function pinHere() {
  if (!S.map) return;
  if (S.cursor && S.cursor !== S.mark) await exact(S.cursor); // the preview may be a moment behind
  if (!S.tile || !S.mark) return;
  addPin(S.mark, S.tile); say("Pinned picture " + S.pins.length + ".");
}

function listPins() {
  const list = q(".lv-pins");
  list.replaceChildren(...S.pins.map((pin, i) => {
    const item = document.createElement("li"), go = document.createElement("button"), off = document.createElement("button"), badge = document.createElement("b");
    item.className = "lv-pin"; item.dataset.key = pin.key; item.toggleAttribute("data-chosen", pin.key === S.chosen);
    go.type = off.type = "button"; go.className = "lv-pin-go"; off.className = "lv-pin-remove";
    go.setAttribute("aria-label", "Go to pin " + (i + 1) + (pin.id ? ", your drawing" : "")); go.setAttribute("aria-pressed", String(pin.key === S.chosen));
    off.setAttribute("aria-label", "Remove pin " + (i + 1));
    off.innerHTML = '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M5 5l10 10M15 5L5 15"/></svg>';
    const canvas = document.createElement("canvas"); paintTile(canvas, pin.tile);
    badge.textContent = String(i + 1);
    go.append(canvas, badge); item.append(go, off);
    return item;
  }));
  text(".lv-shelf-hint", S.pins.length ? "" : "none yet: click the map, or press Enter");
  show(".lv-through", S.pins.length > 1);
  const chosen = S.pins.find((pin) => pin.key === S.chosen);
  show(".lv-keep", Boolean(chosen && chosen.id));
}

function choosePin(key) {
  const before = carried();
  S.chosen = S.chosen === key ? null : key;
  listPins();
  q('.lv-pin[data-key="' + key + '"] .lv-pin-go').focus();
  play(false); look(S.pins.find((pin) => pin.key === key).point);
  if (carried() !== before) again();
}

function removePin(key) {
  S.pins = S.pins.filter((pin) => pin.key !== key);
  if (S.chosen === key) { S.chosen = null; again(); }
  listPins(); redraw();
  (q(".lv-pin-remove") || q(".lv-pin-here")).focus();
}

function again() { // the carried sample changed: everything that was decoded is decoded anew
  if (S.cursor) look(S.cursor);
  if (S.region) setRegion(S.region.corners);
  if (S.film) setPath(S.film.corners);
  refreshLine();
}

// ---------------------------------------------------------------- layers and thumbnails
async function setLayer(name) {
  S.layerName = name; S.layer = null; redraw(true); show(".lv-heat", false);
  q(".lv-layer").value = name;
  if (q(".lv-status").dataset.kind === "wait") say("", "none");
  if (name === "none" || !S.map || dim() !== 2) return;
  say("Measuring the map…", "wait");
  const reply = await ask("layer", S.map.id, name);
  if (!reply || !reply.values || name !== S.layerName) return;
  const values = bytes(reply.values), shades = new Uint8Array(values.length * 3);
  values.forEach((v, i) => shades.set(shade(v / 255), i * 3));
  S.layer = { picture: rawTile(shades, 0, reply.side, reply.side, 3) };
  text(".lv-heat-text", reply.text || ""); text(".lv-low", figure(reply.low)); text(".lv-high", figure(reply.high));
  say("", "none"); show(".lv-heat", true); redraw(true);
}

const figure = (x) => (typeof x === "number" ? String(Number(x.toPrecision(3))) : String(x ?? ""));

function shade(t) {
  const at = t * (HEAT.length - 1), i = Math.min(HEAT.length - 2, Math.floor(at)), f = at - i;
  return HEAT[i].map((low, c) => low + (HEAT[i + 1][c] - low) * f);
}

const refreshThumbs = later(90, latestWins(async () => {
  if (!S.map || dim() === 1) return;
  S.shownThumbs = placeThumbs();
  redraw(true);
  const missing = S.shownThumbs.map((t) => t.index).filter((i) => !S.thumbs.has(i));
  if (!missing.length) return;
  const reply = await ask("thumbs", S.map.id, missing);
  if (!reply) return;
  if (S.thumbs.size > 2000) S.thumbs.clear();
  (await tiles(reply.images)).forEach((tile, i) => S.thumbs.set(missing[i], tile));
  redraw(true);
}));

function placeThumbs() { // at most 40 codes in view, none over another; those shown before stay
  if (S.view.zoom < 1.6 && S.count > 60) return [];
  const side = Math.round(clamp(22 + 9 * Math.log2(S.view.zoom * (S.count > 60 ? 1 : 2)), 28, 60)), chosen = [];
  const inView = [...visible(projector(), -side / 2)], before = new Set(S.shownThumbs.map((t) => t.index));
  if (dim() === 3) inView.reverse(); // near ones first
  inView.sort((a, b) => before.has(b[0]) - before.has(a[0]));
  for (const [index, x, y] of inView) {
    if (chosen.length >= 40) break;
    if (chosen.every((c) => Math.max(Math.abs(c.x - x), Math.abs(c.y - y)) > side + 8)) chosen.push({ index, x, y, side });
  }
  return chosen;
}

// ---------------------------------------------------------------- tools, legend, stage
function setTool(tool) {
  S.tool = element.dataset.tool = tool; S.draft = [];
  for (const button of element.querySelectorAll(".lv-tool")) {
    const on = button.dataset.tool === tool;
    button.setAttribute("aria-checked", String(on)); button.tabIndex = on ? 0 : -1;
  }
  if (tool === "look") play(false);
  redraw(); stage();
}

function hint() {
  const d = dim();
  if (S.draft.length && S.tool === "region") return d === 2 ? "Add corners; Finish, Enter or a double-click closes the shape." : "Click the other end.";
  if (S.draft.length) return "Add corners; Finish, Enter or a double-click ends the path.";
  if (d === 1 && S.tool === "region") return "Drag along the line to choose an interval.";
  if (d === 1 && S.tool === "path") return "Drag from one position to another, or click both.";
  if (d === 3) return { look: "Point at the plane to see its pictures; drag to turn the cloud.", region: "Drag a box on the plane.", move: "Drag to turn the cloud, wheel or pinch to zoom." }[S.tool] || HINTS[S.tool];
  if (S.tool === "look" && coarse.matches) return "Slide a finger over the map to see its pictures; pinch to zoom.";
  return HINTS[S.tool];
}

function stage() { // which result lies beside the map
  const name = S.film ? "film" : S.region && S.region.tiles ? "grid" : "look";
  const changed = element.dataset.stage !== name;
  element.dataset.stage = name;
  show(".lv-grid", name === "grid"); show(".lv-film", name === "film"); show(".lv-empty", name === "look");
  text(".lv-empty", S.tool === "path" ? "The film of your path will play here." : S.tool === "region" ? "The pictures of your region will lie here as a grid." : "Choose Region for a grid of pictures, or Path for a film between two places.");
  text(".lv-hint-text", hint());
  show(".lv-finish", S.draft.length >= 2); show(".lv-clear", Boolean(S.draft.length || S.region || S.film));
  if (changed && name === "grid") paintGrid();
  if (changed && name === "film") paintStrip();
}

function clearAll() {
  if (S.draft.length || S.drag) { S.draft = []; S.drag = null; } else { S.region = null; S.film = null; }
  redraw(); stage();
}

function finish() {
  const corners = S.draft.filter((p, i, all) => !i || Math.hypot(...p.map((x, c) => x - all[i - 1][c])) > 0.004 / S.view.zoom);
  if (corners.length < 2) return;
  if (S.tool === "region") setRegion(corners); else setPath(corners);
}

function addCorner(point) {
  if (S.tool === "path") endFilm();
  S.draft.push(point);
  if (S.tool === "region" && dim() !== 2 && S.draft.length === 2) finish();
  else if (S.draft.length >= 32 || (S.tool === "path" && dim() === 1 && S.draft.length === 2)) finish();
  redraw(); stage();
}

function legend() {
  const holder = q(".lv-legend");
  holder.replaceChildren(...S.order.map((label, i) => {
    const button = document.createElement("button"), swatch = document.createElement("i");
    button.type = "button"; button.dataset.label = label; button.setAttribute("aria-pressed", String(!S.hidden.has(label)));
    button.style.setProperty("--lv-label", palette()[i % palette().length]);
    button.append(swatch, nameOf(label));
    return button;
  }));
}

function toggleLabel(button) {
  const label = S.order.find((l) => String(l) === button.dataset.label);
  if (!S.hidden.delete(label)) S.hidden.add(label);
  button.setAttribute("aria-pressed", String(!S.hidden.has(label)));
  redraw(true); refreshThumbs();
}

// ---------------------------------------------------------------- pointer
const fingers = new Map();
let pinPending = 0;
const spot = (event) => { const r = mapCanvas().getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
const onMap = (event) => event.target === mapCanvas();

function pointerDown(event) {
  if (inPad(event)) return penDown(event);
  if (event.target.closest(".lv-strip canvas")) return stripSeek(event);
  if (!onMap(event) || !S.map) return;
  const at = spot(event);
  fingers.set(event.pointerId, at);
  mapCanvas().setPointerCapture(event.pointerId);
  if (fingers.size === 2) { S.drag = { kind: "pinch" }; return redraw(); }
  const pan = S.tool === "move" || event.button === 1;
  const from = lift(...at), inside = S.tool === "region" && S.region && !S.draft.length && insideBox(from);
  S.drag = { kind: pan ? "pan" : "press", start: at, last: at, from, moving: inside ? S.region.corners : null, touch: event.pointerType !== "mouse" };
  if (event.pointerType !== "mouse" && !pan) look(from, performance.now());
  element.toggleAttribute("data-dragging", pan);
}

function insideBox(p) {
  const { corners } = S.region;
  if (corners.length !== 2) return false;
  const [low, high] = ordered(corners);
  return p.every((x, i) => x >= low[i] - 1e-6 && x <= high[i] + 1e-6) && (dim() < 3 || low[S.plane.axis] === high[S.plane.axis]);
}

function pointerMove(event) {
  const started = performance.now();
  if (pen) return penMove(event);
  if (event.target === q(".lv-grid canvas") && S.region?.tiles && event.pointerType === "mouse") return chooseCell(cellAt(event));
  if (event.buttons && event.target.closest(".lv-strip canvas") && S.film) return stripSeek(event);
  if (!S.map || !onMap(event)) return;
  const at = spot(event), { drag } = S;
  if (drag && drag.kind === "pinch") return pinch(event.pointerId, at);
  if (!drag) return S.tool === "move" ? undefined : look(lift(...at), started);
  dragTo(drag, at, started);
}

function dragTo(drag, at, started) {
  const dx = at[0] - drag.last[0], dy = at[1] - drag.last[1], point = lift(...at);
  drag.last = at;
  if (drag.kind === "press" && !near(at, drag.start, 6)) { drag.kind = dragKind(drag); if (drag.kind === "line") { S.draft = [drag.from]; endFilm(); } }
  if (drag.kind === "pan") { if (dim() === 3) turnBy(dx, dy); else panBy(-dx / unit(), dy / unit()); return; }
  if (drag.kind === "box") { drag.to = point; return setRegion([drag.from, point], false); }
  if (drag.kind === "shift") return shiftRegion(drag, point);
  if (drag.kind === "line") { S.draft.push(point); S.mark = point; return redraw(); }
  look(point, started);
}

function dragKind(drag) {
  if (S.tool === "region") return drag.moving ? "shift" : "box";
  if (S.tool === "path") return "line";
  return dim() === 3 && !drag.touch ? "pan" : "look";
}

function shiftRegion(drag, point) { // drags a box about, inside the map
  const by = point.map((x, i) => { const c = drag.moving.map((p) => p[i]); return clamp(x - drag.from[i], -1 - Math.min(...c), 1 - Math.max(...c)); });
  setRegion(drag.moving.map((p) => p.map((x, i) => x + by[i])), false);
}

function pinch(id, at) {
  const [a, b] = [...fingers.values()].map((p) => [...p]);
  fingers.set(id, at);
  const [c, d] = [...fingers.values()], middle = (p, r) => [(p[0] + r[0]) / 2, (p[1] + r[1]) / 2], size = (p, r) => Math.hypot(p[0] - r[0], p[1] - r[1]) || 1;
  const before = middle(a, b), after = middle(c, d);
  panBy((before[0] - after[0]) / unit(), (after[1] - before[1]) / unit());
  zoomAt(after[0], after[1], size(c, d) / size(a, b));
}

function pointerUp(event) {
  if (pen) return penUp();
  if (!fingers.delete(event.pointerId)) return;
  const { drag } = S;
  element.removeAttribute("data-dragging");
  if (!drag || fingers.size) return;
  S.drag = null;
  if (event.type === "pointercancel") { S.draft = []; return redraw(); }
  if (drag.kind === "box" || drag.kind === "shift") setRegion(S.region.corners);
  else if (drag.kind === "line") setPath(dim() === 1 ? [S.draft[0], S.draft.at(-1)] : S.draft);
  else if (drag.kind === "press") pressed(drag);
  redraw(); stage();
}

function pressed(drag) { // a click without a drag
  if (S.tool === "region" || S.tool === "path") return addCorner(drag.from);
  clearTimeout(pinPending);
  if (S.tool === "look" && !drag.touch) pinPending = setTimeout(() => { S.cursor = drag.from; pinHere(); }, 260);
}

async function exact(point) { // the picture of exactly this position, even if the pointer moved on
  const reply = await ask("render", S.map.id, [round(point)], carried());
  if (reply) paintPreview((await tiles(reply.images))[0], point, reply.support[0]);
}

function doubleClick(event) {
  if (!onMap(event) || !S.map) return;
  clearTimeout(pinPending);
  if (S.tool === "region" || S.tool === "path") finish(); else fit();
}

function wheel(event) {
  if (!onMap(event) || !S.map) return;
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 16 : 1;
  zoomAt(...spot(event), Math.exp(-clamp(event.deltaY * lines, -240, 240) * (event.ctrlKey ? 0.01 : 0.0018)));
}

function stripSeek(event) {
  const r = q(".lv-strip canvas").getBoundingClientRect();
  const { rows, cols } = stripShape(r.width), x = (event.clientX - r.left) / r.width, y = (event.clientY - r.top) / r.height;
  play(false); seek(clamp(Math.floor(y * rows), 0, rows - 1) * cols + clamp(Math.floor(x * cols), 0, cols - 1));
}

// ---------------------------------------------------------------- keyboard
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function keyDown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const used = onMap(event) ? mapKey(event) : event.target === q(".lv-grid canvas") ? gridKey(event) : event.target.classList.contains("lv-tool") && toolKey(event);
  if (used) event.preventDefault();
}

function mapKey(event) {
  const { key } = event;
  if (!S.map) return false;
  if (ARROWS[key]) return moveCursor(ARROWS[key], event.shiftKey ? 0.01 : 0.05);
  if (key === "+" || key === "=" || key === "-") { zoomAt(...cursorSpot(), key === "-" ? 1 / 1.4 : 1.4); return true; }
  if (key === "0") { fit(); return true; }
  if (key === "Enter") { if (S.draft.length >= 2) finish(); else pinHere(); return true; }
  if (key === " ") { if (S.tool === "region" || S.tool === "path") addCorner(S.cursor); else pinHere(); return true; }
  if (key === "Escape") { clearAll(); return true; }
  if (dim() === 3 && (key === "PageUp" || key === "PageDown")) { setDepth(S.plane.depth + (key === "PageUp" ? 0.05 : -0.05)); return true; }
  return false;
}

const cursorSpot = () => projector()(S.cursor || new Array(dim()).fill(0));

function moveCursor([dx, dy], step) {
  const p = [...(S.cursor || new Array(dim()).fill(0))], [i, j] = dim() === 3 ? planeAxes() : [0, 1], size = step / Math.sqrt(S.view.zoom);
  p[i] = clamp(p[i] + dx * size);
  if (dim() > 1) p[j] = clamp(p[j] + dy * size); else p[0] = clamp(p[0] + dy * size);
  if (S.film) play(false);
  look(p); follow(); announce();
  return true;
}

function follow() { // keeps the cursor in view when zoomed in
  const [x, y] = cursorSpot(), m = 24, dx = Math.min(0, x - m) + Math.max(0, x - box.w + m), dy = Math.min(0, y - m) + Math.max(0, y - box.h + m);
  if (dx || dy) panBy(dx / unit(), -dy / unit());
}

function gridKey(event) {
  const { region } = S, step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -(region?.cols || 0), ArrowDown: region?.cols || 0 }[event.key];
  if (!region || !region.tiles) return false;
  if (step) { const next = S.cell < 0 ? 0 : S.cell + step; if (next >= 0 && next < region.tiles.length) chooseCell(next); announce(); return true; }
  if (event.key === "Enter" || event.key === " ") { pinCell(); return true; }
  return false;
}

function pinCell() { if (S.cell >= 0) { addPin(S.region.points[S.cell], S.region.tiles[S.cell]); say("Pinned picture " + S.pins.length + "."); } }

function toolKey(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return false;
  const all = [...element.querySelectorAll(".lv-tool")], next = all[(all.indexOf(event.target) + by + all.length) % all.length];
  setTool(next.dataset.tool); next.focus();
  return true;
}

// ---------------------------------------------------------------- clicks and fields
const CLICKS = {
  ".lv-tool": (b) => setTool(b.dataset.tool), ".lv-fit": fit, ".lv-finish": finish, ".lv-clear": clearAll, ".lv-retry": () => load(S.value),
  ".lv-zoom-in": () => zoomAt(box.w / 2, box.h / 2, 1.5), ".lv-zoom-out": () => zoomAt(box.w / 2, box.h / 2, 1 / 1.5),
  ".lv-legend button": toggleLabel, ".lv-pin-here": pinHere, ".lv-through": () => { setTool("path"); setPath(S.pins.map((pin) => pin.point)); },
  ".lv-pin-go": (b) => choosePin(Number(b.closest(".lv-pin").dataset.key)), ".lv-pin-remove": (b) => removePin(Number(b.closest(".lv-pin").dataset.key)),
  ".lv-play": () => play(!S.film.playing), ".lv-place": place, ".lv-wipe": wipe,
};

function click(event) {
  if (event.target === q(".lv-grid canvas") && S.region?.tiles) { chooseCell(cellAt(event)); return pinCell(); }
  for (const [selector, act] of Object.entries(CLICKS)) { const hit = event.target.closest(selector); if (hit) return act(hit); }
}

function input(event) {
  const { classList, value } = event.target;
  if (classList.contains("lv-scrub") && S.film) { play(false); seek(Number(value)); }
  if (classList.contains("lv-position") && S.map) { play(false); look([Number(value)]); follow(); }
  if (classList.contains("lv-depth")) setDepth(Number(value));
}

function change(event) {
  const { classList, value } = event.target;
  if (classList.contains("lv-layer")) setLayer(value);
  if (classList.contains("lv-axis")) { S.plane.axis = Number(value); setDepth(0); }
  if (classList.contains("lv-cells")) { event.target.value = cells(); if (S.region) setRegion(S.region.corners); }
  if (classList.contains("lv-carry")) again();
}

function setDepth(depth) {
  S.plane.depth = Math.round(clamp(depth) * 100) / 100;
  q(".lv-depth").value = S.plane.depth; text(".lv-depth-value", signed(S.plane.depth));
  const [i, j] = planeAxes(), at = S.cursor || [0, 0, 0];
  look(onPlane(at[i], at[j])); redraw(true);
}

// ---------------------------------------------------------------- drawing a digit
let pen = null;
const pad = () => q(".lv-draw canvas");
const inPad = (event) => event.target === pad();

function penDown(event) {
  event.preventDefault();
  pad().setPointerCapture(event.pointerId);
  pen = padSpot(event); stroke(pen, pen);
  q(".lv-place").disabled = q(".lv-wipe").disabled = false;
}

function padSpot(event) { const r = pad().getBoundingClientRect(); return [(event.clientX - r.left) / r.width * 280, (event.clientY - r.top) / r.height * 280]; }
function penMove(event) { const moves = event.getCoalescedEvents?.() ?? []; for (const e of moves.length ? moves : [event]) { const to = padSpot(e); stroke(pen, to); pen = to; } }
function penUp() { pen = null; }

function stroke(a, b) {
  const ctx = pad().getContext("2d");
  Object.assign(ctx, { strokeStyle: "#fff", lineWidth: 20, lineCap: "round", lineJoin: "round", shadowColor: "#fff", shadowBlur: 7 });
  ctx.beginPath(); ctx.moveTo(...a); ctx.lineTo(b[0] + 0.01, b[1]); ctx.stroke();
}

function wipe() { pad().getContext("2d").clearRect(0, 0, 280, 280); q(".lv-place").disabled = q(".lv-wipe").disabled = true; }

async function place() {
  const small = document.createElement("canvas"), id = S.map.id;
  small.width = small.height = 28;
  const ctx = small.getContext("2d");
  ctx.fillStyle = "#000"; ctx.fillRect(0, 0, 28, 28); ctx.imageSmoothingQuality = "high"; ctx.drawImage(pad(), 0, 0, 28, 28);
  const data = ctx.getImageData(0, 0, 28, 28).data, gray = String.fromCharCode(...Array.from({ length: 784 }, (_, i) => data[4 * i]));
  say("Finding its place…", "wait");
  const reply = await ask("drawn", id, { width: 28, height: 28, pixels: btoa(gray) });
  if (reply) { await placePin(reply.pin); say("Your drawing lies here. Move over the map: its own details go along."); }
}

async function placePin(pin) { // a pin of the server or of the host page
  const images = pin.image || (await ask("render", S.map.id, [pin.point], pin.id))?.images;
  if (!images) return;
  endFilm();
  const { point } = addPin(pin.point, (await tiles(images))[0], pin.id ?? null);
  S.cursor = point; again();
}

// ---------------------------------------------------------------- loading
function setState(state, title = "", words = "") {
  S.shown = [state, title, words];
  element.dataset.state = state;
  element.toggleAttribute("data-empty", state === "loading" && Boolean(title));
  show(".lv-message", Boolean(title)); text(".lv-message-title", title); text(".lv-message-text", words); show(".lv-retry", state === "error");
}

function reset() {
  play(false);
  Object.assign(S, { map: null, hidden: new Set(), view: { ...EMPTY_VIEW }, plane: { axis: 2, depth: 0 }, cursor: null, mark: null, tile: null, draft: [], drag: null, region: null, film: null, pins: [], chosen: null, layer: null, thumbs: new Map(), shownThumbs: [], line: null, order: [] });
  Object.assign(element.dataset, { decodes: "0", at: "", stage: "look" });
  stats.decodes = 0; stats.latencies.length = 0; fingers.clear();
  text(".lv-title", "Latent map"); text(".lv-text", ""); text(".lv-at", "no position yet"); text(".lv-near", "");
  for (const part of [".lv-heat", ".lv-draw", ".lv-line", ".lv-plane"]) show(part, false);
  if (q(".lv-preview canvas")) paintPreviewBlank(q(".lv-preview canvas"));
  stage();
}

async function load(value) {
  S.turn++; S.value = value;
  reset(); say("", "none"); redraw(true); listPins(); legend();
  if (!value || !value.id) return setState("loading", "No map yet", "Choose a map, and its codes appear here.");
  setState("loading"); text(".lv-text", "Opening the map…");
  const map = await ask("describe", value.id);
  if (!map) { if (S.value === value) text(".lv-text", ""), setState("error", "This map could not be opened", q(".lv-status").textContent); return; }
  const codes = bytes(map.points);
  Object.assign(S, { map, points: new Float32Array(codes.buffer), count: codes.length / 4 / map.dim, labels: map.labels || null, order: map.labels ? [...new Set(map.labels)].sort((a, b) => a - b) : [] });
  S.ranks = S.labels && Uint16Array.from(S.labels, (label) => S.order.indexOf(label));
  setState("ready"); mount();
  look(firstLook());
  setLayer(value.layer || "none"); refreshThumbs(); refreshLine();
  if (value.pin) placePin(value.pin);
}

function firstLook() { // the code nearest to the middle, so that the preview is never empty
  const d = dim(), i = nearest(new Array(d).fill(0)), at = Array.from(S.points.subarray(i * d, i * d + d));
  if (d === 3) at[S.plane.axis] = S.plane.depth;
  return at;
}

// Puts the state into whatever elements are there: at the start and after every new rendering.
function mount() {
  if (!q(".lv-map")) return;
  readTheme(); observe(); if (S.shown) setState(...S.shown);
  if (S.map) {
    const { map } = S, d = element.dataset.dim = String(dim());
    text(".lv-title", map.title || "Latent map"); text(".lv-text", map.text || "");
    show(".lv-line", d === "1"); show(".lv-plane", d === "3");
    show(".lv-draw", Boolean(map.has_encoder) && map.image.width === 28 && map.image.height === 28 && map.image.channels === 1);
    legend(); listPins();
    if (S.tile) paintTile(q(".lv-preview canvas"), S.tile);
  }
  setTool(S.tool); paintGrid(); paintLine();
  if (S.film) { q(".lv-scrub").max = S.film.tiles.length - 1; paintStrip(); }
  if (S.layer) show(".lv-heat", true);
  redraw(true);
}

const sizes = new ResizeObserver(() => { redraw(true); paintGrid(); paintLine(); if (S.film) paintStrip(); refreshThumbs(); refreshLine(); });
function observe() { sizes.disconnect(); for (const s of [".lv-map", ".lv-result", ".lv-line"]) if (q(s)) sizes.observe(q(s)); }

const LISTEN = { pointerdown: pointerDown, pointermove: pointerMove, pointerup: pointerUp, pointercancel: pointerUp, dblclick: doubleClick, keydown: keyDown, click, input, change };
for (const [name, act] of Object.entries(LISTEN)) element.addEventListener(name, act);
element.addEventListener("wheel", wheel, { passive: false });
let mounted = mapCanvas();
new MutationObserver(() => { if (mapCanvas() && mapCanvas() !== mounted) { mounted = mapCanvas(); mount(); } }).observe(element, { childList: true, subtree: true });
new MutationObserver((_, self) => setTimeout(() => { if (!element.isConnected) return self.disconnect(); if (q(".lv-map")) { readTheme(); if (S.map) legend(); redraw(true); } }, 50)).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", () => {
  mount();
  const { value } = props;
  if (!S.map || !value || value.id !== S.map.id) return load(value);
  S.value = value;
  if (value.pin) placePin(value.pin);
  if (value.layer && value.layer !== S.layerName) setLayer(value.layer);
});
mount(); load(props.value);
