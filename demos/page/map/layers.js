// What lies beneath the codes or instead of them: layers, thumbnails, the line of pictures of a 1-D map.

import { layArrows } from "./arrows.js";
import { kinds } from "./colours.js";
import { S, calm, dim, q, say, show, text } from "./core.js";
import { redraw } from "./drawing.js";
import { box, cloud, lift, projector } from "./geometry.js";
import { grounded, refreshGround } from "./ground.js";
import { following, stop } from "./parts.js";
import { drawCover } from "./samples.js";
import { listTicks } from "./ticks.js";
import { transport } from "./transport.js";
import { clamp, later, latestWins } from "latent-map/basics.js";
import { fitCanvas, pixelPicture } from "latent-map/canvases.js";
import { visible } from "latent-map/points.js";
import { shade } from "latent-map/tints.js";

export async function setLayer(name) {
  stop("layer"); S.layerName = name; S.layer = S.arrows = null; redraw(true); show(".lv-heat", false); show(".lv-heat-scale", name !== "arrows");
  q(".lv-layer").value = name;
  if (q(".lv-status").dataset.kind === "wait") say("", "none");
  refreshThumbs(); refreshGround();
  if (name === "arrows") return layArrows();
  if (!(name in transport.can.layers)) return;
  for await (const { values, known, side, ...reply } of following("layer", transport.layer(name))) {
    if (name !== S.layerName) return;
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
  const { ground, layers, directions } = transport.can, arrows = S.found ? { arrows: "arrows" } : { find: "arrows: find some" };
  const offered = { ...(ground ? { images: "images" } : {}), none: "none", ...layers, ...(directions && dim() === 2 ? arrows : {}) };
  q(".lv-layer").replaceChildren(...Object.entries(offered).map(([name, words]) => new Option(words, name, false, name === S.layerName)));
}

export const refreshThumbs = later(90, latestWins(async (newer) => {
  if (!S.map || dim() === 1) return;
  S.shownThumbs = placeThumbs();
  redraw(true);
  await gatherThumbs(S.shownThumbs.map((t) => t.index), () => redraw(true), newer);
}));

// Pictures of these codes, each as soon as it is here, until no more are wanted; the oldest of others go.
export async function gatherThumbs(codes, shown, enough) {
  const missing = codes.filter((i) => !S.thumbs.has(i));
  if (!missing.length || enough()) return;
  for await (const { tiles } of transport.own(missing)) {
    tiles.forEach((tile, k) => S.thumbs.set(missing[k], tile));
    shown();
    if (enough()) break;
  }
  for (const i of S.thumbs.keys()) if (S.thumbs.size > 2000 && !codes.includes(i)) S.thumbs.delete(i);
}

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
  const pictures = await transport.pictures(spots);
  if (pictures) { S.line = pictures; paintLine(); }
}));

export function paintLine() {
  const canvas = q(".lv-line canvas");
  if (S.line && canvas.clientWidth) drawCover(fitCanvas(canvas), S.line, canvas.clientWidth / S.line.length, canvas.clientHeight);
}
