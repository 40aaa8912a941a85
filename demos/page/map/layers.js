// What lies beneath the codes or instead of them: layers, thumbnails, the line of pictures of a 1-D map.

import { layArrows } from "./arrows.js";
import { ask } from "./asking.js";
import { kinds } from "./colours.js";
import { S, calm, dim, q, round, say, show, text } from "./core.js";
import { redraw } from "./drawing.js";
import { box, cloud, lift, projector } from "./geometry.js";
import { grounded, refreshGround } from "./ground.js";
import { parts, stop } from "./parts.js";
import { tiles } from "./pictures.js";
import { carried } from "./pins.js";
import { detail, drawCover } from "./samples.js";
import { listTicks } from "./ticks.js";
import { bytes, clamp, later, latestWins } from "latent-map/basics.js";
import { fitCanvas, pixelPicture } from "latent-map/canvases.js";
import { visible } from "latent-map/points.js";
import { shade } from "latent-map/tints.js";

export async function setLayer(name) {
  stop("layer"); S.layerName = name; S.layer = S.arrows = null; redraw(true); show(".lv-heat", false); show(".lv-heat-scale", name !== "arrows");
  q(".lv-layer").value = name;
  if (q(".lv-status").dataset.kind === "wait") say("", "none");
  refreshThumbs(); refreshGround();
  if (name === "none" || name === "images" || !S.map || dim() !== 2) return;
  if (name === "arrows") return layArrows();
  for await (const { values: base64, known, side, ...reply } of parts("layer", () => ask("layer", S.map?.id, name, true))) {
    if (!base64 || name !== S.layerName) return;
    const values = bytes(base64);
    S.layer = { picture: pixelPicture(side, side, (i) => (i < (known ?? side * side) ? shade(values[i] / 255) : [0, 0, 0, 0])) };
    text(".lv-heat-text", reply.text || ""); listTicks(reply);
    show(".lv-heat", true); redraw(true);
  }
}

const directionsTab = () => [...document.querySelectorAll("[role=tab]")].find((tab) => tab.textContent.trim() === "Directions");

export function findDirections() { // where one finds them: a tab of the page
  q(".lv-layer").value = S.layerName;
  const tab = directionsTab();
  tab?.click(); tab?.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" }); tab?.focus({ preventScroll: true });
}

export function listLayers() { // arrows where there are directions, and else where to find some
  const arrows = S.found ? { arrows: "arrows" } : directionsTab() ? { find: "arrows: find some" } : {};
  const offered = { ...(dim() === 2 ? { images: "images" } : {}), none: "none", ...S.map?.layers, ...(S.map && dim() === 2 ? arrows : {}) };
  q(".lv-layer").replaceChildren(...Object.entries(offered).map(([name, words]) => new Option(words, name, false, name === S.layerName)));
}

export const refreshThumbs = later(90, latestWins(async () => {
  if (!S.map || dim() === 1) return;
  S.shownThumbs = placeThumbs();
  redraw(true);
  const missing = S.shownThumbs.map((t) => t.index).filter((i) => !S.thumbs.has(i));
  if (!missing.length) return;
  const reply = await ask("thumbs", S.map?.id, missing);
  if (!reply) return;
  if (S.thumbs.size > 2000) S.thumbs.clear();
  (await tiles(reply.images)).forEach((tile, i) => S.thumbs.set(missing[i], tile));
  redraw(true);
}));

function placeThumbs() { // at most 40 codes in view, none over another; those shown before stay
  if ((S.view.zoom < 1.6 || grounded()) && S.count > 60) return [];
  const side = Math.round(clamp(22 + 9 * Math.log2(S.view.zoom * (S.count > 60 ? 1 : 2)), 28, 60)), chosen = [];
  const inView = [...visible(cloud(), kinds(), box, projector(), -side / 2, 4000)], before = new Set(S.shownThumbs.map((t) => t.index));
  if (dim() === 3) inView.reverse(); // near ones first
  inView.sort((a, b) => before.has(b[0]) - before.has(a[0]));
  for (const [index, x, y] of inView) {
    if (chosen.length >= 40) break;
    if (chosen.every((c) => Math.max(Math.abs(c.x - x), Math.abs(c.y - y)) > side + 8)) chosen.push({ index, x, y, side });
  }
  return chosen;
}

// ---------------------------------------------------------------- the line of pictures under a 1-D map
export const refreshLine = later(60, latestWins(async () => {
  if (!S.map || dim() !== 1) return;
  const canvas = q(".lv-line canvas"), count = clamp(Math.floor(canvas.clientWidth / canvas.clientHeight), 4, 12), w = canvas.clientWidth / count;
  const spots = Array.from({ length: count }, (_, i) => lift((i + 0.5) * w, 0));
  const reply = await ask("render", S.map?.id, spots.map(round), carried(), detail());
  if (!reply) return;
  S.line = await tiles(reply.images); paintLine();
}));

export function paintLine() {
  const canvas = q(".lv-line canvas");
  if (S.line && canvas.clientWidth) drawCover(fitCanvas(canvas), S.line, canvas.clientWidth / S.line.length, canvas.clientHeight);
}
