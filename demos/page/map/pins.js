// Pins, and own pictures that become pins.

import { S, q, round, say, show, text } from "./core.js";
import { startAt } from "./directions.js";
import { redraw } from "./drawing.js";
import { record } from "./history.js";
import { refreshLine } from "./layers.js";
import { look } from "./live.js";
import { paintTile, tiles } from "./pictures.js";
import { exact } from "./pointer.js";
import { detail, endFilm, play, setPath, setRegion, shapeOf, thin } from "./samples.js";
import { transport } from "./transport.js";

export const MOST_PINS = 24;

export const carried = () => { const pin = S.pins.find((p) => p.key === S.chosen); return pin && pin.id && q(".lv-carry").checked ? pin.id : null; };

export function emit(kind, { point = S.cursor, points = null, corners = null, box: bounds = null } = {}) {
  transport.keep({ kind, id: S.map.id, point: point && round(point), points: points || (point && [round(point)]), corners, box: bounds, shown: shown() });
  record();
}

function shown() { // what can be kept: the grid and the film as they are seen, and the pins
  const { region, film } = S;
  return {
    region: region?.tiles && !region.draws ? shapeOf(region.corners) : null, draws: region?.draws ?? null, detail: detail(), rows: region?.rows ?? null, cols: region?.cols ?? null,
    path: film ? thin(film.corners, 32).map(round) : null, frames: film?.points.length ?? null, pace: film?.pace ?? "constant", pin: carried(),
    pins: S.pins.map((pin) => ({ point: round(pin.point), pin: pin.id, drawn: pin.drawn, detail: pin.detail })),
  };
}

export function addPin(point, tile, id = null, drawn = null) {
  const pin = { key: ++S.serial, point: Array.from(point), tile, id, drawn, detail: detail() };
  S.pins.push(pin);
  if (S.pins.length > MOST_PINS) { S.pins.shift(); say("At most " + MOST_PINS + " pins are kept: the first one went."); }
  if (id) S.chosen = pin.key;
  listPins(); redraw(); emit("pin", { point: pin.point }); startAt(pin);
  return pin;
}

export async function pinHere() {
  if (!S.map) return;
  if (S.cursor && (S.cursor !== S.mark || S.coarse)) await exact(S.cursor); // the preview may be a moment behind
  if (!S.tile || !S.mark) return;
  const full = S.pins.length === MOST_PINS;
  addPin(S.mark, S.tile);
  if (!full) say("Pinned picture " + S.pins.length + ".");
}

export function listPins() {
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
  show(".lv-through", S.pins.length > 1); show(".lv-unpin", S.pins.length > 1);
  const chosen = S.pins.find((pin) => pin.key === S.chosen);
  show(".lv-keep", Boolean(chosen && chosen.id));
}

export function choosePin(key) {
  const before = carried();
  S.chosen = S.chosen === key ? null : key;
  listPins();
  q('.lv-pin[data-key="' + key + '"] .lv-pin-go').focus();
  play(false); look(S.pins.find((pin) => pin.key === key).point);
  if (carried() !== before) again();
  if (S.chosen === key) startAt(S.pins.find((pin) => pin.key === key));
}

export function removePin(key) {
  S.pins = S.pins.filter((pin) => pin.key !== key);
  if (S.chosen === key) { S.chosen = null; again(); }
  listPins(); redraw(); emit("unpin");
  (q(".lv-pin-remove") || q(".lv-pin-here")).focus();
}

export function removePins() {
  const before = carried();
  S.pins = []; S.chosen = null;
  listPins(); redraw(); emit("unpin");
  if (before) again();
  q(".lv-pin-here").focus();
}

export function again() { // the carried sample changed: everything that was decoded is decoded anew
  S.seen = [];
  if (S.cursor) look(S.cursor);
  if (S.region && !S.region.draws) setRegion(S.region.corners);
  if (S.film) setPath(S.film.corners);
  refreshLine();
}

// ---------------------------------------------------------------- drawing
export let pen = null;
const pad = () => q(".lv-draw canvas");
export const inPad = (event) => event.target === pad();

export function penDown(event) {
  event.preventDefault();
  pad().setPointerCapture(event.pointerId);
  pen = padSpot(event); stroke(pen, pen);
  q(".lv-place").disabled = q(".lv-wipe").disabled = false;
}

function padSpot(event) { const r = pad().getBoundingClientRect(); return [(event.clientX - r.left) / r.width * 280, (event.clientY - r.top) / r.height * 280]; }
export function penMove(event) { const moves = event.getCoalescedEvents?.() ?? []; for (const e of moves.length ? moves : [event]) { const to = padSpot(e); stroke(pen, to); pen = to; } }
export function penUp() { pen = null; }

function stroke(a, b) {
  const ctx = pad().getContext("2d");
  Object.assign(ctx, { strokeStyle: "#fff", lineWidth: 20, lineCap: "round", lineJoin: "round", shadowColor: "#fff", shadowBlur: 7 });
  ctx.beginPath(); ctx.moveTo(...a); ctx.lineTo(b[0] + 0.01, b[1]); ctx.stroke();
}

export function wipe() { pad().getContext("2d").clearRect(0, 0, 280, 280); q(".lv-place").disabled = q(".lv-wipe").disabled = true; }

export async function place() {
  const small = document.createElement("canvas"), { width, height } = transport.image;
  small.width = width; small.height = height;
  const ctx = small.getContext("2d");
  ctx.fillStyle = "#000"; ctx.fillRect(0, 0, width, height); ctx.imageSmoothingQuality = "high"; ctx.drawImage(pad(), 0, 0, width, height);
  const { data } = ctx.getImageData(0, 0, width, height), gray = String.fromCharCode(...Array.from({ length: width * height }, (_, i) => data[4 * i]));
  const pin = await transport.place(width, height, btoa(gray));
  if (pin) { await placePin(pin); say("Your drawing lies here. Move over the map: its own details go along."); }
}

export async function placePin(pin) { // a pin of the server or of the host page
  const tile = pin.image ? (await tiles(pin.image))[0] : (await transport.picture(pin.point, [pin.id ?? null, null], true))?.tile;
  if (!tile) return;
  endFilm();
  const { point } = addPin(pin.point, tile, pin.id ?? null);
  S.cursor = point; again();
}
