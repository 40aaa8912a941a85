// Round numbers on the scale of a layer, at their places.

import { q } from "./core.js";
import { clamp } from "latent-map/basics.js";

const roundStep = (span) => { const ten = 10 ** Math.floor(Math.log10(span)); return [10, 5, 2, 1].find((k) => k * ten <= span * 1.0001) * ten; };

function roundNumbers(low, high, scale) { // three to six of them between two
  const found = [];
  if (scale === "log") {
    for (let ten = Math.floor(Math.log10(low)); ten <= Math.log10(high); ten++) for (const k of [1, 2, 5]) found.push(k * 10 ** ten);
    const inside = found.filter((x) => x >= low * 0.999 && x <= high * 1.001), tens = inside.filter((x) => Number.isInteger(Math.round(1e6 * Math.log10(x)) / 1e6));
    return inside.length > 6 && tens.length > 1 ? tens : inside;
  }
  const step = roundStep(Math.max(high - low, 1e-12) / 2.5);
  for (let k = Math.ceil(low / step - 0.05); k * step <= high + 0.05 * step; k++) found.push(k * step);
  return found;
}

export function listTicks({ low, high, scale }) {
  const place = scale === "log" ? Math.log : (x) => x, span = place(high) - place(low) || 1;
  const words = (x) => (scale === "percent" ? Math.round(100 * x) + " %" : String(Number(x.toPrecision(2))));
  q(".lv-ticks").replaceChildren(...roundNumbers(low, high, scale).map((x) => {
    const tick = document.createElement("span");
    tick.textContent = words(x); tick.style.left = 100 * clamp((place(x) - place(low)) / span, 0, 1) + "%";
    return tick;
  }));
}
