// What colours the codes: their labels, or a column that came with them. Words are classes with a legend, numbers a ramp.

import { S, dim, q, say, show, text } from "./core.js";
import { redraw, theme } from "./drawing.js";
import { grounded } from "./ground.js";
import { record, recordSoon } from "./history.js";
import { refreshThumbs } from "./layers.js";
import { nameOf } from "./live.js";
import { nearestWords, showNeighbours } from "./neighbours.js";
import { transport } from "./transport.js";
import { bytes, clamp, figure } from "latent-map/basics.js";
import { legendParts } from "latent-map/legend.js";
import { HIDDEN, isolated, kindsOf, ramp, rampStyle, swatchOf, swatchesOf } from "latent-map/tints.js";

// `S.tint` is one of tints.js; `S.hidden` holds the ranks of it that are not shown.
Object.assign(S, { tint: null, tints: new Map() });
let kept = { map: null, tint: null, hidden: null, kinds: null };

export function setTints(map) { // of a new map; its labels come with it, columns when they are asked for
  S.tints = new Map(); S.rows = map.rows ? new Uint32Array(bytes(map.rows).buffer) : null; S.hidden = new Set();
  if (map.labels) {
    const { kinds } = map;
    S.tints.set("labels", { key: "labels", name: "label", ranks: new Uint32Array(bytes(map.labels).buffer), names: kinds.map(nameOf), keys: kinds.map(String) });
  }
  S.tint = firstTint();
}

export const firstTint = () => S.tints.get("labels") ?? null;

export const labelOf = (i) => { const labels = S.tints.get("labels"); return labels ? labels.names[labels.ranks[i]] : null; };
export const rowOf = (i) => (S.rows ? S.rows[i] : i); // the number of a code among those that were fitted
export const isHidden = (i) => kinds()[i] === HIDDEN;
export const isFaded = (i) => Boolean(S.picked) && !S.picked.mask[i];

export async function tintBy(key) {
  const map = S.map;
  if (!S.tints.has(key) && key !== "none") {
    const reply = await transport.column(Number(key));
    if (map !== S.map) return;
    if (!reply) return legend();
    const data = bytes(reply.values).buffer;
    S.tints.set(key, reply.words ? { key, name: reply.name, ranks: new Uint16Array(data), names: reply.words, keys: reply.words } : ramp(key, reply.name, new Float32Array(data)));
  }
  S.tint = S.tints.get(key) ?? null; S.hidden = new Set();
  legend(); redraw(true); refreshThumbs(); showNeighbours(); record();
}

export function kinds() { // of the codes: which of the swatches each has, or HIDDEN
  const { map, tint, hidden, count } = S;
  if (kept.map !== map || kept.tint !== tint || kept.hidden !== hidden) kept = { map, tint, hidden, kinds: kindsOf(tint, hidden, count) };
  return kept.kinds;
}

const swatches = () => swatchesOf(S.tint, theme.dark);

export function marks() { // how the codes are drawn
  const { axis, depth } = S.plane; // of a 3-D map: solid near the plane
  return {
    kinds: kinds(), swatches: swatches(), mask: S.picked?.mask ?? null, lanes: S.tint?.ranks ? S.tint.names.length : 1, rim: grounded(),
    solid: (i) => clamp(1.05 - 1.5 * Math.abs(S.points[3 * i + axis] - depth), 0.16, 1),
  };
}

export const colour = (i) => swatches()[swatchOf(S.tint, i)];
export const wordOf = (i) => (S.tint?.ranks ? S.tint.names[S.tint.ranks[i]] : S.tint && !Number.isNaN(S.tint.values[i]) ? figure(S.tint.values[i]) : null);

// ---------------------------------------------------------------- the legend
export function legend() {
  const { tint, map } = S, columns = map?.columns ?? [], chooser = q(".lv-tint");
  const offered = [...(map?.labels ? [["labels", "label", false]] : [["none", "nothing", false]]), ...columns.map((c, i) => [String(i), c.kinds > 4096 ? c.name + " (too many words, search in it)" : c.name, c.kinds > 4096])];
  chooser.replaceChildren(...offered.map(([key, name, off]) => Object.assign(new Option(name, key, false, key === (tint?.key ?? "none")), { disabled: off })));
  show(".lv-tint-field", offered.length > 1); show(".lv-named-field", Boolean(tint?.ranks) && dim() > 1);
  show(".lv-colours", offered.length > 1 || (Boolean(tint?.ranks) && dim() > 1));
  q(".lv-legend").replaceChildren(...(tint?.ranks ? [...legendParts(tint, S.hidden, theme.dark, ": search finds them"), showAll()] : []));
  show(".lv-ramp", Boolean(tint?.values));
  if (tint?.values) {
    q(".lv-ramp i").style.background = rampStyle(tint, theme.dark);
    text(".lv-ramp-low", (tint.cut ? "≤ " : "") + figure(tint.low)); text(".lv-ramp-high", (tint.cut ? "≥ " : "") + figure(tint.high));
    text(".lv-ramp-missing", tint.missing ? tint.missing.toLocaleString("en") + " without a value, in grey" : "");
  }
}

function showAll() {
  const all = document.createElement("button");
  all.type = "button"; all.className = "lv-unhide"; all.textContent = "Show all"; all.hidden = !S.hidden.size;
  return all;
}

export function toggleLabel(button, event) {
  const rank = Number(button.dataset.rank);
  if (event?.altKey) return isolate(rank);
  S.hidden = new Set(S.hidden); // another set: what follows from it is found anew
  if (!S.hidden.delete(rank)) S.hidden.add(rank);
  hiddenChanged();
}

function isolate(rank) { // shows it alone; once more, all
  S.hidden = isolated(S.hidden, rank, S.tint.names.length);
  hiddenChanged();
  say(!S.hidden.size ? "All are shown." : "“" + S.tint.names[rank] + "” is shown alone.");
}

export function unhide() { q(".lv-legend button")?.focus(); S.hidden = new Set(); hiddenChanged(); }

function hiddenChanged() { // the buttons stay: a second click on one makes a double-click
  for (const button of element.querySelectorAll(".lv-legend button[data-rank]")) button.setAttribute("aria-pressed", String(!S.hidden.has(Number(button.dataset.rank))));
  show(".lv-unhide", S.hidden.size > 0); redraw(true); refreshThumbs(); recordSoon();
  if (S.mark) { text(".lv-near", nearestWords(S.mark)); showNeighbours(); }
}

element.addEventListener("dblclick", (event) => { const button = event.target.closest?.(".lv-legend button[data-rank]"); if (button) isolate(Number(button.dataset.rank)); });
element.addEventListener("keydown", (event) => {
  const button = event.target.closest?.(".lv-legend button[data-rank]");
  if (button && event.altKey && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); isolate(Number(button.dataset.rank)); }
});
element.addEventListener("change", ({ target }) => {
  if (target.classList.contains("lv-tint")) tintBy(target.value);
  if (target.classList.contains("lv-named")) redraw(true);
});
