// Mouse, pen, fingers and keys on the canvas of a map: what they ask of it. `state` is the map's, `map` what it can do.

import { outline } from "./areas.js";
import { clamp } from "./basics.js";
import { gestures } from "./gestures.js";

export function listen(canvas, state, map) {
  const { spot, down, pinch, up, wheel } = gestures(() => canvas, map);
  let drag = null;

  const there = (where) => map.at().from(...where) ?? state.point; // a plane may be seen from its edge

  canvas.onpointerdown = (event) => {
    if (!map.at() || event.button > 1) return;
    if (down(event) > 1) { drag = { kind: "pinch" }; state.draft = []; return; }
    const where = spot(event), from = there(where);
    drag = { kind: state.tool === "move" || event.button === 1 ? "move" : state.tool, from, last: where };
    if (drag.kind !== "move") { map.play(false); map.look(from); }
  };
  canvas.onpointermove = (event) => {
    if (!map.at()) return;
    const where = spot(event);
    if (!drag) { if (event.pointerType === "mouse" && state.tool !== "move" && !map.playing()) map.look(there(where)); return; }
    if (pinch(event) || drag.kind === "pinch") return;
    const point = there(where);
    if (drag.kind === "move") map.drag(where[0] - drag.last[0], where[1] - drag.last[1]);
    if (drag.kind === "region") state.draft = map.lasso() ? [...(state.draft.length ? state.draft : [drag.from]), point] : outline([drag.from, point], state.plane);
    if (drag.kind === "path") state.draft = [drag.from, point];
    drag.last = where; drag.to = point;
    if (drag.kind !== "move") map.look(point);
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    if (!up(event) || !drag) return;
    const { kind, from, to } = drag;
    drag = null;
    if (event.type === "pointercancel" || !to) { state.draft = []; return map.redraw(); }
    if (kind === "region") map.setRegion(map.lasso() && state.draft.length > 2 ? state.draft : [from, to]);
    if (kind === "path") map.setPath(from, to);
  };

  canvas.ondblclick = () => state.tool !== "region" && state.tool !== "path" && map.fitAll();
  canvas.addEventListener("wheel", wheel, { passive: false });

  canvas.onkeydown = (event) => {
    if (event.metaKey || event.ctrlKey || !map.at()) return;
    const step = (event.shiftKey ? 0.1 : 0.02) / state.view.zoom, { key } = event, p = [...state.point];
    const moves = { ArrowLeft: [0, -step], ArrowRight: [0, step], ArrowDown: [map.dim > 1 ? 1 : 0, -step], ArrowUp: [map.dim > 1 ? 1 : 0, step] };
    if (moves[key]) {
      const [axis, by] = moves[key];
      p[axis] = clamp(p[axis] + by);
      if (state.tool === "move") map.pan(axis === 0 ? 10 * by : 0, axis === 1 ? 10 * by : 0);
      else { map.look(p); if (state.start) { state.draft = state.tool === "region" ? outline([state.start, p], state.plane) : [state.start, p]; map.redraw(false); } }
    } else if (key === "+" || key === "=") map.zoomAt(...map.at().to(state.point).slice(0, 2), 1.4);
    else if (key === "-") map.zoomAt(...map.at().to(state.point).slice(0, 2), 1 / 1.4);
    else if (key === "0") map.fitAll();
    else if (key === "Escape") map.clear();
    else if (key === "Enter" && (state.tool === "region" || state.tool === "path")) {
      if (!state.start) state.start = p;
      else { const from = state.start; state.start = null; if (state.tool === "region") map.setRegion([from, p]); else map.setPath(from, p); }
    } else return;
    event.preventDefault();
  };
}
