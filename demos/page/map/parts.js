// Pictures of a slow decoder, part by part: how many are here, about how long the others take, and a button that stops them.

import { say, show, text } from "./core.js";
import { tiles } from "./pictures.js";

const running = { result: null, layer: null }; // what is under way: {stopped, words}

export function stop(slot) { if (running[slot]) running[slot].stopped = true; }

export function cancel() { // what the visitor sees
  const slot = running.result?.words ? "result" : "layer";
  if (running[slot]) say("Stopped: " + running[slot].words.replace(/, about.*/, "") + " are here.");
  stop(slot); running[slot] = null; showWork();
}

function showWork() {
  const words = running.result?.words || running.layer?.words || "";
  show(".lv-work", Boolean(words)); text(".lv-work-words", words);
}

const timeLeft = (seconds) => (seconds < 90 ? Math.max(1, Math.round(seconds)) + " s" : Math.round(seconds / 60) + " min");

// Replies to `next(reply before)`, each with `done`, `of` and `seconds` an image, until all is here or it is stopped.
export async function* parts(slot, next) {
  const mine = running[slot] = { stopped: false, words: "" };
  try {
    for (let reply = null; !mine.stopped;) {
      reply = await next(reply);
      if (!reply || running[slot] !== mine) return;
      if (reply.done < reply.of) { mine.words = reply.done + " of " + reply.of + ", about " + timeLeft((reply.of - reply.done) * reply.seconds) + " left"; showWork(); }
      yield reply;
      if (!(reply.done < reply.of)) return;
    }
  } finally { if (running[slot] === mine) { running[slot] = null; showWork(); } }
}

// The same of pictures: `ask(first)` answers with those from number `first` on; each reply has all `tiles` so far.
export function pictureParts(ask) {
  const all = [];
  return parts("result", async () => {
    const reply = await ask(all.length);
    if (!reply) return null;
    all.push(...await tiles(reply.images));
    return { ...reply, tiles: all, done: all.length, of: reply.points.length };
  });
}
