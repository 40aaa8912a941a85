// A tour of four steps: each frames a part of the page and says what it is for. Escape or Skip ends it.

import { q, text } from "./core.js";
import { clamp } from "latent-map/basics.js";

const STEPS = [
  [".lv-map", "The map", "Every place of it is an image that the decoder makes. Point at it (or press the arrow keys) and the picture beside it follows; a click pins it. The wheel zooms after a click."],
  [".lv-tool-region", "Region", "Choose it and drag a box: a grid of images shows what lies in it, cell by cell. A cell can be pinned."],
  [".lv-tool-path", "Path", "Choose it and draw a line: a film shows one image turn into another along it. Pins make a path, too."],
  [".lv-layer-field", "What lies beneath", "Images of the surface, or how far a place is to be trusted. The tabs below say what was measured, place an own picture, fit another map, and keep what is shown."],
];
export let step = -1, before = null;

export function tour(to) {
  q(".lv-toured")?.classList.remove("lv-toured");
  const card = q(".lv-tour"), ended = to < 0 || to >= STEPS.length;
  if (step < 0 && !ended) before = document.activeElement;
  step = ended ? -1 : to;
  card.hidden = ended;
  if (ended) { before?.focus(); return; }
  const [selector, title, words] = STEPS[step], target = q(selector);
  target.classList.add("lv-toured");
  text(".lv-tour-title", title); text(".lv-tour-words", words); text(".lv-tour-count", "Step " + (step + 1) + " of " + STEPS.length);
  text(".lv-tour-next", step + 1 < STEPS.length ? "Next" : "Done"); q(".lv-tour-back").disabled = !step;
  target.scrollIntoView({ block: "center" });
  placeCard(card, target);
  card.setAttribute("aria-label", "Step " + (step + 1) + " of " + STEPS.length + ". " + title + ". " + words);
  card.focus({ preventScroll: true });
}

function placeCard(card, target) { // below what it is of, or in its lower part where that is large
  const home = q(".lv").getBoundingClientRect(), r = target.getBoundingClientRect(), { offsetWidth: w, offsetHeight: h } = card;
  const large = r.height > 200;
  card.style.left = clamp(r.left - home.left + (large ? (r.width - w) / 2 : 0), 0, Math.max(0, home.width - w)) + "px";
  card.style.top = (large ? r.bottom - home.top - h - 16 : r.bottom - home.top + 10) + "px";
}

const inTour = (event) => step >= 0 && Boolean(event.target.closest(".lv-tour"));
element.addEventListener("keydown", (event) => {
  if (!inTour(event)) return;
  const by = { Escape: -9, ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by || (by === -1 && !step)) return;
  event.preventDefault(); event.stopPropagation();
  tour(by === -9 ? -1 : step + by);
});
