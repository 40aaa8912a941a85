// Mouse, pen, fingers and keys on the canvas of a map: what they ask of it. `state` is the map's, `map` what it can do.

import { clamp } from "./drawing.js";
import { outline } from "./areas.js";

export function listen(canvas, state, map) {
  const fingers = new Map();
  let drag = null;
  const spot = (event) => { const r = canvas.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };

  canvas.onpointerdown = (event) => {
    if (!map.at() || event.button > 1) return;
    const where = spot(event);
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, where);
    if (fingers.size === 2) { drag = { kind: "pinch" }; state.draft = []; return; }
    const from = map.at().from(...where);
    drag = { kind: state.tool === "move" || event.button === 1 ? "move" : state.tool, from, last: where };
    if (drag.kind !== "move") { map.play(false); map.look(from); }
  };
  canvas.onpointermove = (event) => {
    if (!map.at()) return;
    const where = spot(event);
    if (!drag) { if (event.pointerType === "mouse" && state.tool !== "move" && !map.playing()) map.look(map.at().from(...where)); return; }
    if (!fingers.has(event.pointerId)) return;
    if (drag.kind === "pinch") return pinch(event.pointerId, where);
    const point = map.at().from(...where);
    if (drag.kind === "move") map.pan(-(where[0] - drag.last[0]) / map.at().unit, (where[1] - drag.last[1]) / map.at().unit);
    if (drag.kind === "region") state.draft = map.lasso() ? [...(state.draft.length ? state.draft : [drag.from]), point] : outline([drag.from, point]);
    if (drag.kind === "path") state.draft = [drag.from, point];
    drag.last = where; drag.to = point;
    if (drag.kind !== "move") map.look(point);
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    fingers.delete(event.pointerId);
    if (!drag || fingers.size) return;
    const { kind, from, to } = drag;
    drag = null;
    if (event.type === "pointercancel" || !to) { state.draft = []; return map.redraw(); }
    if (kind === "region") map.setRegion(map.lasso() && state.draft.length > 2 ? state.draft : [from, to]);
    if (kind === "path") map.setPath(from, to);
  };

  function pinch(id, where) {
    const [a, b] = [...fingers.values()];
    fingers.set(id, where);
    const [c, d] = [...fingers.values()], middle = (p, r) => [(p[0] + r[0]) / 2, (p[1] + r[1]) / 2], size = (p, r) => Math.hypot(p[0] - r[0], p[1] - r[1]) || 1;
    const before = middle(a, b), after = middle(c, d);
    map.pan((before[0] - after[0]) / map.at().unit, (after[1] - before[1]) / map.at().unit);
    map.zoomAt(after[0], after[1], size(c, d) / size(a, b));
  }

  canvas.ondblclick = () => state.tool !== "region" && state.tool !== "path" && map.fitAll();
  canvas.addEventListener("wheel", (event) => { // the page scrolls unless the map has the focus
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    const [x, y] = spot(event);
    map.zoomAt(x, y, Math.exp(-clamp(event.deltaY * (event.deltaMode === 1 ? 16 : 1), -240, 240) * (event.ctrlKey ? 0.01 : 0.0018)));
  }, { passive: false });

  canvas.onkeydown = (event) => {
    if (event.metaKey || event.ctrlKey || !map.at()) return;
    const step = (event.shiftKey ? 0.1 : 0.02) / state.view.zoom, { key } = event, p = [...state.point];
    const moves = { ArrowLeft: [0, -step], ArrowRight: [0, step], ArrowDown: [map.dim > 1 ? 1 : 0, -step], ArrowUp: [map.dim > 1 ? 1 : 0, step] };
    if (moves[key]) {
      const [axis, by] = moves[key];
      p[axis] = clamp(p[axis] + by);
      if (state.tool === "move") map.pan(axis === 0 ? 10 * by : 0, axis === 1 ? 10 * by : 0);
      else { map.look(p); if (state.start) { state.draft = state.tool === "region" ? outline([state.start, p]) : [state.start, p]; map.redraw(false); } }
    } else if (key === "+" || key === "=") map.zoomAt(...map.at().to(state.point), 1.4);
    else if (key === "-") map.zoomAt(...map.at().to(state.point), 1 / 1.4);
    else if (key === "0") map.fitAll();
    else if (key === "Escape") map.clear();
    else if (key === "Enter" && (state.tool === "region" || state.tool === "path")) {
      if (!state.start) state.start = p;
      else { const from = state.start; state.start = null; if (state.tool === "region") map.setRegion([from, p]); else map.setPath(from, p); }
    } else return;
    event.preventDefault();
  };
}
