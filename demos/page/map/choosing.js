// Codes that are selected, by a region or by a search: how many, which, and a file of them.

import { kinds, rowOf } from "./colours.js";
import { S, dim, q, say, show, text } from "./core.js";
import { redraw } from "./drawing.js";
import { cloud, panBy, unit } from "./geometry.js";
import { setRegion, thin } from "./samples.js";
import { transport } from "./transport.js";
import { codesIn } from "latent-map/areas.js";
import { brief, bytes, download } from "latent-map/basics.js";
import { viewOf } from "latent-map/projection.js";
import { HIDDEN } from "latent-map/tints.js";

// `picked`: {rows, mask, words, groups}: which of the codes that are shown, and 1 for each of them among all.
Object.assign(S, { picked: null });

export function pick(rows, words, groups = []) {
  const mask = new Uint8Array(S.count);
  for (const i of rows) mask[i] = 1;
  S.picked = { rows, mask, words, groups };
  listPicked(); redraw(true);
}

export function unpick() { if (S.picked) { S.picked = null; redraw(true); } listPicked(); }

const ofAll = () => S.count.toLocaleString("en") + (S.rows ? " codes drawn, of " + S.map.k.toLocaleString("en") + "," : " codes");

export function pickRegion(corners) {
  const rows = Uint32Array.from(codesIn(corners, cloud(), kinds(), HIDDEN, S.plane)), one = rows.length === 1;
  pick(rows, rows.length.toLocaleString("en") + " of " + ofAll() + (one ? " lies" : " lie") + " in this region" + (dim() === 3 ? ", at any " + "xyz"[S.plane.axis] : "") + (S.hidden.size ? ", hidden ones aside" : "") + ".");
}

export function listPicked() {
  const { picked } = S;
  show(".lv-picked", Boolean(picked));
  if (!picked) return;
  text(".lv-picked-text", picked.words);
  for (const button of element.querySelectorAll(".lv-picked-acts button")) button.disabled = !picked.rows.length;
  q(".lv-picked-groups").replaceChildren(...picked.groups.map(([column, word, count]) => {
    const button = document.createElement("button");
    button.type = "button"; button.className = "lv-button lv-group"; button.dataset.word = word;
    button.textContent = brief(word) + " · " + count.toLocaleString("en"); button.title = column + ": " + word;
    return button;
  }));
}

export const chosenNumbers = () => JSON.stringify(Array.from(S.picked.rows, rowOf));

export async function copyNumbers() {
  try { await navigator.clipboard.writeText(chosenNumbers()); } catch { // pages that are no secure context
    const field = document.createElement("textarea");
    field.value = chosenNumbers(); field.style.position = "fixed"; element.append(field); field.select(); document.execCommand("copy"); field.remove();
  }
  say("The numbers of " + S.picked.rows.length.toLocaleString("en") + " codes are copied.");
}

function base64Of(array) {
  const data = new Uint8Array(array.buffer, array.byteOffset, array.byteLength), parts = [];
  for (let i = 0; i < data.length; i += 32768) parts.push(String.fromCharCode(...data.subarray(i, i + 32768)));
  return btoa(parts.join(""));
}

export async function saveCodes() {
  const reply = await transport.file(base64Of(S.picked.rows));
  if (reply) { download([bytes(reply.file)], "application/octet-stream", "codes.npz"); say("codes.npz has " + reply.count.toLocaleString("en") + " codes, their points and their numbers."); }
}

export function zoomToPicked() { // the view in which all that is selected is seen
  const view = viewOf(S.view, cloud(), S.picked.rows);
  if (view) { S.view = view; panBy(0, 0); }
}

// ---------------------------------------------------------------- a lasso
export const MOST_LASSO = 128; // corners
export const lassoing = () => dim() === 2 && q(".lv-shape").value === "lasso";

function simplified(line, tolerance) { // Douglas and Peucker's
  if (line.length < 3) return line;
  const [a, b] = [line[0], line.at(-1)], long = Math.hypot(b[0] - a[0], b[1] - a[1]);
  let most = -1, at = 0;
  for (let i = 1; i < line.length - 1; i++) {
    const [x, y] = [line[i][0] - a[0], line[i][1] - a[1]], far = long < 1e-9 ? Math.hypot(x, y) : Math.abs(x * (b[1] - a[1]) - y * (b[0] - a[0])) / long;
    if (far > most) { most = far; at = i; }
  }
  return most <= tolerance ? [a, b] : [...simplified(line.slice(0, at + 1), tolerance).slice(0, -1), ...simplified(line.slice(at), tolerance)];
}

export function endLasso() {
  const corners = thin(simplified(S.draft, 1.2 / unit()), MOST_LASSO);
  S.draft = [];
  if (corners.length > 2) setRegion(corners); else say("Draw around some codes: a lasso encloses an area.");
}
