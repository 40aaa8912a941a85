// What the map's canvas shows: the codes beneath, and over them what a visitor does.

import { writeAddress } from "./address.js";
import { drawArrows } from "./arrows.js";
import { colour, isFaded, isHidden } from "./colours.js";
import { S, dim, mapCanvas, q } from "./core.js";
import { drawMove, moving } from "./directions.js";
import { box, onPlane, outline, projector } from "./geometry.js";
import { drawSurface } from "./ground.js";
import { drawNames } from "./names.js";
import { fitCanvas, isSmall } from "./pictures.js";
import { drawPoints, drawRug } from "./points.js";
import { frame } from "./samples.js";

export const base = document.createElement("canvas");
let dirty = false, baseDirty = true;
export let theme = {};

export function redraw(all = false) {
  baseDirty ||= all;
  if (dirty) return;
  dirty = true;
  requestAnimationFrame(() => { dirty = false; draw(); });
}

export function readTheme() {
  const style = getComputedStyle(q(".lv-map")), rgb = (style.backgroundColor.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
  theme = { paper: style.backgroundColor, ink: style.color, accent: getComputedStyle(element).accentColor, dark: rgb[0] * 0.3 + rgb[1] * 0.59 + rgb[2] * 0.11 < 128 };
  element.dataset.theme = theme.dark ? "dark" : "light";
}

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
  writeAddress();
}

function drawBase(ctx) {
  ctx.fillStyle = theme.paper; ctx.fillRect(0, 0, box.w, box.h);
  if (!S.map) return;
  const project = projector();
  drawSurface(ctx, project);
  drawHeat(ctx, project);
  drawFrame(ctx, project);
  if (dim() === 1) drawRug(ctx, project); else drawPoints(ctx, project);
  drawArrows(ctx, project);
  drawThumbs(ctx, project);
}

function drawHeat(ctx, project) {
  if (!S.layer || dim() !== 2) return;
  const [x0, y0] = project([-1, 1]), [x1, y1] = project([1, -1]);
  ctx.globalAlpha = theme.dark ? 0.6 : 0.5; ctx.imageSmoothingEnabled = true;
  ctx.drawImage(S.layer.picture, x0, y0, x1 - x0, y1 - y0);
  ctx.globalAlpha = 1;
}

export function trace(ctx, project, corners, close) {
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

function drawThumbs(ctx, project) {
  for (const { index, side } of S.shownThumbs) {
    const tile = S.thumbs.get(index), d = dim();
    if (!tile || isHidden(index)) continue;
    const [x, y] = project(Array.from(S.points.subarray(index * d, index * d + d)));
    ctx.globalAlpha = isFaded(index) ? 0.25 : 1; ctx.fillStyle = colour(index);
    ctx.beginPath(); ctx.roundRect(x - side / 2 - 2, y - side / 2 - 2, side + 4, side + 4, 4); ctx.fill();
    ctx.imageSmoothingEnabled = !isSmall(tile);
    ctx.drawImage(tile, x - side / 2, y - side / 2, side, side);
  }
  ctx.globalAlpha = 1;
}

export function haloed(ctx, width, colourOf, alpha = 1) { // a line that reads on any ground
  ctx.globalAlpha = alpha; ctx.lineJoin = ctx.lineCap = "round";
  ctx.strokeStyle = theme.paper; ctx.lineWidth = width + 2.5; ctx.stroke();
  ctx.strokeStyle = colourOf; ctx.lineWidth = width; ctx.stroke(); ctx.globalAlpha = 1;
}

function drawOver(ctx, project) {
  if (dim() === 3) drawPlane(ctx, project);
  if (S.region) drawArea(ctx, project, S.region.corners);
  if (S.drag && S.drag.kind === "box") drawArea(ctx, project, [S.drag.from, S.drag.to]);
  if (S.film) { trace(ctx, project, S.film.points); haloed(ctx, 2.5, theme.accent); }
  if (moving()) drawMove(ctx, project);
  if (S.draft.length) drawDraft(ctx, project);
  drawNames(ctx, project);
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
  const corners = S.cursor && S.drag?.kind !== "line" && S.drag?.kind !== "lasso" ? [...S.draft, S.cursor] : S.draft;
  trace(ctx, project, corners, S.drag?.kind === "lasso"); haloed(ctx, 2, theme.accent);
  if (S.drag?.kind !== "line" && S.drag?.kind !== "lasso") S.draft.forEach((p) => drawDot(ctx, project(p), 5));
}

export function drawDot(ctx, [x, y], radius) {
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
