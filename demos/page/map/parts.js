// What a slow decoder makes, part by part: how much is here, about how long the rest takes, and a button that stops it.

import { say, show, text } from "./core.js";
import { progressWords } from "latent-map/transport.js";

const running = {}; // what is under way of "result", "walk" and "layer": {stopped, words}
const seen = () => ["result", "walk", "layer"].find((slot) => running[slot]?.words); // by the visitor

export const making = () => Boolean(running.result || running.walk);

export function stop(slot) { if (running[slot]) running[slot].stopped = true; }

export function cancel() {
  const slot = seen();
  if (!slot) return;
  say("Stopped" + (running[slot].empty ? "." : ": " + running[slot].words.replace(/, about.*/, "") + " are here."));
  stop(slot); delete running[slot]; showWork();
}

function showWork() {
  const words = running[seen()]?.words ?? "";
  show(".lv-work", Boolean(words)); text(".lv-work-words", words);
}

// The parts, until all is here or they are stopped.
export async function* following(slot, parts) {
  const mine = running[slot] = { stopped: false, words: "" };
  try {
    for await (const part of parts) {
      if (running[slot] !== mine) return;
      mine.words = progressWords(part); mine.empty = part.tiles?.length === 0; showWork();
      yield part;
      if (mine.stopped) return;
    }
  } finally { if (running[slot] === mine) { delete running[slot]; showWork(); } }
}
