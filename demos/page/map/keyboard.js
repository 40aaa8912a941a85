// Keys.

import { S, dim, q, say } from "./core.js";
import { box, fit, panBy, projector, unit, zoomAt } from "./geometry.js";
import { announce, look } from "./live.js";
import { addPin, pinHere } from "./pins.js";
import { onMap } from "./pointer.js";
import { chooseCell, play } from "./samples.js";
import { filled, toggleFull } from "./screen.js";
import { addCorner, clearAll, finish, setDepth, setTool } from "./tools.js";
import { moved, zoomKey } from "latent-map/keys.js";

export function keyDown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const used = onMap(event) ? mapKey(event) : event.target === q(".lv-grid canvas") ? gridKey(event) : event.target.classList.contains("lv-tool") && toolKey(event);
  if (used) event.preventDefault();
}

function mapKey(event) {
  const { key } = event;
  if (!S.map) return false;
  const point = moved(event, cursor(), S.view, S.plane);
  if (point) { if (S.film) play(false); look(point); follow(); announce(); return true; }
  if (zoomKey(event, cursorSpot, zoomAt, fit)) return true;
  if (key === "Enter") { if (S.draft.length >= 2) finish(); else pinHere(); return true; }
  if (key === " ") { if (S.tool === "region" || S.tool === "path") addCorner(S.cursor); else pinHere(); return true; }
  if (key === "Escape") { if (filled() && !S.draft.length && !S.drag) toggleFull(); else clearAll(); return true; }
  if (key === "f") { toggleFull(); return true; }
  if (dim() === 3 && (key === "PageUp" || key === "PageDown")) { setDepth(S.plane.depth + (key === "PageUp" ? 0.05 : -0.05)); return true; }
  return false;
}

const cursor = () => S.cursor || new Array(dim()).fill(0), cursorSpot = () => projector()(cursor());

export function follow() { // keeps the cursor in view when zoomed in
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

export function pinCell() { if (S.cell >= 0) { addPin(S.region.points[S.cell], S.region.tiles[S.cell], null, S.region.draws && [...S.region.draws, S.cell]); say("Pinned picture " + S.pins.length + "."); } }

function toolKey(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return false;
  const all = [...element.querySelectorAll(".lv-tool")], next = all[(all.indexOf(event.target) + by + all.length) % all.length];
  setTool(next.dataset.tool); next.focus();
  return true;
}
