// A map comes, and the page's elements are filled; this file is the last.

import { openAddress, placeOf, restoreAddress, writeNow } from "./address.js";
import { listPicked } from "./choosing.js";
import { legend, setTints } from "./colours.js";
import { S, calm, dim, mapCanvas, q, say, show, stats, text } from "./core.js";
import { folded, mountDirections, openDirections, paintWalk } from "./directions.js";
import { readTheme, redraw } from "./drawing.js";
import { refreshGround } from "./ground.js";
import { record, tellHistory } from "./history.js";
import { keyDown } from "./keyboard.js";
import { listLayers, paintLine, refreshLine, refreshThumbs, setLayer } from "./layers.js";
import { look, paintPreviewBlank, settle } from "./live.js";
import { showNeighbours } from "./neighbours.js";
import { stop } from "./parts.js";
import { paintTile } from "./pictures.js";
import { listPins, placePin } from "./pins.js";
import { doubleClick, fingers, pointerDown, pointerMove, pointerUp, wheel } from "./pointer.js";
import { paintGrid, paintStrip, play } from "./samples.js";
import { change, click, input, setTool, stage } from "./tools.js";
import { transport } from "./transport.js";
import { bytes } from "latent-map/basics.js";
import { EMPTY_VIEW } from "latent-map/projection.js";

export function setState(state, title = "", words = "") {
  S.shown = [state, title, words];
  element.dataset.state = state;
  element.toggleAttribute("data-empty", state === "loading" && Boolean(title));
  show(".lv-message", Boolean(title)); text(".lv-message-title", title); text(".lv-message-text", words); for (const part of [".lv-retry", ".lv-first"]) show(part, state === "error");
}

export function reset() {
  play(false); stop("result"); stop("walk"); stop("layer"); S.wanted = null; settle();
  Object.assign(S, { map: null, seen: [], hidden: new Set(), view: { ...EMPTY_VIEW }, plane: { axis: 2, depth: 0 }, cursor: null, mark: null, tile: null, draft: [], drag: null, region: null, film: null, pins: [], chosen: null, layer: null, thumbs: new Map(), shownThumbs: [], ground: new Map(), fog: null, line: null, found: null, arrows: null, tint: null, picked: null, past: [], future: [] });
  Object.assign(element.dataset, { decodes: "0", at: "", stage: "look" });
  stats.decodes = 0; stats.latencies.length = 0; fingers.reset();
  text(".lv-title", "Latent map"); text(".lv-text", ""); text(".lv-at", "no position yet"); text(".lv-near", "");
  for (const part of [".lv-heat", ".lv-draw", ".lv-line", ".lv-plane"]) show(part, false);
  if (q(".lv-preview canvas")) paintPreviewBlank(q(".lv-preview canvas"));
  if (q(".lv-query")) q(".lv-query").value = "";
  show(".lv-neighbours", false); listPicked(); tellHistory();
  stage(); mountDirections();
}

export async function load(value, parts = null) { // `parts` of an address are shown of it
  S.turn++; S.value = value;
  reset(); say("", "none"); redraw(true); listPins(); legend();
  if (value?.gone) return setState("error", "The map of this address could not be opened", value.gone);
  if (!value || !value.id) return setState("loading", "No map yet", "Choose a map, and its codes appear here.");
  setState("loading"); text(".lv-text", "Opening the map…");
  const map = await transport.open(value.id);
  if (!map) { if (S.value === value) { text(".lv-text", ""); if (element.dataset.state !== "error") setState("error", "This map could not be opened", q(".lv-status").textContent); } return; }
  const codes = bytes(map.points);
  Object.assign(S, { map, points: new Float32Array(codes.buffer), count: codes.length / 4 / map.dim });
  setTints(map);
  Object.assign(S, { detail: map.detail ?? 0, variant: 0, drawn: null });
  setState("ready"); mount();
  if (S.asked?.map === map.address) parts = S.asked;
  S.asked = null;
  look(placeOf(parts) ?? firstLook());
  setLayer(value.layer || firstLayer()); refreshThumbs(); refreshLine();
  if (parts) await restoreAddress(parts);
  writeNow();
  S.past = []; record();
  if (value.pin) placePin(value.pin);
  if (value.directions) openDirections(value.directions);
}

export const firstLayer = () => (transport.can.ground ? "images" : "none");

function comeIntoView() { // a new map is above what it was asked for with
  const { top } = mapCanvas()?.getBoundingClientRect() ?? { top: 0 };
  if (top < 0 || top > innerHeight / 2) q(".lv").scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
}

export function firstLook() { // a place that decodes well, so that the preview is never empty
  const at = [...S.map.start];
  if (dim() === 3) at[S.plane.axis] = S.plane.depth;
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
    show(".lv-detail-field", transport.can.detail); show(".lv-more", transport.can.detail);
    q(".lv-detail").value = S.detail; text(".lv-detail-value", Math.round(100 * S.detail) + " %"); q(".lv-die").disabled = !S.detail;
    show(".lv-draw", transport.can.draw);
    legend(); listPins(); listPicked(); tellHistory(); showNeighbours();
    if (S.tile) paintTile(q(".lv-preview canvas"), S.tile);
  }
  listLayers(); setTool(S.tool); paintGrid(); paintLine(); mountDirections();
  if (S.film) { q(".lv-scrub").max = S.film.tiles.length - 1; paintStrip(); }
  if (S.layer || S.arrows) show(".lv-heat", true);
  redraw(true);
}

const sizes = new ResizeObserver(() => { redraw(true); paintGrid(); paintLine(); if (S.film) paintStrip(); paintWalk(); refreshThumbs(); refreshLine(); refreshGround(); });
function observe() { sizes.disconnect(); for (const s of [".lv-map", ".lv-result", ".lv-line", ".lv-walk"]) if (q(s)) sizes.observe(q(s)); }

const LISTEN = { pointerdown: pointerDown, pointermove: pointerMove, pointerup: pointerUp, pointercancel: pointerUp, dblclick: doubleClick, keydown: keyDown, click, input, change };
for (const [name, act] of Object.entries(LISTEN)) element.addEventListener(name, act);
element.addEventListener("wheel", wheel, { passive: false });
element.addEventListener("toggle", folded, true); // it does not bubble
let mounted = mapCanvas();
new MutationObserver(() => { if (mapCanvas() && mapCanvas() !== mounted) { mounted = mapCanvas(); mount(); } }).observe(element, { childList: true, subtree: true });
new MutationObserver((_, self) => setTimeout(() => { if (!element.isConnected) return self.disconnect(); if (q(".lv-map")) { readTheme(); if (S.map) legend(); redraw(true); } }, 50)).observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", () => {
  mount();
  const { value } = props;
  if (S.map && value?.directions && value.id !== S.map.id) return say("These directions are of the map before this one.");
  if (!S.map || !value || value.id !== S.map.id) return load(value).then(comeIntoView);
  S.value = value;
  if (value.pin) placePin(value.pin);
  if (value.directions && value.directions !== S.found?.id) openDirections(value.directions);
  if (value.layer && value.layer !== S.layerName) setLayer(value.layer);
});
mount();
if (!openAddress()) load(props.value);
