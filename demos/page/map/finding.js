// A search in labels, names and numbers of codes; what is found is selected.

import { pick, unpick, zoomToPicked } from "./choosing.js";
import { isHidden } from "./colours.js";
import { S, dim, mapCanvas, q, say } from "./core.js";
import { record } from "./history.js";
import { look } from "./live.js";
import { clearAll } from "./tools.js";
import { transport } from "./transport.js";
import { bytes, later, latestWins } from "latent-map/basics.js";

const search = later(250, latestWins(async () => {
  const field = q(".lv-query"), words = field.value.trim(), map = S.map;
  if (!map) return;
  if (!words) { if (S.picked?.query) { unpick(); record(); } return; }
  const reply = await transport.find(words);
  if (!reply || map !== S.map || field.value.trim() !== words) return;
  const found = new Uint32Array(bytes(reply.rows).buffer), shown = found.filter((i) => !isHidden(i)), gone = found.length - shown.length;
  const count = shown.length ? shown.length.toLocaleString("en") + (shown.length === 1 ? " code matches “" : " codes match “") : "No code matches “";
  pick(shown, count + words + "”" + (gone ? "; " + gone.toLocaleString("en") + " more are hidden" : "") + (reply.more ? "; the most frequent words of " + (reply.groups.length + reply.more) + " are named" : "") + ".", reply.groups.length > 1 ? reply.groups : []);
  S.picked.query = words;
  say(S.picked.words); record();
}));

function goToFound() {
  if (!S.picked?.rows.length) return;
  zoomToPicked();
  const d = dim(), { rows } = S.picked, mean = new Array(d).fill(0);
  for (const i of rows) for (let c = 0; c < d; c++) mean[c] += S.points[i * d + c] / rows.length;
  let best = rows[0], least = Infinity; // a code of theirs, in their middle
  for (const i of rows) { let far = 0; for (let c = 0; c < d; c++) far += (S.points[i * d + c] - mean[c]) ** 2; if (far < least) { least = far; best = i; } }
  look(Array.from(S.points.subarray(best * d, best * d + d)));
}

export function searchFor(button) { q(".lv-query").value = button.dataset.word; search(); }
export function closePicked() { q(".lv-query").value = ""; if (S.region && !S.region.draws) clearAll(); else { unpick(); record(); } mapCanvas().focus(); }

element.addEventListener("input", ({ target }) => { if (target.classList.contains("lv-query")) search(); });
element.addEventListener("keydown", (event) => {
  if (!event.target.classList?.contains("lv-query")) return;
  if (event.key === "Enter") { event.preventDefault(); goToFound(); }
  if (event.key === "Escape") { event.preventDefault(); event.target.value = ""; search(); }
});
