// The picture above or beside a finger, which covers what it points at; and results that come below the screen.

import { S, calm, q, show } from "./core.js";
import { box } from "./geometry.js";
import { paintTile } from "./pictures.js";
import { clamp, later } from "latent-map/basics.js";

const LENS_GAP = 34; // pixels from the finger

export function placeLens([x, y]) {
  const lens = q(".lv-lens"), side = clamp(Math.min(box.w, box.h) * 0.42, 88, 168), room = y - LENS_GAP - side > 4;
  if (S.tile && lens.hidden) paintTile(q(".lv-lens canvas"), S.tile);
  lens.hidden = false; lens.style.width = side + "px";
  const beside = x > box.w / 2 ? x - LENS_GAP - side : x + LENS_GAP;
  lens.style.left = clamp(room ? x - side / 2 : beside, 4, box.w - side - 4) + "px";
  lens.style.top = clamp(room ? y - LENS_GAP - side : y - side / 2, 4, Math.max(4, box.h - side - 4)) + "px";
}

export const hideLens = () => show(".lv-lens", false);

export function revealResult() { // that a finger asked for; once more when what lies above it has come
  reveal(); revealSoon();
}

const revealSoon = later(700, reveal);

function reveal() {
  if (S.touch) q(".lv-result").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
}
