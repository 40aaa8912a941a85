// The legend of a tint of words: a click shows or hides one, a double-click or Alt shows it alone.

import { swatchesOf } from "./tints.js";

const MOST_IN_LEGEND = 40;

export function legendParts(tint, hidden, dark, otherwise = "") { // a button for each word, and how many more there are
  const colours = swatchesOf(tint, dark), more = tint.names.length - MOST_IN_LEGEND;
  const made = tint.names.slice(0, MOST_IN_LEGEND).map((name, rank) => {
    const button = document.createElement("button"), swatch = document.createElement("i");
    button.type = "button"; button.dataset.label = tint.keys[rank]; button.dataset.rank = rank; button.setAttribute("aria-pressed", String(!hidden.has(rank)));
    button.title = "Show or hide. Double-click or Alt-click: this one alone.";
    button.style.setProperty("--lv-label", colours[rank]);
    button.append(swatch, name);
    return button;
  });
  if (more > 0) made.push(Object.assign(document.createElement("span"), { textContent: "and " + more.toLocaleString("en") + " more" + otherwise }));
  return made;
}

export function fillLegend(legend, tint, hidden, dark, toggle) {
  legend.hidden = !tint?.ranks;
  const key = legend.hidden ? "" : `${tint.key} ${dark}`, old = legend.querySelectorAll("button");
  if (legend.dataset.of === key) return old.forEach((button, rank) => button.setAttribute("aria-pressed", String(!hidden.has(rank)))); // a second click on one makes a double-click
  legend.dataset.of = key;
  legend.replaceChildren(...(legend.hidden ? [] : legendParts(tint, hidden, dark)));
  const rankOf = (event) => { const button = event.target.closest("button"); return button ? Number(button.dataset.rank) : null; };
  legend.onclick = (event) => rankOf(event) !== null && toggle(rankOf(event), event.altKey);
  legend.ondblclick = (event) => rankOf(event) !== null && toggle(rankOf(event), true);
}
