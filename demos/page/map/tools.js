// Tools, legend, buttons and fields, and which result lies beside the map.

import { firstMap, tryAgain } from "./address.js";
import { chosenNumbers, copyNumbers, listPicked, saveCodes, zoomToPicked } from "./choosing.js";
import { toggleLabel, unhide } from "./colours.js";
import { copyPicture } from "./copying.js";
import { HINTS, S, dim, q, show, text, touching } from "./core.js";
import { chooseDirection, chooseSet, slide, startAt, stepTo, unmove } from "./directions.js";
import { redraw } from "./drawing.js";
import { closePicked, searchFor } from "./finding.js";
import { box, fit, zoomAt } from "./geometry.js";
import { redo, undo } from "./history.js";
import { follow, pinCell } from "./keyboard.js";
import { findDirections, setLayer } from "./layers.js";
import { look } from "./live.js";
import { goToCode } from "./neighbours.js";
import { cancel, stop } from "./parts.js";
import { again, choosePin, emit, pinHere, place, removePin, removePins, wipe } from "./pins.js";
import { cellAt, cells, chooseCell, endFilm, moreLike, paintGrid, paintStrip, play, seek, setDetail, setPath, setRegion } from "./samples.js";
import { toggleFull } from "./screen.js";
import { step, tour } from "./tour.js";
import { clamp, download, signed } from "latent-map/basics.js";
import { onPlane, planeAxes } from "latent-map/projection.js";

export function setTool(tool) {
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
  if (S.tool === "look" && touching.matches) return "Slide a finger over the map to see its pictures; tap to pin one, pinch to zoom.";
  return HINTS[S.tool];
}

export function stage() { // which result lies beside the map
  const name = S.film ? "film" : S.region && S.region.tiles ? "grid" : "look";
  const changed = element.dataset.stage !== name;
  element.dataset.stage = name; element.toggleAttribute("data-draws", Boolean(S.region?.draws));
  show(".lv-grid", name === "grid"); show(".lv-film", name === "film"); show(".lv-empty", name === "look");
  text(".lv-empty", S.tool === "path" ? "The film of your path will play here." : S.tool === "region" ? "The pictures of your region will lie here as a grid." : "Choose Region for a grid of pictures, or Path for a film between two places.");
  text(".lv-hint-text", hint());
  show(".lv-shape-field", S.tool === "region" && dim() === 2); show(".lv-finish", S.draft.length >= 2); show(".lv-clear", Boolean(S.draft.length || S.region || S.film));
  if (changed && name === "grid") paintGrid();
  if (changed && name === "film") paintStrip();
}

export function clearAll() {
  if (S.draft.length || S.drag) { S.draft = []; S.drag = null; } else { stop("result"); S.region = null; S.film = null; S.picked = null; listPicked(); emit("clear"); }
  redraw(true); stage();
}

export function finish() {
  const corners = S.draft.filter((p, i, all) => !i || Math.hypot(...p.map((x, c) => x - all[i - 1][c])) > 0.004 / S.view.zoom);
  if (corners.length < 2) return;
  if (S.tool === "region") setRegion(corners); else setPath(corners);
}

export function addCorner(point) {
  if (S.tool === "path") endFilm();
  S.draft.push(point);
  if (S.tool === "region" && dim() !== 2 && S.draft.length === 2) finish();
  else if (S.draft.length >= 32 || (S.tool === "path" && dim() === 1 && S.draft.length === 2)) finish();
  redraw(); stage();
}

// ---------------------------------------------------------------- clicks and fields
const CLICKS = {
  ".lv-cancel": cancel, ".lv-full": toggleFull, ".lv-copy-picture": copyPicture, ".lv-tour-start": () => tour(0), ".lv-tour-skip": () => tour(-1), ".lv-tour-back": () => tour(step - 1), ".lv-tour-next": () => tour(step + 1), ".lv-tool": (b) => setTool(b.dataset.tool), ".lv-fit": fit, ".lv-finish": finish, ".lv-clear": clearAll, ".lv-retry": tryAgain, ".lv-first": firstMap,
  ".lv-zoom-in": () => zoomAt(box.w / 2, box.h / 2, 1.5), ".lv-zoom-out": () => zoomAt(box.w / 2, box.h / 2, 1 / 1.5),
  ".lv-unhide": unhide, ".lv-legend button": toggleLabel, ".lv-near-go": goToCode, ".lv-undo": undo, ".lv-redo": redo,
  ".lv-copy-numbers": copyNumbers, ".lv-save-numbers": () => download([chosenNumbers()], "application/json", "codes.json"), ".lv-save-codes": saveCodes, ".lv-zoom-picked": zoomToPicked, ".lv-unpick": closePicked, ".lv-group": searchFor, ".lv-pin-here": pinHere, ".lv-unpin": removePins, ".lv-more": () => S.mark && moreLike(S.pins.find((pin) => pin.key === S.chosen)?.point ?? S.mark),
  ".lv-die": () => setDetail(S.detail, S.variant + 1), ".lv-through": () => { setTool("path"); setPath(S.pins.map((pin) => pin.point)); },
  ".lv-pin-go": (b) => choosePin(Number(b.closest(".lv-pin").dataset.key)), ".lv-pin-remove": (b) => removePin(Number(b.closest(".lv-pin").dataset.key)),
  ".lv-play": () => play(!S.film.playing), ".lv-place": place, ".lv-wipe": wipe,
  ".lv-choose": (b) => chooseDirection(Number(b.dataset.number)), ".lv-unmove": unmove,
};

export function click(event) {
  if (event.target === q(".lv-grid canvas") && S.region?.tiles) { chooseCell(cellAt(event)); return pinCell(); }
  if (event.target === q(".lv-walk canvas") && S.found?.walk) return stepTo(event);
  for (const [selector, act] of Object.entries(CLICKS)) { const hit = event.target.closest(selector); if (hit) return act(hit, event); }
}

export function input(event) {
  const { classList, value } = event.target;
  if (classList.contains("lv-scrub") && S.film) { play(false); seek(Number(value)); }
  if (classList.contains("lv-position") && S.map) { play(false); look([Number(value)]); follow(); }
  if (classList.contains("lv-depth")) setDepth(Number(value));
  if (classList.contains("lv-steps") && S.found) slide(Number(event.target.dataset.number), Number(value));
}

export function change(event) {
  const { classList, value } = event.target;
  if (classList.contains("lv-layer")) { if (value === "find") findDirections(); else setLayer(value); }
  if (classList.contains("lv-detail")) setDetail(Number(value), S.variant);
  if (classList.contains("lv-axis")) { S.plane.axis = Number(value); setDepth(0); }
  if (classList.contains("lv-cells")) { event.target.value = cells(); if (S.region && !S.region.draws) setRegion(S.region.corners); }
  if (classList.contains("lv-carry")) again();
  if (classList.contains("lv-set") && S.found) chooseSet(Number(value));
  if (classList.contains("lv-snap")) startAt(S.found?.origin);
}

export function setDepth(depth) {
  S.plane.depth = Math.round(clamp(depth) * 100) / 100;
  q(".lv-depth").value = S.plane.depth; text(".lv-depth-value", signed(S.plane.depth));
  const [i, j] = planeAxes(S.plane), at = S.cursor || [0, 0, 0];
  look(onPlane(S.plane, at[i], at[j])); redraw(true);
}
