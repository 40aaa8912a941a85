// A map of codes that can be touched: `mountMap(host, map, transport)`; see transport.js for what a transport is. It gives
// {ready, element, look(point), again(), select(indices), close()}; the element sends "look" and "select" events of its own making,
// their `detail` is {point}, and {indices, corners}.
//
// `map`: {title, text, note, dim, points: Float32Array, rows: numbers of the codes (or null where all are shown), start, tints: what
// colours the codes, as in tints.js, the first one at first}. Whatever comes in is shown as text.

import { codesIn, isNothing, nearestFew, outline } from "./areas.js";
import { clamp, download, figure, latestWins, signed } from "./basics.js";
import { drawArea, drawCross, drawFrame, drawHeat, drawPlane, drawSheet, fitCanvas, haloed, pixelPicture, themeOf, trace } from "./canvases.js";
import { drawGround } from "./ground.js";
import { listen } from "./input.js";
import { fillLegend } from "./legend.js";
import { drawNames } from "./names.js";
import { drawPoints, drawRug } from "./points.js";
import { EMPTY_VIEW, onPlane, projection, viewOf, zoomed } from "./projection.js";
import { HINTS, TEMPLATE } from "./template.js";
import { HIDDEN, isolated, kindsOf, rampStyle, shade, swatchesOf } from "./tints.js";
import { progressWords } from "./transport.js";

const FRAMES = 24, SIDE = 8;

export function mountMap(host, map, transport) {
  const { dim, points, tints } = map, count = points.length / dim, cloud = { dim, points, count }, closing = new AbortController();
  const q = (name) => element.querySelector("." + name);
  const S = {
    view: { ...EMPTY_VIEW }, plane: { axis: 2, depth: 0 }, tool: "look", point: Array(dim).fill(0), start: null, // of what is being made
    draft: [], region: null, path: null, chosen: null, frame: 0, layer: null, heat: null,
    tint: tints[0] ?? null, hidden: new Set(), kinds: null, // of the tint's words, and of all codes
  };
  const element = host.appendChild(document.createElement("div"));
  host.classList.add("lv-host"); element.className = "lv"; element.innerHTML = TEMPLATE; element.dataset.dim = dim;
  const send = (name, detail) => element.dispatchEvent(new CustomEvent(name, { detail }));
  const canvas = q("canvas"), box = { w: 1, h: 1 }, calm = matchMedia("(prefers-reduced-motion: reduce)");
  const base = document.createElement("canvas");
  let theme = {}, at = null, stale = true, queued = false, timer = 0;

  // ---------------------------------------------------------------- what is shown
  const text = (name, words) => { q(name).textContent = words; };
  const labelled = tints.find((tint) => tint.key === "labels"), labelOf = (i) => (labelled ? ` (${labelled.names[labelled.ranks[i]]})` : "");
  const numberOf = (i) => (map.rows ? map.rows[i] : i);

  function readTheme() {
    const style = getComputedStyle(element);
    theme = themeOf(style, style.accentColor);
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
    at = projection(box, dim, S.view, S.plane);
    if (stale || base.style.width !== `${box.w}px`) { stale = false; base.style.width = `${box.w}px`; drawBase(fitCanvas(base, box.w, box.h)); }
    const ctx = fitCanvas(canvas, box.w, box.h), path = S.tool === "path" ? S.draft : S.path, shape = S.draft.length > 1 ? S.draft : S.path ?? S.region;
    ctx.drawImage(base, 0, 0, box.w, box.h);
    if (dim === 3) drawPlane(ctx, theme, at.to, [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([a, b]) => onPlane(S.plane, a, b)));
    if (shape && shape === path && dim > 1) { trace(ctx, at.to, shape); haloed(ctx, theme, 2.2, theme.accent); } else if (shape) drawArea(ctx, theme, at.to, box, shape);
    if (q("named").checked) drawNames(ctx, theme, cloud, S.tint, S.hidden, box, at.to);
    drawCross(ctx, theme, at.to(S.point));
  }

  function drawBase(ctx) {
    ctx.fillStyle = theme.paper; ctx.fillRect(0, 0, box.w, box.h);
    if (S.layer === "pictures") drawGround(ctx, box, at, transport.ground);
    else if (S.heat) drawHeat(ctx, theme, at.to, S.heat);
    drawFrame(ctx, theme, at.to, dim);
    const marks = {
      kinds: S.kinds, swatches: swatchesOf(S.tint, theme.dark), lanes: S.tint?.ranks ? S.tint.names.length : 1, rim: S.layer === "pictures",
      mask: S.chosen && Uint8Array.from({ length: count }, (_, i) => S.chosen.has(i)), solid: (i) => clamp(1.05 - 1.5 * Math.abs(points[3 * i + 2] - S.plane.depth), 0.16, 1),
    };
    if (dim === 1) drawRug(ctx, cloud, marks, box, at.to); else drawPoints(ctx, theme, cloud, marks, box, at.to, S.view.zoom);
  }

  // ---------------------------------------------------------------- a place
  async function look(point, told = false) {
    S.point = point;
    if (!told) send("look", { point });
    redraw(false);
    text("at", `(${point.map(signed).join(", ")})`);
    const [near] = nearestFew(point, 1, cloud, S.kinds, HIDDEN)[0] ?? [null];
    text("near", near === null ? "" : `nearest code: ${numberOf(near)}${labelOf(near)}${wordOf(near)}`);
    await refreshPicture(point);
  }

  const refreshPicture = latestWins(async (point) => {
    try {
      const { tile, support } = await transport.picture(point);
      paint(q("picture"), tile);
      text("support", support === null ? "" : `support ${support.toFixed(2)}${support < 0.5 ? ": few codes near, the map guesses" : ""}`);
      element.dataset.at = point.map((x) => x.toFixed(5)).join(","); // where the picture is of, for whoever drives the page
    } catch (problem) { text("near", problem.message); }
  });

  function paint(target, picture) {
    const { width, height } = transport.image, scale = Math.max(1, Math.round(320 / Math.max(width, height)));
    const w = width * scale, h = height * scale, ctx = (target.width = w, target.height = h, target.getContext("2d"));
    ctx.imageSmoothingEnabled = Math.max(width, height) > 40;
    ctx.drawImage(picture, 0, 0, w, h);
  }

  // ---------------------------------------------------------------- regions and paths
  async function setRegion(corners) {
    if (isNothing(corners)) return clear();
    S.region = corners.length === 2 ? outline(corners, S.plane) : corners;
    S.path = null; S.draft = [];
    const found = codesIn(corners, cloud, S.kinds, HIDDEN, S.plane), numbers = found.map(numberOf);
    S.chosen = new Set(found);
    send("select", { indices: numbers, corners });
    const words = `${found.length.toLocaleString("en")} of ${count.toLocaleString("en")} codes lie in this region${dim === 3 ? ", at any third coordinate" : ""}.`;
    await showSheet(transport.region(corners, dim === 1 ? 2 : SIDE, SIDE, S.plane), "region", words, numbers);
  }

  async function setPath(a, b) {
    S.path = [a, b]; S.region = null; S.draft = []; S.chosen = null;
    const words = `${FRAMES} pictures on the straight line from (${a.map(signed).join(", ")}) to (${b.map(signed).join(", ")}).`;
    if (!await showSheet(transport.path([a, b], FRAMES), "path", words, null)) return;
    S.frame = 0;
    await look(a);
    play(!calm.matches);
  }

  async function showSheet(parts, kind, words, indices) { // whether all pictures came, unless it was closed
    play(false);
    const mine = S.asked = {}, sheet = q("sheet"), { width, height } = transport.image;
    const scale = Math.max(0.25, Math.min(3, 640 / (SIDE * width))), w = SIDE * Math.round(width * scale + 2), h = Math.round(height * scale + 2);
    delete element.dataset.result; q("result").hidden = false;
    sheet.hidden = true; sheet.setAttribute("role", "img"); sheet.setAttribute("aria-label", words);
    text("count", words); text("clear", "Cancel");
    for (const name of ["copy", "keep", "indices"]) q(name).hidden = !indices;
    q("play").hidden = true; q("indices").value = indices ? JSON.stringify(indices) : "";
    redraw();
    if (element.clientWidth < 760 && matchMedia("(pointer: coarse)").matches) q("result").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
    try {
      for await (const part of parts) {
        if (S.asked !== mine) return false;
        const rows = Math.ceil(part.points.length / SIDE), left = progressWords(part);
        S.sheet = { points: part.points, rows };
        sheet.width = w; sheet.height = rows * h; sheet.hidden = false;
        drawSheet(sheet.getContext("2d"), part.tiles, rows, SIDE, w, rows * h, 2);
        text("count", left ? `${words} ${left}.` : words);
      }
    } catch (problem) { if (S.asked === mine) ended(problem.message); return false; }
    if (S.asked !== mine) return false;
    ended(words); q("play").hidden = Boolean(indices);
    element.dataset.result = kind; // it is whole
    return true;
  }

  function ended(words) { // the pictures of a region or a path: no more are asked for
    S.asked = null;
    text("count", words); text("clear", "Close");
  }

  function select(indices) { // codes by their numbers; the map moves to where they lie
    const wanted = new Set(indices);
    clear(true);
    if (!wanted.size) return;
    const rows = Array.from({ length: count }, (_, i) => i).filter((i) => wanted.has(numberOf(i)));
    if (!rows.length) return;
    S.chosen = new Set(rows); S.view = viewOf(S.view, cloud, rows) ?? S.view;
    redraw();
  }

  function clear(told) {
    play(false);
    if (S.chosen && told !== true) send("select", { indices: [], corners: null });
    Object.assign(S, { region: null, path: null, draft: [], start: null, chosen: null, asked: null });
    q("result").hidden = true; delete element.dataset.result;
    redraw();
  }

  function play(on) {
    clearInterval(timer); timer = 0;
    text("play", on ? "Pause" : "Play");
    if (!on || !S.path) return;
    timer = setInterval(() => { S.frame = (S.frame + 1) % (2 * FRAMES - 2); look(S.sheet.points[S.frame < FRAMES ? S.frame : 2 * FRAMES - 2 - S.frame]); }, 80);
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
    S.layer = name; S.heat = null; q("scale").hidden = !(name in transport.can.layers);
    if (name in transport.can.layers) for await (const layer of transport.layer(name)) {
      if (S.layer !== name) return;
      S.heat = pixelPicture(layer.side, layer.side, (i) => shade(layer.values[i] / 255)); text("low", figure(layer.low)); text("high", figure(layer.high)); text("meaning", layer.text);
    }
    redraw();
  }

  // ---------------------------------------------------------------- colours
  function wordOf(i) { // of a code, besides its label
    const { tint } = S;
    if (!tint || tint === labelled) return "";
    return `, ${tint.name} ${tint.ranks ? tint.names[tint.ranks[i]] : Number.isNaN(tint.values[i]) ? "not known" : figure(tint.values[i])}`;
  }

  function setTint(tint, hidden = new Set()) {
    Object.assign(S, { tint, hidden, kinds: kindsOf(tint, hidden, count) });
    q("tints").value = tint?.key ?? "none";
    q("naming").hidden = !tint?.ranks || dim === 1;
    fillLegend(q("legend"), tint, hidden, theme.dark, (rank, alone) => {
      const others = new Set(S.hidden);
      if (!others.delete(rank)) others.add(rank);
      setTint(S.tint, alone ? isolated(S.hidden, rank, S.tint.names.length) : others);
    });
    q("ramp").hidden = !tint?.values;
    if (tint?.values) {
      q("ramp").querySelector("i").style.background = rampStyle(tint, theme.dark);
      text("least", (tint.cut ? "≤ " : "") + figure(tint.low)); text("most", (tint.cut ? "≥ " : "") + figure(tint.high));
      text("missing", tint.missing ? `${tint.missing.toLocaleString("en")} without a value, in grey` : "");
    }
    if (element.dataset.state) look(S.point, true);
    redraw();
  }

  function zoomAt(x, y, factor) { S.view = zoomed(box, at, S.view, x, y, factor, dim === 3 ? 0.6 : 1, 60); redraw(); }

  function pan(dx, dy) {
    S.view.cx = clamp(S.view.cx + dx); S.view.cy = dim === 1 ? 0 : clamp(S.view.cy + dy);
    redraw();
  }

  function drag(dx, dy) { // by pixels: a 3-D map turns
    if (dim < 3) return pan(-dx / at.unit, dy / at.unit);
    S.view.yaw += dx * 0.008; S.view.pitch = clamp(S.view.pitch + dy * 0.008, -1.5, 1.5);
    redraw();
  }

  const fitAll = () => { S.view = { ...EMPTY_VIEW }; redraw(); };

  listen(canvas, S, {
    dim, at: () => at, lasso: () => dim > 1 && q("shapes").value === "lasso", playing: () => timer !== 0,
    look, play, pan, drag, zoomAt, fitAll, setRegion, setPath, clear, redraw,
  });

  q("sheet").onclick = (event) => {
    const { points: places, rows } = S.sheet, r = q("sheet").getBoundingClientRect();
    const p = places[clamp(Math.floor((event.clientY - r.top) / r.height * rows), 0, rows - 1) * SIDE + clamp(Math.floor((event.clientX - r.left) / r.width * SIDE), 0, SIDE - 1)];
    if (p) { play(false); look(p); }
  };
  q("play").onclick = () => play(!timer);
  q("clear").onclick = () => (S.asked ? ended(q("count").textContent.replace(/, about.*/, " are here.")) : clear());
  q("fit").onclick = fitAll;
  q("layers").onchange = (event) => setLayer(event.target.value);
  q("depth").oninput = (event) => { S.plane.depth = Number(event.target.value); look([S.point[0], S.point[1], S.plane.depth]); redraw(); };
  q("tints").onchange = (event) => setTint(tints.find((tint) => tint.key === event.target.value) ?? null);
  q("named").onchange = () => redraw(false);
  q("copy").onclick = async () => {
    q("indices").select();
    try { await navigator.clipboard.writeText(q("indices").value); } catch { document.execCommand("copy"); }
    text("copy", "Copied"); setTimeout(() => text("copy", "Copy"), 1500);
  };
  q("keep").onclick = () => download([q("indices").value], "application/json", "codes.json");

  // ---------------------------------------------------------------- begin
  text("title", map.title); text("text", map.text); text("note", map.note);
  const tools = { look: "Look", region: "Region", path: "Path", move: "Move" };
  for (const [tool, words] of Object.entries(tools)) {
    const button = document.createElement("button");
    button.type = "button"; button.dataset.tool = tool; button.textContent = words; button.onclick = () => setTool(tool);
    q("tools").append(button);
  }
  const layers = { ...(transport.can.ground ? { pictures: "pictures" } : {}), ...(dim === 2 ? transport.can.layers : {}), nothing: "nothing" };
  for (const [name, words] of Object.entries(layers)) q("layers").append(new Option(words, name));
  q("under").hidden = Object.keys(layers).length === 1; q("shape").hidden = dim === 1; q("height").hidden = dim !== 3;
  if (!labelled) q("tints").append(new Option("nothing", "none"));
  for (const { key, name } of tints) q("tints").append(new Option(name, key));
  q("colour").hidden = tints.length + !labelled < 2;
  readTheme(); setTint(labelled ?? null); setTool("look"); setLayer(q("layers").value);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); setTint(S.tint, S.hidden); }, { signal: closing.signal });
  new ResizeObserver(() => redraw()).observe(canvas);
  const first = map.start ?? Array(dim).fill(0);
  S.plane.depth = first[2] ?? 0; q("depth").value = S.plane.depth;
  draw();
  const ready = look(first, true).then(() => { element.dataset.state = "ready"; });
  return { ready, element, select, look: (point) => look(point, true), again: () => look(S.point, true), close() { play(false); closing.abort(); element.remove(); } };
}
