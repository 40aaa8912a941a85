// What colours the codes: their labels, or a column that came with them. Words are classes with a legend, numbers a ramp.

import { ask } from "./asking.js";
import { DARK, LIGHT, S, bytes, clamp, dim, q, say, show, text } from "./core.js";
import { redraw, theme } from "./drawing.js";
import { record, recordSoon } from "./history.js";
import { figure, refreshThumbs, shade } from "./layers.js";
import { nameOf } from "./live.js";
import { nearestWords, showNeighbours } from "./neighbours.js";

// A tint: {key, name, ranks, names, keys} of words, whose ranks say which one each code has, or {key, name, values, low,
// high, cut} of numbers. `S.hidden` holds the ranks of the current tint that are not shown.
Object.assign(S, { tint: null, tints: new Map() });
const SHADES = 64, MOST_IN_LEGEND = 40, MISSING = "no label";

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
export const isHidden = (i) => S.hidden.size > 0 && Boolean(S.tint?.ranks) && S.hidden.has(S.tint.ranks[i]);
export const isFaded = (i) => Boolean(S.picked) && !S.picked.mask[i];

export async function tintBy(key) {
  const map = S.map;
  if (!S.tints.has(key) && key !== "none") {
    const reply = await ask("column", map.id, Number(key));
    if (map !== S.map) return;
    if (!reply) return legend();
    const data = bytes(reply.values).buffer;
    S.tints.set(key, reply.words ? { key, name: reply.name, ranks: new Uint16Array(data), names: reply.words, keys: reply.words } : ramp(key, reply.name, new Float32Array(data)));
  }
  S.tint = S.tints.get(key) ?? null; S.hidden = new Set();
  legend(); redraw(true); refreshThumbs(); showNeighbours(); record();
}

function ramp(key, name, values) { // from the least to the largest; of long tails from 1 % to 99 %
  const sorted = values.filter((x) => !Number.isNaN(x)).sort(), n = sorted.length, at = (share) => sorted[Math.round(share * (n - 1))];
  if (!n) return { key, name, values, low: 0, high: 0, cut: false, missing: values.length };
  const cut = at(0.99) - at(0.01) < 0.5 * (sorted[n - 1] - sorted[0]) && at(0.99) > at(0.01);
  return { key, name, values, low: cut ? at(0.01) : sorted[0], high: cut ? at(0.99) : sorted[n - 1], cut, missing: values.length - n };
}

const palette = () => (theme.dark ? DARK : LIGHT);
const grey = () => (theme.dark ? "#7d828b" : "#9a9ea6");

export function swatches() { // the colours of the current tint
  const { tint } = S;
  if (!tint) return [palette()[0]];
  const kept = theme.dark ? "dark" : "light";
  if (!tint[kept]) {
    const ramped = Array.from({ length: SHADES }, (_, s) => shade(theme.dark ? 0.18 + 0.82 * s / (SHADES - 1) : 0.86 * s / (SHADES - 1)));
    tint[kept] = tint.ranks ? tint.names.map((name, i) => (name === MISSING ? grey() : palette()[i % palette().length])) : [...ramped.map((rgb) => "#" + rgb.map((c) => Math.round(c).toString(16).padStart(2, "0")).join("")), grey()];
  }
  return tint[kept];
}

export function swatchOf(i) { // which of them a code has
  const { tint } = S;
  if (!tint) return 0;
  if (tint.ranks) return tint.ranks[i];
  const t = (tint.values[i] - tint.low) / (tint.high - tint.low || 1);
  return Number.isNaN(t) ? SHADES : Math.round(clamp(t, 0, 1) * (SHADES - 1));
}

export const colour = (i) => swatches()[swatchOf(i)];
export const wordOf = (i) => (S.tint?.ranks ? S.tint.names[S.tint.ranks[i]] : S.tint && !Number.isNaN(S.tint.values[i]) ? figure(S.tint.values[i]) : null);

// ---------------------------------------------------------------- the legend
export function legend() {
  const { tint, map } = S, columns = map?.columns ?? [], chooser = q(".lv-tint");
  const offered = [...(map?.labels ? [["labels", "label", false]] : [["none", "nothing", false]]), ...columns.map((c, i) => [String(i), c.kinds > 4096 ? c.name + " (too many words, search in it)" : c.name, c.kinds > 4096])];
  chooser.replaceChildren(...offered.map(([key, name, off]) => Object.assign(new Option(name, key, false, key === (tint?.key ?? "none")), { disabled: off })));
  show(".lv-tint-field", offered.length > 1); show(".lv-named-field", Boolean(tint?.ranks) && dim() > 1);
  show(".lv-colours", offered.length > 1 || (Boolean(tint?.ranks) && dim() > 1));
  q(".lv-legend").replaceChildren(...(tint?.ranks ? entries(tint) : []));
  show(".lv-ramp", Boolean(tint?.values));
  if (tint?.values) {
    const stops = swatches().slice(0, SHADES).filter((_, i) => i % 7 === 0);
    q(".lv-ramp i").style.background = "linear-gradient(90deg, " + stops.join(", ") + ")";
    text(".lv-ramp-low", (tint.cut ? "≤ " : "") + figure(tint.low)); text(".lv-ramp-high", (tint.cut ? "≥ " : "") + figure(tint.high));
    text(".lv-ramp-missing", tint.missing ? tint.missing.toLocaleString("en") + " without a value, in grey" : "");
  }
}

function entries(tint) {
  const made = tint.names.slice(0, MOST_IN_LEGEND).map((name, i) => {
    const button = document.createElement("button"), swatch = document.createElement("i");
    button.type = "button"; button.dataset.label = tint.keys[i]; button.dataset.rank = i; button.setAttribute("aria-pressed", String(!S.hidden.has(i)));
    button.title = "Show or hide. Double-click or Alt-click: this one alone.";
    button.style.setProperty("--lv-label", swatches()[i]);
    button.append(swatch, name);
    return button;
  });
  const more = document.createElement("span"), all = document.createElement("button");
  if (tint.names.length > MOST_IN_LEGEND) { more.textContent = "and " + (tint.names.length - MOST_IN_LEGEND).toLocaleString("en") + " more: search finds them"; made.push(more); }
  all.type = "button"; all.className = "lv-unhide"; all.textContent = "Show all"; all.hidden = !S.hidden.size;
  return [...made, all];
}

export function toggleLabel(button, event) {
  const rank = Number(button.dataset.rank);
  if (event?.altKey) return isolate(rank);
  if (!S.hidden.delete(rank)) S.hidden.add(rank);
  hiddenChanged();
}

function isolate(rank) { // shows it alone; once more, all
  const others = S.tint.names.map((_, i) => i).filter((i) => i !== rank), alone = !S.hidden.has(rank) && others.every((i) => S.hidden.has(i));
  S.hidden = new Set(alone ? [] : others);
  hiddenChanged();
  say(alone ? "All are shown." : "“" + S.tint.names[rank] + "” is shown alone.");
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
