// Where the map lies on its canvas; zoom, pan and turn.

import { refreshArrows } from "./arrows.js";
import { S, dim } from "./core.js";
import { redraw } from "./drawing.js";
import { refreshGround } from "./ground.js";
import { refreshLine, refreshThumbs } from "./layers.js";
import { clamp } from "latent-map/basics.js";
import { EMPTY_VIEW, onPlane, projection, zoomed } from "latent-map/projection.js";

export const box = { w: 1, h: 1 };
export const cloud = () => ({ dim: dim(), points: S.points, count: S.count });
export const here = () => projection(box, dim(), S.view, S.plane);
export const unit = () => here().unit;
export const projector = () => here().to;
export const lift = (x, y) => here().from(x, y) ?? S.cursor ?? onPlane(S.plane, 0, 0); // a plane may be seen from its edge

export function zoomAt(x, y, factor) {
  S.view = zoomed(box, here(), S.view, x, y, factor, dim() === 3 ? 0.6 : 1, 80);
  panBy(0, 0);
}

export function panBy(dx, dy) { // in map units
  S.view.cx = clamp(S.view.cx + dx); S.view.cy = dim() === 1 ? 0 : clamp(S.view.cy + dy);
  redraw(true); refreshThumbs(); refreshLine(); refreshArrows(); refreshGround();
}

export function turnBy(dx, dy) {
  S.view.yaw += dx * 0.008; S.view.pitch = clamp(S.view.pitch + dy * 0.008, -1.5, 1.5);
  redraw(true); refreshThumbs();
}

export function fit() { S.view = { ...EMPTY_VIEW }; panBy(0, 0); }
