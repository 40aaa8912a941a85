// Undo and redo of what a visitor made: pins, regions, paths, what is hidden and selected, and the colouring.

import { listPicked } from "./choosing.js";
import { legend } from "./colours.js";
import { S, q, say, text } from "./core.js";
import { redraw } from "./drawing.js";
import { refreshThumbs } from "./layers.js";
import { look } from "./live.js";
import { nearestWords, showNeighbours } from "./neighbours.js";
import { carried, emit, listPins } from "./pins.js";
import { paintGrid, play, seek } from "./samples.js";
import { stage } from "./tools.js";
import { later } from "latent-map/basics.js";

const MOST_KEPT = 100;
Object.assign(S, { past: [], future: [], act: 0 });

const taken = () => ({ pins: S.pins.slice(), chosen: S.chosen, region: S.region, film: S.film, picked: S.picked, tint: S.tint, hidden: new Set(S.hidden) });
const sameSet = (a, b) => a.size === b.size && [...a].every((x) => b.has(x));
const same = (a, b) => a.pins.length === b.pins.length && a.pins.every((pin, i) => pin === b.pins[i]) && ["chosen", "region", "film", "picked", "tint"].every((name) => a[name] === b[name]) && sameSet(a.hidden, b.hidden);

export function record() { // after each act
  if (!S.map) return;
  const now = taken();
  if (S.past.length && same(S.past.at(-1), now)) return;
  S.past.push(now); S.future = [];
  if (S.past.length > MOST_KEPT) S.past.shift();
  tellHistory();
}

export const recordSoon = later(400, record); // a double-click is one act

export function tellHistory() {
  const undo = q(".lv-undo"), redo = q(".lv-redo");
  if (undo) { undo.disabled = S.past.length < 2; redo.disabled = !S.future.length; }
}

export function undo() { record(); if (S.past.length > 1) { S.future.push(S.past.pop()); restore(S.past.at(-1), "Undone."); } }
export function redo() { record(); if (S.future.length) { S.past.push(S.future.pop()); restore(S.past.at(-1), "Done again."); } }

function restore(was, words) {
  const before = carried();
  play(false); S.act++;
  Object.assign(S, { ...was, pins: was.pins.slice(), hidden: new Set(was.hidden), draft: [], drag: null, cell: -1 });
  if (S.film) { S.film.playing = false; q(".lv-scrub").max = S.film.tiles.length - 1; }
  listPins(); legend(); listPicked(); stage(); paintGrid(); if (S.film) seek(S.film.at);
  q(".lv-query").value = S.picked?.query ?? "";
  if (S.mark) { text(".lv-near", nearestWords(S.mark)); showNeighbours(); }
  redraw(true); refreshThumbs(); tellHistory(); emit("undo"); say(words);
  if (carried() !== before && S.cursor) { S.seen = []; look(S.cursor); }
}

const WRITTEN = ["search", "text", "number", "password", "email", "url"];
element.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || !S.map || WRITTEN.includes(event.target.type)) return;
  const key = event.key.toLowerCase(), again = key === "y" || (key === "z" && event.shiftKey);
  if (!again && key !== "z") return;
  event.preventDefault();
  if (again) redo(); else undo();
});
