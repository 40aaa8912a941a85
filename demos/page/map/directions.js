// Directions: sliders move a sample along them; its pictures, and where it goes on the map.

import { layArrows, wordArrows } from "./arrows.js";
import { S, dim, q, round, show, text } from "./core.js";
import { drawDot, redraw, theme } from "./drawing.js";
import { listLayers, setLayer } from "./layers.js";
import { LEVELS, levelOf, placeWords } from "./live.js";
import { nearest } from "./neighbours.js";
import { following, stop } from "./parts.js";
import { paintTile } from "./pictures.js";
import { firstLook } from "./start.js";
import { transport } from "./transport.js";
import { clamp, later, latestWins } from "latent-map/basics.js";
import { drawSheet, fitCanvas, haloed, trace } from "latent-map/canvases.js";

const WALK = 13, MOST_STEPS = 3;
export const moving = () => Boolean(S.found?.start) && q(".lv-directions").open;
export const directionSet = () => S.found.sets[S.found.at];
export const directionName = () => directionSet().names[S.found.number];

export async function openDirections(id) {
  const reply = await transport.directions.open(id);
  if (!reply) return;
  S.found = { ...reply, at: 0, number: 0, steps: reply.sets[0].names.map(() => 0), start: null, walk: null };
  q(".lv-directions").open = true; listLayers();
  mountDirections();
  if (dim() === 2) setLayer("arrows");
  startAt(S.pins.find((pin) => pin.key === S.chosen) || S.pins.at(-1) || { point: S.mark || firstLook() });
}

export function mountDirections() { // puts the state into whatever elements are there
  if (!q(".lv-directions")) return;
  show(".lv-directions", Boolean(S.found)); folded();
  if (!S.found) return;
  q(".lv-set").replaceChildren(...S.found.sets.map((one, i) => new Option(one.name, i, i === S.found.at, i === S.found.at)));
  show(".lv-set-field", S.found.sets.length > 1);
  listSliders(); paintMoved();
}

export function folded() {
  element.toggleAttribute("data-steer", Boolean(S.found) && q(".lv-directions").open);
  paintWalk(); redraw();
}

function listSliders() {
  q(".lv-sliders").replaceChildren(...directionSet().names.map((name, i) => {
    const row = document.createElement("div"), choose = document.createElement("button"), range = document.createElement("input"), output = document.createElement("output");
    row.className = "lv-slider"; choose.type = "button"; choose.className = "lv-button lv-choose"; choose.textContent = name;
    Object.assign(range, { type: "range", className: "lv-steps", min: -MOST_STEPS, max: MOST_STEPS, step: 0.1, value: S.found.steps[i] });
    range.setAttribute("aria-label", name + ", steps");
    choose.dataset.number = range.dataset.number = i;
    row.append(choose, range, output);
    return row;
  }));
  tellSteps();
}

function tellSteps() { // which direction is chosen, and how far each goes
  [...element.querySelectorAll(".lv-slider")].forEach((row, i) => {
    const [choose, range, output] = row.children, far = S.found.steps[i], words = far.toFixed(1).replace("-", "−");
    choose.setAttribute("aria-pressed", String(i === S.found.number));
    if (Number(range.value) !== far) range.value = far;
    range.setAttribute("aria-valuetext", words + " steps"); output.textContent = words;
  });
  q(".lv-unmove").disabled = !S.found.steps.some(Boolean);
}

export function chooseSet(at) {
  Object.assign(S.found, { at, number: 0, steps: S.found.sets[at].names.map(() => 0), walk: null });
  listSliders(); move(); refreshWalk();
  if (S.arrows) layArrows();
}

export function chooseDirection(number) {
  S.found.number = number; S.found.walk = null;
  tellSteps(); paintWalk(); refreshWalk();
  if (S.arrows) { wordArrows(); redraw(true); }
}

export function slide(number, far) {
  S.found.steps[number] = far;
  if (number !== S.found.number) chooseDirection(number); else { tellSteps(); paintWalk(); }
  move();
}

export function unmove() {
  S.found.steps.fill(0);
  tellSteps(); move(); refreshWalk();
  q(".lv-steps").focus();
}

// ---------------------------------------------------------------- the sample that moves
export function startAt(pin) { // a pin, or a place
  const { found } = S;
  if (!found || !pin) return;
  const snap = q(".lv-snap").checked && !pin.id;
  found.origin = pin;
  found.start = pin.id ? { pin: pin.id } : snap ? { row: nearest(pin.point) } : { point: round(pin.point) };
  found.name = (snap ? "code nearest to " : "") + (pin.key ? "pin " + (S.pins.indexOf(pin) + 1) : placeWords(pin.point));
  move(); refreshWalk();
}

const askMoved = (start, steps) => transport.directions.moved(S.found.id, directionSet().label, start, steps);

const move = latestWins(async () => {
  const { found } = S;
  if (!found?.start) return;
  const { start } = found, steps = [...found.steps], still = steps.map(() => 0);
  const before = found.before?.start === start ? found.before : await askMoved(start, still);
  const after = before && steps.some(Boolean) ? await askMoved(start, steps) : before;
  if (!after || found !== S.found || start !== found.start) return;
  found.before = { ...before, start }; found.after = after;
  paintMoved(); redraw();
  element.dataset.moved = [...round(after.point), ...steps].join(",");
});

function paintMoved() {
  const { before, after, name } = S.found;
  if (!after) return;
  paintTile(q(".lv-before"), before.tile); paintTile(q(".lv-after"), after.tile);
  text(".lv-before-text", "before: " + name); text(".lv-after-text", "after: " + placeWords(after.point) + ", " + LEVELS[levelOf(after.support)]);
}

// ---------------------------------------------------------------- all pictures along the chosen direction
const refreshWalk = later(60, () => { stop("walk"); followWalk(); });

const followWalk = latestWins(async () => {
  const { found } = S;
  if (!found?.start) return;
  const { start, number, at } = found, steps = [...found.steps];
  for await (const { points, tiles } of following("walk", transport.directions.walk(found.id, directionSet().label, number, start, steps))) {
    if (found !== S.found || start !== found.start || number !== found.number || at !== found.at) return; // another is on its way
    found.walk = { points, tiles };
    paintWalk(); redraw();
  }
});

export function paintWalk() {
  const canvas = q(".lv-walk canvas"), width = canvas?.clientWidth, walk = S.found?.walk;
  if (!width) return;
  const cell = width / WALK, height = walk ? cell * walk.tiles[0].height / walk.tiles[0].width : cell;
  canvas.style.height = height + "px";
  canvas.setAttribute("aria-label", walk ? WALK + " pictures along " + directionName() + ", from " + MOST_STEPS + " steps back to " + MOST_STEPS + " steps on" : "Decoding the pictures along the direction");
  const ctx = fitCanvas(canvas, width, height);
  if (!walk) return;
  drawSheet(ctx, walk.tiles, 1, WALK, width, height);
  const here = (S.found.steps[S.found.number] / MOST_STEPS + 1) / 2 * (WALK - 1);
  ctx.beginPath(); ctx.rect(Math.round(here) * cell + 1.5, 1.5, cell - 3, height - 3); haloed(ctx, theme, 2.5, theme.accent);
}

export function stepTo(event) { // a click on one of these pictures
  const r = q(".lv-walk canvas").getBoundingClientRect(), cell = clamp(Math.floor((event.clientX - r.left) / r.width * WALK), 0, WALK - 1);
  slide(S.found.number, (cell / (WALK - 1) * 2 - 1) * MOST_STEPS);
}

export function drawMove(ctx, project) { // from where it starts, along the direction, to where it is
  const { walk, before, after } = S.found;
  if (walk) { trace(ctx, project, walk.points); haloed(ctx, theme, 1.6, theme.accent); }
  if (!after) return;
  const [x, y] = project(before.point);
  ctx.beginPath(); ctx.arc(x, y, 6, 0, 7); haloed(ctx, theme, 2, theme.ink);
  drawDot(ctx, project(after.point), 6);
}
