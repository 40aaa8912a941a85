// The nearest codes' own pictures beside the decoded one: whether the map shows what its codes are.

import { kinds, labelOf, rowOf, wordOf } from "./colours.js";
import { S, dim, q, show, text } from "./core.js";
import { cloud } from "./geometry.js";
import { follow } from "./keyboard.js";
import { haveThumbs } from "./layers.js";
import { look } from "./live.js";
import { paintTile } from "./pictures.js";
import { play } from "./samples.js";
import { nearestFew } from "latent-map/areas.js";
import { later, latestWins } from "latent-map/basics.js";
import { HIDDEN } from "latent-map/tints.js";

const NEAR = 8;

const nearestCodes = (point, most) => nearestFew(point, most, cloud(), kinds(), HIDDEN);

export const nearest = (point) => nearestCodes(point, 1)[0]?.[0] ?? -1;

export function nearestWords(point) {
  const i = nearest(point);
  if (i < 0) return S.count ? "every code is hidden" : "";
  return "nearest code: " + (labelOf(i) ?? "no. " + rowOf(i)) + (S.tint && S.tint.key !== "labels" && wordOf(i) !== null ? ", " + S.tint.name + " " + wordOf(i) : "");
}

export const showNeighbours = later(120, latestWins(async () => {
  const list = q(".lv-near-list");
  if (!S.map || !S.mark || !list || S.film?.playing) return;
  const found = nearestCodes(S.mark, NEAR);
  if (!await haveThumbs(found.map(([i]) => i))) return;
  while (list.children.length > found.length) list.lastChild.remove();
  while (list.children.length < found.length) {
    const button = document.createElement("button");
    button.type = "button"; button.className = "lv-near-go"; button.append(document.createElement("canvas"));
    list.append(button);
  }
  found.forEach(([i, far], k) => {
    const button = list.children[k], named = labelOf(i) === null ? "" : ", " + labelOf(i);
    button.dataset.code = i;
    button.title = "Code no. " + rowOf(i) + named + ", " + Math.sqrt(far).toFixed(2) + " from here";
    button.setAttribute("aria-label", button.title);
    paintTile(button.firstChild, S.thumbs.get(i));
  });
  show(".lv-neighbours", found.length > 0);
  text(".lv-near-text", S.map.own_codes ? (found.length < 2 ? "The nearest code" : "The " + found.length + " nearest codes, their own pictures") : "This map keeps no codes of its own: what it makes of the " + found.length + " nearest places");
}));

export function goToCode(button) { const i = Number(button.dataset.code), d = dim(); play(false); look(Array.from(S.points.subarray(i * d, i * d + d))); follow(); }
