// Mouse, pen and fingers.

import { endLasso, lassoing } from "./choosing.js";
import { S, dim, mapCanvas, near, q, say } from "./core.js";
import { redraw } from "./drawing.js";
import { fit, here, lift, panBy, turnBy, unit, zoomAt } from "./geometry.js";
import { hideLens, placeLens } from "./lens.js";
import { look, paintPreview, settle } from "./live.js";
import { inPad, pen, penDown, penMove, penUp, pinHere } from "./pins.js";
import { cellAt, chooseCell, endFilm, play, seek, setPath, setRegion, stripShape } from "./samples.js";
import { addCorner, finish, stage } from "./tools.js";
import { transport } from "./transport.js";
import { ordered } from "latent-map/areas.js";
import { clamp } from "latent-map/basics.js";
import { gestures } from "latent-map/gestures.js";

export const fingers = gestures(mapCanvas, { at: () => here(), pan: panBy, zoomAt });
let pinPending = 0;
export const onMap = (event) => event.target === mapCanvas();

export function pointerDown(event) {
  if (inPad(event)) return penDown(event);
  if (event.target.closest(".lv-strip canvas")) return stripSeek(event);
  if (!onMap(event) || !S.map) return;
  const at = fingers.spot(event);
  S.touch = event.pointerType !== "mouse";
  if (fingers.down(event) > 1) { S.drag = { kind: "pinch" }; hideLens(); return redraw(); }
  const pan = S.tool === "move" || event.button === 1;
  const from = lift(...at), inside = S.tool === "region" && !lassoing() && S.region && !S.region.draws && !S.draft.length && insideBox(from);
  S.drag = { kind: pan ? "pan" : "press", start: at, last: at, from, moving: inside ? S.region.corners : null, touch: S.touch };
  if (S.touch && !pan) { look(from, performance.now()); if (S.tool === "look") placeLens(at); }
  element.toggleAttribute("data-dragging", pan);
}

function insideBox(p) {
  const { corners } = S.region;
  if (corners.length !== 2) return false;
  const [low, high] = ordered(corners);
  return p.every((x, i) => x >= low[i] - 1e-6 && x <= high[i] + 1e-6) && (dim() < 3 || low[S.plane.axis] === high[S.plane.axis]);
}

export function pointerMove(event) {
  const started = performance.now();
  if (pen) return penMove(event);
  if (event.target === q(".lv-grid canvas") && S.region?.tiles && event.pointerType === "mouse") return chooseCell(cellAt(event));
  if (event.buttons && event.target.closest(".lv-strip canvas") && S.film) return stripSeek(event);
  if (!S.map || !onMap(event)) return;
  const at = fingers.spot(event), { drag } = S;
  if (fingers.pinch(event) || drag?.kind === "pinch") return;
  if (!drag) return S.tool === "move" ? undefined : look(lift(...at), started);
  dragTo(drag, at, started);
}

function dragTo(drag, at, started) {
  const dx = at[0] - drag.last[0], dy = at[1] - drag.last[1], point = lift(...at);
  drag.last = at;
  if (drag.kind === "press" && !near(at, drag.start, 6)) { drag.kind = dragKind(drag); if (drag.kind === "line") { S.draft = [drag.from]; endFilm(); } if (drag.kind === "lasso") S.draft = [drag.from]; }
  if (drag.kind === "pan") { if (dim() === 3) turnBy(dx, dy); else panBy(-dx / unit(), dy / unit()); return; }
  if (drag.kind === "box") { drag.to = point; return setRegion([drag.from, point], false); }
  if (drag.kind === "shift") return shiftRegion(drag, point);
  if (drag.kind === "line" || drag.kind === "lasso") { S.draft.push(point); S.mark = point; return redraw(); }
  if (drag.touch) placeLens(at);
  look(point, started);
}

function dragKind(drag) {
  if (S.tool === "region") return drag.moving ? "shift" : lassoing() ? "lasso" : "box";
  if (S.tool === "path") return "line";
  return dim() === 3 && !drag.touch ? "pan" : "look";
}

function shiftRegion(drag, point) { // drags a box about, inside the map
  const by = point.map((x, i) => { const c = drag.moving.map((p) => p[i]); return clamp(x - drag.from[i], -1 - Math.min(...c), 1 - Math.max(...c)); });
  setRegion(drag.moving.map((p) => p.map((x, i) => x + by[i])), false);
}

export function pointerUp(event) {
  if (pen) return penUp();
  const last = fingers.up(event), { drag } = S;
  if (last) { hideLens(); element.removeAttribute("data-dragging"); }
  if (!last || !drag) return;
  S.drag = null;
  if (event.type === "pointercancel") { S.draft = []; return redraw(); }
  if (drag.kind === "box" || drag.kind === "shift") setRegion(S.region.corners);
  else if (drag.kind === "lasso") endLasso();
  else if (drag.kind === "line") setPath(dim() === 1 ? [S.draft[0], S.draft.at(-1)] : S.draft);
  else if (drag.kind === "press") pressed(drag);
  redraw(); stage();
}

function pressed(drag) { // a click without a drag
  if (S.tool === "region" || S.tool === "path") return addCorner(drag.from);
  clearTimeout(pinPending);
  if (S.tool === "look") pinPending = setTimeout(() => { S.cursor = drag.from; pinHere(); }, 260);
}

export async function exact(point) { // the picture of exactly this position, even if the pointer moved on
  const reply = await transport.picture(point);
  if (reply) { settle(); paintPreview(reply.tile, point, reply.support); }
}

export function doubleClick(event) {
  if (!onMap(event) || !S.map) return;
  clearTimeout(pinPending);
  if (S.tool === "region" || S.tool === "path") finish(); else fit();
}

export function wheel(event) {
  if (onMap(event) && S.map && !fingers.wheel(event)) say("The wheel zooms after a click on the map, or with Ctrl.");
}

function stripSeek(event) {
  const r = q(".lv-strip canvas").getBoundingClientRect();
  const { rows, cols } = stripShape(r.width), x = (event.clientX - r.left) / r.width, y = (event.clientY - r.top) / r.height;
  play(false); seek(clamp(Math.floor(y * rows), 0, rows - 1) * cols + clamp(Math.floor(x * cols), 0, cols - 1));
}
