// What is shown, in the address: a reload and the back button keep it, and a link shows another the same.
//   map (kept id, or name on the Hub), at, view, plane, tool, layer, colour, hidden, detail, pins, pin (the chosen one),
//   and one of region with grid, draws, path. Positions are numbers with commas, one after the other with semicolons.

import { MOST_LASSO } from "./choosing.js";
import { firstTint, legend, tintBy } from "./colours.js";
import { HINTS, S, dim, q, text } from "./core.js";
import { redraw } from "./drawing.js";
import { panBy } from "./geometry.js";
import { setLayer } from "./layers.js";
import { look } from "./live.js";
import { MOST_PINS, emit, listPins } from "./pins.js";
import { cells, detail, moreLike, setDetail, setPath, setRegion, thin } from "./samples.js";
import { firstLayer, load, reset, setState } from "./start.js";
import { setDepth, setTool } from "./tools.js";
import { transport } from "./transport.js";
import { clamp, later } from "latent-map/basics.js";
import { EMPTY_VIEW } from "latent-map/projection.js";

const ADDRESSED = element.id === "lv" || Boolean(element.closest("#lv")); // maps side by side have none
const short = (x) => String(Math.round(x * 1e4) / 1e4), spotWords = (p) => p.map(short).join(","), lineWords = (line) => line.map(spotWords).join(";");
let restoring = false;

function addressWords() {
  const { map, view, region, film } = S, d = dim(), parts = { map: map.address };
  if (S.mark) parts.at = spotWords(S.mark);
  const seen = d === 3 ? [view.cx, view.cy, view.zoom, view.yaw, view.pitch] : [view.cx, view.cy, view.zoom];
  if (Object.keys(EMPTY_VIEW).some((key) => view[key] !== EMPTY_VIEW[key])) parts.view = spotWords(seen);
  if (d === 3) parts.plane = spotWords([S.plane.axis, S.plane.depth]);
  if (S.tool !== "look") parts.tool = S.tool;
  if (S.layerName !== firstLayer()) parts.layer = S.layerName;
  if (S.tint && S.tint !== firstTint()) parts.colour = S.tint.key;
  if (S.hidden.size) parts.hidden = [...S.hidden].join(",");
  if (detail()) parts.detail = spotWords(detail());
  if (S.pins.length) parts.pins = S.pins.map(pinWords).join(";");
  const chosen = S.pins.findIndex((pin) => pin.key === S.chosen);
  if (chosen >= 0) parts.pin = chosen + 1;
  if (region?.draws) parts.draws = spotWords(region.draws.flat());
  else if (region?.tiles) Object.assign(parts, { region: lineWords(thin(region.corners, MOST_LASSO)), grid: cells() });
  if (film) parts.path = lineWords(thin(film.corners, 32));
  return Object.entries(parts).map(([key, value]) => key + "=" + value).join("&");
}

// Of a pin: its position, and behind a colon an own picture's id, the draw it is, or its detail.
function pinWords({ point, id, drawn, detail: own }) {
  const more = id ? ":id," + id : drawn ? ":draw," + spotWords(drawn.flat()) : own ? ":detail," + spotWords(own) : "";
  return spotWords(point) + more;
}

const numbers = (words) => words.split(",").map(Number);
const line = (words) => words.split(";").map(numbers);
const fits = (points) => points.every((p) => p.length === dim() && p.every((x) => Number.isFinite(x) && Math.abs(x) <= 1.5));

function readAddress() { // null where there is none
  const parts = {};
  for (const part of location.hash.slice(1).split("&")) {
    const at = part.indexOf("=");
    try { if (at > 0) parts[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1)); } catch { /* no word of ours */ }
  }
  return parts.map ? parts : null;
}

export function writeNow() { // another map is another step for the back button
  if (!ADDRESSED || restoring || !S.map || element.dataset.state !== "ready") return;
  const words = "#" + addressWords(), before = readAddress();
  if (words === location.hash) return;
  history[before && before.map !== S.map.address ? "pushState" : "replaceState"](history.state, "", words);
  if (window.parent !== window) window.parent.postMessage({ hash: words }, "https://huggingface.co"); // a Space lies in a frame of it
}

export const writeAddress = later(400, writeNow);

export function placeOf(parts) { // that was looked at
  const at = parts?.at && numbers(parts.at);
  return at && fits([at]) ? at : null;
}

export async function restoreAddress(parts) { // what does not fit this map is left out
  restoring = true;
  try {
    const { turn } = S, seen = parts.view && numbers(parts.view);
    if (seen && seen.every(Number.isFinite) && seen.length >= 3) { const [cx, cy, zoom, yaw = S.view.yaw, pitch = S.view.pitch] = seen; S.view = { cx: clamp(cx), cy: clamp(cy), zoom: clamp(zoom, 0.6, 80), yaw, pitch }; }
    if (parts.plane && dim() === 3) { const [axis, depth] = numbers(parts.plane); if ([0, 1, 2].includes(axis) && Number.isFinite(depth)) { S.plane.axis = axis; q(".lv-axis").value = axis; setDepth(depth); } }
    if (S.map.columns[Number(parts.colour)]) await tintBy(parts.colour);
    if (turn !== S.turn) return;
    if (parts.hidden && S.tint?.ranks) { S.hidden = new Set(numbers(parts.hidden).filter((rank) => S.tint.names[rank] !== undefined)); legend(); }
    if (parts.detail && transport.can.detail) { const [amount, variant] = numbers(parts.detail); if (amount >= 0 && amount <= 1 && Number.isInteger(variant)) setDetail(amount, variant); }
    if ([...q(".lv-layer").options].some((option) => option.value === parts.layer && !option.hidden) && !["arrows", "find"].includes(parts.layer)) setLayer(parts.layer);
    if (HINTS[parts.tool]) setTool(parts.tool);
    panBy(0, 0);
    await restorePins(parts);
    if (turn !== S.turn) return;
    const draws = parts.draws && numbers(parts.draws), region = parts.region && line(parts.region), path = parts.path && line(parts.path);
    if (draws && draws.length === dim() + 1 && fits([draws.slice(0, -1)]) && transport.can.detail) await moreLike(draws.slice(0, -1), draws.at(-1));
    else if (path && path.length > 1 && fits(path)) await setPath(path);
    else if (region && region.length > 1 && fits(region)) { q(".lv-cells").value = Number(parts.grid) || 10; q(".lv-cells").value = cells(); setRegion(region); }
    const at = placeOf(parts);
    if (at && !S.film) look(at);
  } finally { restoring = false; }
}

async function restorePins({ pins, pin }) {
  for (const words of pins ? pins.split(";").slice(0, MOST_PINS) : []) {
    const [where, more = ""] = words.split(":"), point = numbers(where), [kind, ...rest] = more.split(",");
    if (!fits([point])) continue;
    const found = kind === "draw" ? await drawnTile(rest.map(Number)) : await transport.picture(point, [kind === "id" ? rest[0] : null, kind === "detail" ? rest.map(Number) : null], true);
    if (!found) continue;
    const kept = { key: ++S.serial, point, tile: found.tile, id: kind === "id" ? rest[0] : null, drawn: found.drawn ?? null, detail: kind === "detail" ? rest.map(Number) : null };
    S.pins.push(kept);
  }
  const chosen = S.pins[Number(pin) - 1];
  if (chosen) S.chosen = chosen.key;
  listPins(); redraw();
  if (S.pins.length) emit("pins");
}

async function drawnTile(values) {
  const [seed, cell] = values.slice(-2), point = values.slice(0, -2);
  if (fits([point])) for await (const { tiles } of transport.draws(point, seed, true)) if (tiles[cell]) return { tile: tiles[cell], drawn: [point, seed, cell] };
  return null;
}

// ---------------------------------------------------------------- maps that an address names
export function openAddress() {
  const parts = readAddress();
  if (!ADDRESSED || !parts) return false;
  if (S.map && parts.map === S.map.address) load(S.value, parts); else openMap(parts.map, parts);
  return true;
}

function openMap(name, parts) { // by its id here or its name on the Hub
  S.asked = parts;
  S.turn++; reset(); redraw(true); setState("loading"); text(".lv-text", "Opening the map…");
  transport.show(name);
}

export function tryAgain() {
  if (S.value?.gone) openAddress(); else if (S.lost) location.reload(); else load(S.value);
}

export function firstMap() { // by a new page: after a restart of the server this one may have lost its connection
  history.pushState(null, "", location.pathname + location.search);
  location.reload();
}

// The map that is shown went with the server: it was started again, or has made room for others.
export function lostMap(words) {
  S.lost = S.map?.address.includes("/") ? S.map.address : null; // of the Hub: to be had again
  if (element.dataset.state !== "error") setState("error", S.map ? "This map is no longer on the server" : "This map could not be opened", words);
}

window.addEventListener("popstate", () => { if (element.isConnected && S.map && location.hash !== "#" + addressWords()) openAddress(); });
