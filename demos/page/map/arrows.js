// The layer of arrows: where a step along the chosen direction leads, from places all over the map.

import { S, dim, say, show, text } from "./core.js";
import { directionName, directionSet } from "./directions.js";
import { redraw, theme } from "./drawing.js";
import { box, lift, unit } from "./geometry.js";
import { setLayer } from "./layers.js";
import { transport } from "./transport.js";
import { bytes, figure, later } from "latent-map/basics.js";
import { haloed } from "latent-map/canvases.js";

const TRUSTED = 0.15; // of the support: arrows below it do not count for the length of all

export async function layArrows() {
  if (!S.found) { setLayer("none"); return say("Find directions first: the tab Directions, below the map."); }
  const { found } = S, { label } = directionSet(), reply = await transport.directions.arrows(found.id, label, [lift(0, box.h), lift(box.w, 0)]);
  if (!reply || S.layerName !== "arrows" || S.found !== found || directionSet().label !== label) return;
  const [points, moves, trust] = [reply.points, reply.moves, reply.trust].map((part) => new Float32Array(bytes(part).buffer));
  S.arrows = { points, moves, trust, count: reply.count, apart: reply.apart, factor: commonFactor(moves, trust, reply.apart) };
  wordArrows(); show(".lv-heat", true); redraw(true);
}

// One factor for all directions of a set, so that their arrows compare: nineteen in twenty end before the next place.
function commonFactor(moves, trust, apart) {
  const lengths = Array.from(trust, (_, i) => Math.hypot(moves[2 * i], moves[2 * i + 1])).filter((_, i) => trust[i] >= TRUSTED).sort((a, b) => a - b);
  const longest = lengths.length ? lengths[Math.floor(0.95 * (lengths.length - 1))] : 0;
  return longest > 1e-6 ? 0.9 * apart / longest : 1;
}

export function wordArrows() {
  text(".lv-heat-text", "Where one step along " + directionName() + " leads, drawn " + figure(Number(S.arrows.factor.toPrecision(2))) + " times as long; faint where the map is not to be trusted.");
}

export function drawArrows(ctx, project) {
  const { arrows } = S;
  if (!arrows || !S.found || dim() !== 2) return;
  const { points, moves, trust, count, apart, factor } = arrows, first = S.found.number * count, u = unit();
  for (let i = 0; i < count; i++) {
    const [x, y] = project([points[2 * i], points[2 * i + 1]]), j = first + i;
    let dx = moves[2 * j] * factor * u, dy = -moves[2 * j + 1] * factor * u;
    const length = Math.hypot(dx, dy), most = apart * u;
    if (length > most) { dx *= most / length; dy *= most / length; } // never into the next place
    arrow(ctx, x, y, dx, dy, 0.1 + 0.9 * trust[j]);
  }
}

function arrow(ctx, x, y, dx, dy, alpha) {
  const length = Math.hypot(dx, dy), head = Math.min(6.5, 0.45 * length), a = dx / (length || 1), b = dy / (length || 1);
  ctx.beginPath();
  if (length < 2) ctx.arc(x, y, 0.8, 0, 7); // it leads nowhere
  else {
    ctx.moveTo(x, y); ctx.lineTo(x + dx, y + dy);
    for (const side of [-1, 1]) { ctx.moveTo(x + dx, y + dy); ctx.lineTo(x + dx - head * (a + 0.55 * side * b), y + dy - head * (b - 0.55 * side * a)); }
  }
  haloed(ctx, theme, 1.4, theme.ink, alpha);
}

export const refreshArrows = later(150, () => { if (S.arrows) layArrows(); });
