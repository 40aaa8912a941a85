// The two acts: a region becomes a grid, a path becomes a film.

import { pickRegion, unpick } from "./choosing.js";
import { FPS, FRAMES, S, calm, q, round, show, stats, text } from "./core.js";
import { redraw, theme } from "./drawing.js";
import { forgetGround } from "./ground.js";
import { revealResult } from "./lens.js";
import { present } from "./live.js";
import { following, stop } from "./parts.js";
import { again, emit } from "./pins.js";
import { stage } from "./tools.js";
import { transport } from "./transport.js";
import { ordered } from "latent-map/areas.js";
import { clamp, latestWins } from "latent-map/basics.js";
import { drawSheet, fitCanvas, haloed, isSmall } from "latent-map/canvases.js";

// ---------------------------------------------------------------- region -> grid
export const cells = () => clamp(Math.round(Number(q(".lv-cells").value)) || 10, 2, 20);

const fetchGrid = latestWins(async (corners, final) => {
  const shape = shapeOf(corners), { act } = S, started = performance.now(), n = cells();
  let reply = null;
  for await (const part of following("result", transport.region(corners, n, n))) {
    if (!S.region || act !== S.act) return; // cleared, or another one, meanwhile
    Object.assign(S.region, { rows: part.rows, cols: part.cols, points: part.points, tiles: part.tiles });
    if (!reply) S.cell = -1;
    paintGrid(); stage();
    if (final && !reply) revealResult();
    reply = part;
  }
  if (!reply) return;
  element.toggleAttribute("data-decoded", final && reply.done === reply.of);
  stats.lastGridMs = performance.now() - started;
  if (final) emit("region", { box: shape.box || null, corners: shape.polygon || shape.box, points: reply.points });
});

export const shapeOf = (corners) => (corners.length === 2 ? { box: ordered(corners).map(round) } : { polygon: corners.map(round) });

export function setRegion(corners, final = true) {
  play(false); stop("result"); S.film = null; S.draft = []; S.cell = -1; element.removeAttribute("data-decoded");
  S.region = { ...(S.region || {}), corners, draws: null };
  if (final) { pickRegion(corners); q(".lv-query").value = ""; } else if (S.picked) unpick();
  redraw(); stage();
  if (final || (transport.can.live && transport.image.width < 96 && !(stats.lastGridMs > 250))) fetchGrid(corners, final); // live while dragging, where it is quick
}

export function paintGrid() {
  const { region } = S, canvas = q(".lv-grid canvas");
  if (!region || !region.tiles) return;
  show(".lv-grid", true); show(".lv-empty", false);
  const width = canvas.clientWidth, [one] = region.tiles, height = width / region.cols * region.rows * one.height / one.width;
  canvas.style.height = height + "px";
  const ctx = fitCanvas(canvas, width, height);
  drawSheet(ctx, region.tiles, region.rows, region.cols, width, height);
  if (S.cell >= 0) {
    const w = width / region.cols, h = height / region.rows;
    ctx.beginPath(); ctx.rect((S.cell % region.cols) * w + 1.5, Math.floor(S.cell / region.cols) * h + 1.5, w - 3, h - 3); haloed(ctx, theme, 2, theme.accent);
  }
}

export function chooseCell(cell) { // shows a cell's picture at its place on the map
  const { region } = S;
  if (!region || !region.tiles || cell < 0 || cell >= region.tiles.length || cell === S.cell) return;
  S.cell = cell;
  present(region.tiles[cell], region.points[cell]);
  paintGrid();
}

export function cellAt(event) {
  const r = q(".lv-grid canvas").getBoundingClientRect(), { rows, cols } = S.region;
  return clamp(Math.floor((event.clientY - r.top) / r.height * rows), 0, rows - 1) * cols + clamp(Math.floor((event.clientX - r.left) / r.width * cols), 0, cols - 1);
}

// ---------------------------------------------------------------- detail, and more samples of one place
export const detail = () => (!transport.can.detail || (S.detail === S.map.detail && !S.variant) ? null : [S.detail, S.variant]);

export function setDetail(amount, variant) {
  S.detail = amount; S.variant = variant;
  q(".lv-detail").value = amount; text(".lv-detail-value", Math.round(100 * amount) + " %");
  q(".lv-die").disabled = !amount;
  forgetGround();
  again();
}

export async function moreLike(point, seed = S.drawn ? S.drawn.seed + 1 : 0) { // sixteen draws from what the map leaves open there
  let region = null;
  stop("result");
  for await (const part of following("result", transport.draws(point, seed))) {
    if (region && S.region !== region) return;
    if (!region) { play(false); S.film = null; unpick(); S.draft = []; S.cell = -1; S.drawn = { seed }; }
    const begun = !region, seen = { corners: [point, point], draws: [round(point), seed], rows: part.rows, cols: part.cols, points: part.points, tiles: part.tiles };
    S.region = region = region ? Object.assign(region, seen) : seen;
    redraw(); stage(); paintGrid();
    if (begun) revealResult();
  }
  if (region) emit("draws", { point, points: region.points });
}

// ---------------------------------------------------------------- path -> film
export async function setPath(corners) {
  S.draft = []; S.region = null; unpick();
  stop("result");
  const scrub = q(".lv-scrub");
  let film = null;
  for await (const part of following("result", transport.path(thin(corners, 32).map(round), FRAMES))) {
    if (film && S.film !== film) return; // another act, meanwhile
    if (!part.tiles.length) continue; // its pace is being found
    if (!film) { S.film = film = { corners, points: part.points, tiles: part.tiles, pace: part.pace, at: 0, step: 1, playing: false }; stage(); revealResult(); }
    scrub.max = film.tiles.length - 1;
    seek(film.tiles.length - 1); // the newest
  }
  if (!film) return redraw();
  if (S.film !== film) return;
  seek(0); play(!calm.matches);
  emit("path", { corners: thin(corners, 32).map(round), points: film.points });
}

export function thin(line, most) { // keeps the ends and at most `most` corners at even steps along the line
  if (line.length <= most) return line;
  return Array.from({ length: most }, (_, i) => line[Math.round(i * (line.length - 1) / (most - 1))]);
}

export function endFilm() { play(false); stop("result"); S.film = null; stage(); }

export const frame = () => Math.round(S.film.at);

export function seek(at) {
  const { film } = S;
  film.at = clamp(at, 0, film.tiles.length - 1);
  q(".lv-scrub").value = frame();
  q(".lv-scrub").setAttribute("aria-valuetext", "frame " + (frame() + 1) + " of " + film.points.length);
  present(film.tiles[frame()], film.points[frame()]);
  paintStrip();
}

export function play(yes) {
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

export function stripShape(width) { // every frame, in as few even rows as leave them large enough to see
  const n = S.film.points.length, rows = Math.ceil(n / Math.max(2, Math.floor(width / 42)));
  return { rows, cols: Math.ceil(n / rows) };
}

export function paintStrip() {
  const { film } = S, canvas = q(".lv-strip canvas"), width = canvas.clientWidth;
  if (!film || !width) return;
  const { rows, cols } = stripShape(width), [one] = film.tiles, w = width / cols, h = w * one.height / one.width;
  canvas.style.height = h * rows + "px";
  const ctx = fitCanvas(canvas, width, h * rows);
  drawSheet(ctx, film.tiles, rows, cols, width, h * rows);
  ctx.beginPath(); ctx.rect((frame() % cols) * w + 1.5, Math.floor(frame() / cols) * h + 1.5, w - 3, h - 3); haloed(ctx, theme, 2.5, theme.accent);
}

export function drawCover(ctx, pictures, w, h) { // side by side, cropped to their cells
  pictures.forEach((tile, i) => {
    const scale = Math.max(w / tile.width, h / tile.height), sw = w / scale, sh = h / scale;
    ctx.imageSmoothingEnabled = !isSmall(tile);
    ctx.drawImage(tile, (tile.width - sw) / 2, (tile.height - sh) / 2, sw, sh, i * w, 0, w, h);
  });
}
