// What two fingers and a wheel do on the canvas of a map, the same on every one. `map`: {at(), where it lies, null before it is drawn;
// pan(dx, dy) in units of the map; zoomAt(x, y, factor)}.

const middle = ([p, r]) => [(p[0] + r[0]) / 2, (p[1] + r[1]) / 2], apart = ([p, r]) => Math.hypot(p[0] - r[0], p[1] - r[1]) || 1;

export function gestures(canvasOf, map) {
  const fingers = new Map(); // and pen and mouse while pressed: [x, y] by their ids
  const spot = (event) => { const r = canvasOf().getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  return {
    spot,
    down(event) { // how many there are now
      canvasOf().setPointerCapture(event.pointerId);
      return fingers.set(event.pointerId, spot(event)).size;
    },
    pinch(event) { // whether two are at work
      const before = [...fingers.values()];
      if (!fingers.has(event.pointerId)) return false;
      fingers.set(event.pointerId, spot(event));
      if (before.length < 2) return false;
      const after = [...fingers.values()], [x, y] = middle(after), [x0, y0] = middle(before), { unit } = map.at();
      map.pan((x0 - x) / unit, (y - y0) / unit);
      map.zoomAt(x, y, apart(after) / apart(before));
      return true;
    },
    up: ({ pointerId }) => fingers.delete(pointerId) && !fingers.size, // whether it was the last one
    reset: () => fingers.clear(),
    wheel(event) { // the page scrolls unless the map has the focus or Ctrl is held; whether it zooms
      if (!event.ctrlKey && !canvasOf().matches(":focus")) return false; // in a shadow root, too
      event.preventDefault();
      const by = Math.min(240, Math.max(-240, event.deltaY * (event.deltaMode === 1 ? 16 : 1)));
      map.zoomAt(...spot(event), Math.exp(-by * (event.ctrlKey ? 0.01 : 0.0018)));
      return true;
    },
  };
}
