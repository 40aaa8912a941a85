// The picture under the pointer.

import { S, dim, q, round, say, show, stats, text } from "./core.js";
import { redraw } from "./drawing.js";
import { tellOthers } from "./linked.js";
import { nearestWords, showNeighbours } from "./neighbours.js";
import { paintTile } from "./pictures.js";
import { transport } from "./transport.js";
import { later, latestWins, signed } from "latent-map/basics.js";

const decode = latestWins(async (point, started) => {
  const turn = S.turn, reply = await transport.picture(point);
  if (turn !== S.turn) return;
  if (!reply) return settle();
  remember(point, reply.tile);
  stats.lastLatencyMs = performance.now() - started;
  stats.latencies.push(stats.lastLatencyMs);
  if (stats.latencies.length > 1000) stats.latencies.shift();
  element.dataset.decodes = String(++stats.decodes);
  if (!S.wanted) return; // a frame or a cell of the grid is shown by now
  if (S.coarse && point !== S.wanted) return coarse(); // the pointer is elsewhere: this may be the nearest by now
  settle();
  paintPreview(reply.tile, point, reply.support);
  element.dataset.at = round(point).join(",");
  if (point !== S.wanted) wait();
});

export function look(point, started = performance.now(), told = false) {
  if (!S.map) return;
  S.cursor = point;
  if (!told) tellOthers(point);
  if (S.film && S.film.playing) return redraw();
  S.wanted = point; element.dataset.asked = round(point).join(",");
  if (S.coarse) coarse(); else wait();
  decode(point, started);
}

// A slow decoder: meanwhile the nearest picture that is known, marked as such.
const PATIENCE = 200; // milliseconds
export let impatient = 0;

function wait() { impatient ||= setTimeout(coarse, PATIENCE); }

export function settle() { // what is shown is what was asked for
  clearTimeout(impatient); impatient = 0;
  if (!S.coarse) return;
  S.coarse = false;
  q(".lv-preview")?.setAttribute("aria-busy", "false"); show(".lv-waiting", false);
}

export function present(tile, point) { // a picture that is at hand
  S.cursor = point; S.wanted = null;
  settle(); paintPreview(tile, point, null);
}

function coarse() {
  if (!S.map || !S.wanted) return settle();
  S.coarse = true;
  q(".lv-preview")?.setAttribute("aria-busy", "true"); show(".lv-waiting", true);
  const [tile, where] = nearestKnown(S.wanted);
  text(".lv-waiting", tile ? "decoding… nearest picture so far" : "decoding…");
  element.dataset.coarse = where ? round(where).join(",") : "";
  if (tile) paintPreview(tile, S.wanted, null); else { S.mark = S.wanted; redraw(); }
}

function remember(point, tile) { S.seen.push([point, tile]); if (S.seen.length > 256) S.seen.shift(); }

function* known() { // all pictures at hand, with their places
  yield* S.seen;
  const d = dim();
  for (const [i, tile] of S.thumbs) yield [S.points.subarray(i * d, i * d + d), tile];
  for (const { points, tiles: pictures } of [S.region, S.film].filter(Boolean)) if (pictures) yield* pictures.map((picture, i) => [points[i], picture]);
}

function nearestKnown(point) { // [picture, place]
  let best = [null, null], least = Infinity;
  for (const [where, tile] of known()) {
    const far = point.reduce((sum, x, c) => sum + (x - where[c]) ** 2, 0);
    if (far < least) { least = far; best = [tile, Array.from(where)]; }
  }
  return best;
}

export const LEVELS = { in: "among the codes", edge: "at the edge of the codes", far: "far from any code: the map extrapolates" };
export const levelOf = (support) => (support >= 0.5 ? "in" : support >= 0.1 ? "edge" : "far");
export const placeWords = (point) => point.map((x, i) => "xyz"[i] + " " + signed(x)).join("   ");

export function paintPreview(tile, point, support) {
  S.tile = tile; S.mark = point;
  paintTile(q(".lv-preview canvas"), tile);
  if (!q(".lv-lens").hidden) paintTile(q(".lv-lens canvas"), tile);
  text(".lv-at", placeWords(point));
  if (support !== null && support !== undefined) {
    const level = levelOf(support);
    text(".lv-support", LEVELS[level]); q(".lv-support").dataset.level = level;
  } else { text(".lv-support", ""); q(".lv-support").dataset.level = ""; }
  text(".lv-near", nearestWords(point));
  if (dim() === 1) q(".lv-position").value = point[0];
  redraw(); showNeighbours();
}

export function paintPreviewBlank(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  text(".lv-support", ""); q(".lv-support").dataset.level = "";
}

export const nameOf = (label) => (S.map.names && S.map.names[String(label)]) ?? String(label);
export const announce = later(600, () => S.mark && say(q(".lv-at").textContent + ", " + q(".lv-support").textContent + ", " + q(".lv-near").textContent));
