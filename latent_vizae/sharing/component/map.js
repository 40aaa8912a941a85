// A map of codes that can be touched: `mountMap(host, map, transport)`; see tiles.js for what a transport is. It gives
// {ready, element, look(point), again(), select(indices), close()}; the element sends "look" and "select" events of its own making,
// their `detail` is {point}, and {indices, corners}.
//
// `map`: {title, text, note, dim, points: Float32Array, rows: numbers of the codes (or null where all are shown),
// labels: an index into `names` for each point (or null), names, differences}. Whatever comes in is shown as text.

import { gridIn, isNothing, outline, within } from "./areas.js";
import { drawGround } from "./ground.js";
import { clamp, drawCross, drawFrame, drawHeat, drawLine, drawRug, drawSpan, heatPicture, paletteOf, pointPicture, projection } from "./drawing.js";
import { listen } from "./input.js";
import { HINTS, TEMPLATE } from "./template.js";

const MOST_IN_LEGEND = 40, FRAMES = 24, SIDE = 8;

export function mountMap(host, map, transport) {
  const { dim, points, labels, names } = map, count = points.length / dim, closing = new AbortController();
  const q = (name) => element.querySelector("." + name);
  const S = {
    view: { cx: 0, cy: 0, zoom: 1 }, tool: "look", depth: 0, point: Array(dim).fill(0), start: null, // of what is being made
    draft: [], region: null, path: null, chosen: null, frame: 0, hidden: new Set(), layer: null, heat: null,
  };
  const element = host.appendChild(document.createElement("div"));
  host.classList.add("lv-host"); element.className = "lv"; element.innerHTML = TEMPLATE; element.dataset.dim = dim;
  const send = (name, detail) => element.dispatchEvent(new CustomEvent(name, { detail }));
  const canvas = q("canvas"), box = { w: 1, h: 1 }, calm = matchMedia("(prefers-reduced-motion: reduce)");
  const base = document.createElement("canvas");
  let theme = {}, at = null, wanted = null, busy = false, stale = true, queued = false, timer = 0;

  // ---------------------------------------------------------------- what is shown
  const text = (name, words) => { q(name).textContent = words; };
  const kindOf = (i) => (labels ? (S.hidden.has(labels[i]) ? -1 : labels[i] % theme.palette.length) : 0);
  const signed = (x) => x.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
  const numberOf = (i) => (map.rows ? map.rows[i] : i);

  function readTheme() {
    const style = getComputedStyle(element), rgb = (style.backgroundColor.match(/[\d.]+/g) || [255, 255, 255]).slice(0, 3).map(Number);
    const dark = rgb[0] * 0.3 + rgb[1] * 0.59 + rgb[2] * 0.11 < 128;
    theme = { paper: style.backgroundColor, rgb, ink: style.color, accent: style.accentColor, dark, palette: paletteOf(dark) };
    element.querySelectorAll(".legend i").forEach((dot, i) => { dot.style.background = theme.palette[i % theme.palette.length]; });
  }

  function sized(target, w, h) {
    const ratio = devicePixelRatio || 1, ctx = target.getContext("2d");
    target.width = Math.max(1, Math.round(w * ratio)); target.height = Math.max(1, Math.round(h * ratio));
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    return ctx;
  }

  function redraw(all = true) {
    stale ||= all;
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => { queued = false; draw(); });
  }

  function draw() {
    if (!canvas.clientWidth) return;
    box.w = canvas.clientWidth; box.h = canvas.clientHeight;
    at = projection(box, dim, S.view, S.depth);
    if (stale || base.style.width !== `${box.w}px`) { stale = false; base.style.width = `${box.w}px`; drawBase(sized(base, box.w, box.h)); }
    const ctx = sized(canvas, box.w, box.h);
    ctx.drawImage(base, 0, 0, box.w, box.h);
    const shape = S.draft.length > 1 ? S.draft : S.tool === "path" ? S.path : S.region;
    if (shape) { if (dim === 1) drawSpan(ctx, box, at, shape, theme); else drawLine(ctx, at, shape, theme, S.tool !== "path" || shape.length > 2); }
    drawCross(ctx, at, S.point, theme);
  }

  function drawBase(ctx) {
    ctx.fillStyle = theme.paper; ctx.fillRect(0, 0, box.w, box.h);
    if (S.layer === "pictures") drawGround(ctx, box, at, transport.ground);
    else if (S.heat) { ctx.globalAlpha = 0.7; drawHeat(ctx, at, S.heat); ctx.globalAlpha = 1; }
    drawFrame(ctx, at, dim, theme);
    if (dim === 1) return drawRug(ctx, box, at, points, kindOf, (i) => (labels ? labels[i] : 0), Math.max(1, names.length), theme.palette, S.chosen);
    const layer = document.createElement("canvas"), ratio = devicePixelRatio || 1;
    const size = { w: layer.width = base.width, h: layer.height = base.height };
    layer.getContext("2d").putImageData(pointPicture(size, ratio, dim, at, points, kindOf, theme.palette, theme.rgb, S.depth, S.chosen), 0, 0);
    ctx.drawImage(layer, 0, 0, box.w, box.h);
  }

  // ---------------------------------------------------------------- a place
  async function look(point, told = false) {
    S.point = point;
    if (!told) send("look", { point });
    redraw(false);
    text("at", `(${point.map(signed).join(", ")})`);
    const trust = transport.can.support ? transport.supportAt(point) : null;
    text("support", trust === null ? "" : `support ${trust.toFixed(2)}${trust < 0.5 ? ": few codes near, the map guesses" : ""}`);
    const near = nearest(point);
    text("near", near === null ? "" : `nearest code: ${numberOf(near)}${labels ? ` (${names[labels[near]]})` : ""}`);
    wanted = point;
    if (busy) return;
    busy = true;
    try {
      while (wanted) { // one question at a time, the latest place
        const now = wanted;
        wanted = null;
        const [picture] = await transport.pictures([now]);
        paint(q("picture"), picture);
        element.dataset.at = now.map((x) => x.toFixed(5)).join(","); // where the picture is of, for whoever drives the page
      }
    } catch (problem) { wanted = null; text("near", problem.message); } finally { busy = false; }
  }

  function paint(target, picture) {
    const { width, height } = transport.image, scale = Math.max(1, Math.round(320 / Math.max(width, height)));
    const w = width * scale, h = height * scale, ctx = (target.width = w, target.height = h, target.getContext("2d"));
    ctx.imageSmoothingEnabled = Math.max(width, height) > 40;
    ctx.drawImage(picture, 0, 0, w, h);
  }

  function nearest(point) {
    let best = null, least = Infinity;
    for (let i = 0; i < count; i++) {
      if (labels && S.hidden.has(labels[i])) continue;
      let far = 0;
      for (let c = 0; c < dim; c++) far += (points[i * dim + c] - point[c]) ** 2;
      if (far < least) { least = far; best = i; }
    }
    return best;
  }

  // ---------------------------------------------------------------- regions and paths
  function codesIn(corners) { // of a 3-D map at any height
    const found = [], p = Array(dim);
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < dim; c++) p[c] = points[i * dim + c];
      if (!(labels && S.hidden.has(labels[i])) && within(p, corners)) found.push(i);
    }
    return found;
  }

  async function setRegion(corners) {
    if (isNothing(corners)) return clear();
    S.region = corners.length === 2 ? outline(corners) : corners;
    S.path = null; S.draft = [];
    const found = codesIn(corners), columns = SIDE, wanted = gridIn(corners, dim === 1 ? 2 : SIDE, columns, S.depth);
    S.chosen = new Set(found);
    send("select", { indices: found.map(numberOf), corners });
    await showSheet(wanted, columns, "region", `${found.length.toLocaleString("en")} of ${count.toLocaleString("en")} codes lie in this region${dim === 3 ? ", at any third coordinate" : ""}.`, found.map(numberOf));
  }

  async function setPath(a, b) {
    S.path = [a, b]; S.region = null; S.draft = []; S.chosen = null;
    const wanted = Array.from({ length: FRAMES }, (_, i) => a.map((x, c) => x + (b[c] - x) * i / (FRAMES - 1)));
    await showSheet(wanted, SIDE, "path", `${FRAMES} pictures on the straight line from (${a.map(signed).join(", ")}) to (${b.map(signed).join(", ")}).`, null);
    S.frame = 0;
    await look(a);
    play(!calm.matches);
  }

  async function showSheet(wanted, columns, kind, words, indices) {
    play(false);
    const shown = wanted.filter(Boolean), pictures = await transport.pictures(shown), sheet = q("sheet");
    const { width, height } = transport.image, scale = Math.max(0.25, Math.min(3, 640 / (columns * width)));
    const w = Math.round(width * scale), h = Math.round(height * scale), rows = Math.ceil(wanted.length / columns);
    sheet.width = columns * (w + 2) - 2; sheet.height = rows * (h + 2) - 2;
    const ctx = sheet.getContext("2d");
    ctx.imageSmoothingEnabled = Math.max(width, height) > 40;
    wanted.forEach((p, i) => p && ctx.drawImage(pictures[shown.indexOf(p)], (i % columns) * (w + 2), Math.floor(i / columns) * (h + 2), w, h));
    S.sheet = { wanted, columns, rows };
    element.dataset.result = kind; q("result").hidden = false;
    sheet.setAttribute("role", "img"); sheet.setAttribute("aria-label", words);
    text("count", words);
    for (const name of ["copy", "keep", "indices"]) q(name).hidden = !indices;
    q("play").hidden = Boolean(indices); q("indices").value = indices ? JSON.stringify(indices) : "";
    redraw();
    if (element.clientWidth < 760 && matchMedia("(pointer: coarse)").matches) q("result").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
  }

  function select(indices) { // codes by their numbers; the map moves to where they lie
    const wanted = new Set(indices), low = Array(2).fill(1), high = Array(2).fill(-1);
    clear(true);
    if (!wanted.size) return;
    S.chosen = new Set();
    for (let i = 0; i < count; i++) {
      if (!wanted.has(numberOf(i))) continue;
      S.chosen.add(i);
      for (let c = 0; c < Math.min(dim, 2); c++) { low[c] = Math.min(low[c], points[i * dim + c]); high[c] = Math.max(high[c], points[i * dim + c]); }
    }
    if (!S.chosen.size) return;
    const spread = Math.max(...low.map((x, c) => (c < dim ? high[c] - x : 0)));
    S.view = { cx: (low[0] + high[0]) / 2, cy: dim > 1 ? (low[1] + high[1]) / 2 : 0, zoom: clamp(1.6 / Math.max(spread, 0.05), 1, 20) };
    redraw();
  }

  function clear(told) {
    play(false);
    if (S.chosen && told !== true) send("select", { indices: [], corners: null });
    Object.assign(S, { region: null, path: null, draft: [], start: null, chosen: null });
    q("result").hidden = true; delete element.dataset.result;
    redraw();
  }

  function play(on) {
    clearInterval(timer); timer = 0;
    text("play", on ? "Pause" : "Play");
    if (!on || !S.path) return;
    timer = setInterval(() => { S.frame = (S.frame + 1) % (2 * FRAMES - 2); look(S.sheet.wanted[S.frame < FRAMES ? S.frame : 2 * FRAMES - 2 - S.frame]); }, 80);
  }

  // ---------------------------------------------------------------- tools, layers, labels
  function setTool(tool) {
    S.tool = tool; S.start = null; S.draft = [];
    element.dataset.tool = tool;
    element.querySelectorAll(".tools button").forEach((b) => b.setAttribute("aria-pressed", b.dataset.tool === tool));
    text("hint", HINTS[tool]);
    canvas.setAttribute("aria-label", `Map of ${count} codes. ${HINTS[tool]}`);
    redraw();
  }

  async function setLayer(name) {
    S.layer = name; S.heat = null;
    const layer = transport.can.layers.includes(name) ? await transport.layer(name) : null;
    if (S.layer !== name) return;
    if (layer) { S.heat = heatPicture(layer); text("low", figure(layer.low)); text("high", figure(layer.high)); text("meaning", layer.text); }
    q("scale").hidden = !layer;
    redraw();
  }

  const figure = (x) => String(Number(x.toPrecision(2)));

  function fillLegend() {
    const legend = q("legend");
    legend.hidden = !labels;
    if (!labels) return;
    names.slice(0, MOST_IN_LEGEND).forEach((name, index) => {
      const button = document.createElement("button"), dot = document.createElement("i");
      button.type = "button"; button.setAttribute("aria-pressed", "true"); button.title = "Show or hide; twice: this one alone";
      button.append(dot, document.createTextNode(name));
      button.onclick = (event) => toggle(index, event.altKey);
      button.ondblclick = () => toggle(index, true);
      legend.append(button);
    });
    if (names.length > MOST_IN_LEGEND) legend.append(document.createTextNode(`and ${names.length - MOST_IN_LEGEND} more`));
  }

  function toggle(index, alone) {
    const others = names.map((_, i) => i).filter((i) => i !== index);
    if (alone) S.hidden = others.every((i) => S.hidden.has(i)) && !S.hidden.has(index) ? new Set() : new Set(others);
    else if (!S.hidden.delete(index)) S.hidden.add(index);
    element.querySelectorAll(".legend button").forEach((b, i) => b.setAttribute("aria-pressed", String(!S.hidden.has(i))));
    look(S.point); redraw();
  }

  function zoomAt(x, y, factor) {
    const old = S.view.zoom;
    S.view.zoom = clamp(old * factor, 1, 60);
    const after = at.unit * S.view.zoom / old, k = 1 / at.unit - 1 / after;
    pan((x - box.w / 2) * k, -(y - box.h / 2) * k);
  }

  function pan(dx, dy) {
    S.view.cx = clamp(S.view.cx + dx); S.view.cy = dim === 1 ? 0 : clamp(S.view.cy + dy);
    redraw();
  }

  const fitAll = () => { S.view = { cx: 0, cy: 0, zoom: 1 }; redraw(); };

  listen(canvas, S, {
    dim, at: () => at, lasso: () => dim > 1 && q("shapes").value === "lasso", playing: () => timer !== 0,
    look, play, pan, zoomAt, fitAll, setRegion, setPath, clear, redraw,
  });

  q("sheet").onclick = (event) => {
    const { wanted, columns, rows } = S.sheet, r = q("sheet").getBoundingClientRect();
    const p = wanted[clamp(Math.floor((event.clientY - r.top) / r.height * rows), 0, rows - 1) * columns + clamp(Math.floor((event.clientX - r.left) / r.width * columns), 0, columns - 1)];
    if (p) { play(false); look(p); }
  };
  q("play").onclick = () => play(!timer);
  q("clear").onclick = () => clear();
  q("fit").onclick = fitAll;
  q("layers").onchange = (event) => setLayer(event.target.value);
  q("depth").oninput = (event) => { S.depth = Number(event.target.value); look([S.point[0], S.point[1], S.depth]); redraw(); };
  q("copy").onclick = async () => {
    q("indices").select();
    try { await navigator.clipboard.writeText(q("indices").value); } catch { document.execCommand("copy"); }
    text("copy", "Copied"); setTimeout(() => text("copy", "Copy"), 1500);
  };
  q("keep").onclick = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([q("indices").value], { type: "application/json" }));
    link.download = "codes.json"; link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // ---------------------------------------------------------------- begin
  text("title", map.title); text("text", map.text); text("note", map.note);
  const tools = { look: "Look", region: "Region", path: "Path", move: "Move" };
  for (const [tool, words] of Object.entries(tools)) {
    const button = document.createElement("button");
    button.type = "button"; button.dataset.tool = tool; button.textContent = words; button.onclick = () => setTool(tool);
    q("tools").append(button);
  }
  const layers = [...(transport.can.ground ? ["pictures"] : []), ...(dim === 2 ? transport.can.layers : []), "nothing"];
  for (const name of layers) q("layers").append(new Option(name, name));
  q("under").hidden = layers.length === 1; q("shape").hidden = dim === 1; q("height").hidden = dim !== 3;
  fillLegend(); readTheme(); setTool("look"); setLayer(layers[0]);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); redraw(); }, { signal: closing.signal });
  new ResizeObserver(() => redraw()).observe(canvas);
  const first = map.start ?? Array(dim).fill(0);
  S.depth = first[2] ?? 0; q("depth").value = S.depth;
  draw();
  const ready = look(first, true).then(() => { element.dataset.state = "ready"; });
  return { ready, element, select, look: (point) => look(point, true), again: () => look(S.point, true), close() { play(false); closing.abort(); element.remove(); } };
}
