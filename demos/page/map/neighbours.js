// The nearest codes' own pictures beside the decoded one: whether the map shows what its codes are.

import { kinds, labelOf, rowOf, wordOf } from "./colours.js";
import { S, dim, q, show, text } from "./core.js";
import { cloud } from "./geometry.js";
import { follow } from "./keyboard.js";
import { gatherThumbs } from "./layers.js";
import { look } from "./live.js";
import { paintTile } from "./pictures.js";
import { play } from "./samples.js";
import { transport } from "./transport.js";
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

// The picture under the pointer comes first, then theirs, one by one where the decoder is slow, until the pointer moves on.
export const showNeighbours = later(120, latestWins(async (newer) => {
  if (!S.map || !S.mark || !q(".lv-near-list") || S.film?.playing) return;
  const mark = S.mark, map = S.map, found = nearestCodes(mark, NEAR);
  const elsewhere = () => S.map !== map || S.mark !== mark || S.coarse || Boolean(S.wanted && S.wanted !== mark);
  if (!transport.can.live) listNeighbours(found);
  await gatherThumbs(found.map(([i]) => i), () => !elsewhere() && listNeighbours(found), () => newer() || elsewhere());
}));

function listNeighbours(found) { // blank where a picture is still to come
  const list = q(".lv-near-list");
  while (list.children.length > found.length) list.lastChild.remove();
  while (list.children.length < found.length) {
    const button = document.createElement("button");
    button.type = "button"; button.className = "lv-near-go"; button.append(document.createElement("canvas"));
    list.append(button);
  }
  found.forEach(([i, far], k) => {
    const button = list.children[k], named = labelOf(i) === null ? "" : ", " + labelOf(i), tile = S.thumbs.get(i);
    button.dataset.code = i;
    button.title = "Code no. " + rowOf(i) + named + ", " + Math.sqrt(far).toFixed(2) + " from here";
    button.setAttribute("aria-label", button.title);
    if (tile) paintTile(button.firstChild, tile); else button.firstChild.width = 1; // which clears it
    button.toggleAttribute("data-waiting", !tile);
  });
  const many = found.length, here = found.filter(([i]) => S.thumbs.has(i)).length;
  const words = S.map.own_codes ? (many < 2 ? "The nearest code" : "The " + many + " nearest codes, their own pictures") : "This map keeps no codes of its own: what it makes of the " + many + " nearest places";
  show(".lv-neighbours", many > 0);
  text(".lv-near-text", words + (here < many ? ": " + here + " so far" : ""));
}

export function goToCode(button) { const i = Number(button.dataset.code), d = dim(); play(false); look(Array.from(S.points.subarray(i * d, i * d + d))); follow(); }
