// The map on the whole screen: the browser's own full screen where it has one for elements, and all of its window elsewhere.

import { q } from "./core.js";
import { redraw } from "./drawing.js";

export const filled = () => element.hasAttribute("data-full");

function fill(yes) {
  element.toggleAttribute("data-full", yes);
  document.documentElement.style.overflow = yes ? "hidden" : "";
  const button = q(".lv-full");
  button.setAttribute("aria-pressed", String(yes)); button.title = yes ? "Leave full screen (Escape)" : "Full screen";
  redraw(true);
}

export async function toggleFull() {
  const yes = !filled();
  fill(yes);
  try {
    if (yes) await element.requestFullscreen?.(); else if (document.fullscreenElement) await document.exitFullscreen();
  } catch { /* the window is filled all the same */ }
}

element.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement && filled()) fill(false); });
