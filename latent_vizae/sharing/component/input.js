// Mouse, pen, fingers and keys on the canvas of a map: what they ask of it. `state` is the map's, `map` what it can do.

import { outline } from "./areas.js";
import { gestures } from "./gestures.js";
import { moved, zoomKey } from "./keys.js";

export function listen(canvas, state, map) {
  const { spot, down, pinch, up, wheel } = gestures(() => canvas, map);
  let drag = null;

  const there = (where) => map.at().from(...where) ?? state.point; // a plane may be seen from its edge

  canvas.onpointerdown = (event) => {
    if (!map.at() || event.button > 1) return;
    if (down(event) > 1) { drag = { kind: "pinch" }; state.draft = []; return; }
    const where = spot(event), from = there(where);
    const turns = map.dim === 3 && state.tool === "look" && event.pointerType === "mouse"; // whose place is looked at without a button
    drag = { kind: state.tool === "move" || event.button === 1 || turns ? "move" : state.tool, from, last: where };
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
    const { key } = event, p = moved(event, state.point, state.view, state.plane);
    if (p && state.tool === "move") { const [dx, dy = 0] = moved(event, p.map(() => 0), state.view, state.plane); map.pan(5 * dx, 5 * dy); }
    else if (p) {
      map.look(p);
      if (state.start) { state.draft = state.tool === "region" ? outline([state.start, p], state.plane) : [state.start, p]; map.redraw(false); }
    } else if (zoomKey(event, () => map.at().to(state.point), map.zoomAt, map.fitAll)) { /* it did */ }
    else if (key === "Escape") map.clear();
    else if ((key === "Enter" || key === " ") && (state.tool === "region" || state.tool === "path")) {
      const from = state.start;
      state.start = from ? null : state.point;
      if (from && state.tool === "region") map.setRegion([from, state.point]); else if (from) map.setPath(from, state.point);
    } else return;
    event.preventDefault();
  };
}
