// What the map's canvas shows: the codes beneath, and over them what a visitor does.

import { writeAddress } from "./address.js";
import { drawArrows } from "./arrows.js";
import { colour, isFaded, isHidden, marks } from "./colours.js";
import { S, dim, mapCanvas, q } from "./core.js";
import { drawMove, moving } from "./directions.js";
import { box, cloud, projector } from "./geometry.js";
import { drawSurface } from "./ground.js";
import { frame } from "./samples.js";
import { outline } from "latent-map/areas.js";
import { drawArea, drawCross, drawFrame, drawHeat, drawPlane, fitCanvas, haloed, isSmall, themeOf, trace } from "latent-map/canvases.js";
import { drawNames } from "latent-map/names.js";
import { drawPoints, drawRug } from "latent-map/points.js";
import { onPlane } from "latent-map/projection.js";

const base = document.createElement("canvas");
let dirty = false, baseDirty = true;
export let theme = {};

export function redraw(all = false) {
  baseDirty ||= all;
  if (dirty) return;
  dirty = true;
  requestAnimationFrame(() => { dirty = false; draw(); });
}

export function readTheme() {
  theme = themeOf(getComputedStyle(q(".lv-map")), getComputedStyle(element).accentColor);
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
  if (S.layer && dim() === 2) drawHeat(ctx, theme, project, S.layer.picture);
  drawFrame(ctx, theme, project, dim());
  if (dim() === 1) drawRug(ctx, cloud(), marks(), box, project); else drawPoints(ctx, theme, cloud(), marks(), box, project, S.view.zoom);
  drawArrows(ctx, project);
  drawThumbs(ctx, project);
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

function drawOver(ctx, project) {
  if (dim() === 3) drawPlane(ctx, theme, project, [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => onPlane(S.plane, a, b)));
  if (S.region) drawShape(ctx, project, S.region.corners);
  if (S.drag && S.drag.kind === "box") drawShape(ctx, project, [S.drag.from, S.drag.to]);
  if (S.film) { trace(ctx, project, S.film.points); haloed(ctx, theme, 2.5, theme.accent); }
  if (moving()) drawMove(ctx, project);
  if (S.draft.length) drawDraft(ctx, project);
  if (q(".lv-named").checked) drawNames(ctx, theme, cloud(), S.tint, S.hidden, box, project);
  S.pins.forEach((pin, i) => drawPin(ctx, project(pin.point), i + 1, pin.key === S.chosen));
  if (S.film) drawDot(ctx, project(S.film.points[frame()]), 7);
  if (S.mark) drawCross(ctx, theme, project(S.mark));
}

const drawShape = (ctx, project, corners) => drawArea(ctx, theme, project, box, corners.length === 2 ? outline(corners, S.plane) : corners);

function drawDraft(ctx, project) {
  const corners = S.cursor && S.drag?.kind !== "line" && S.drag?.kind !== "lasso" ? [...S.draft, S.cursor] : S.draft;
  trace(ctx, project, corners, S.drag?.kind === "lasso"); haloed(ctx, theme, 2, theme.accent);
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
