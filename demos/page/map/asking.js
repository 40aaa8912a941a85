// Calls to Python.

import { lostMap } from "./address.js";
import { S, q, say } from "./core.js";

// One call to Python about a map by its id; errors become a line of text and a null. What waited for its turn while
// another map was opened has no map to ask about: a null, too.
const WAITS = { grid: "Decoding the region…", draws: "Drawing samples…", path: "Decoding the path…", traverse: "Decoding the pictures along it…", layer: "Measuring the map…", find: "Searching…", chosen: "Making the file…", column: "Fetching the column…", drawn: "Finding its place…" };

export async function ask(name, id, ...args) {
  if (!id) return null;
  const turn = S.turn, words = WAITS[name], slow = setTimeout(() => words && turn === S.turn && q(".lv-work").hidden && say(words, "wait"), 400);
  try {
    const reply = await server[name](id, ...args);
    if (turn !== S.turn) return null; // another map was loaded meanwhile
    if (reply?.gone) { lostMap(reply.error); return null; }
    if (!reply || reply.error) { say((reply && reply.error) || "The server sent no answer.", "error"); return null; }
    if (q(".lv-status")?.dataset.kind === "error") say("", "none");
    return reply;
  } catch (problem) {
    console.warn("latent map:", name, problem);
    if (turn === S.turn) say("The server did not answer. Move again to retry.", "error");
    return null;
  } finally {
    clearTimeout(slow);
    if (words && q(".lv-status")?.textContent === words) say("", "none");
  }
}

export async function askQuietly(name, id, ...args) { // for what nobody waits for: a null where there is no answer, and no words
  if (!id) return null;
  const turn = S.turn;
  try {
    const reply = await server[name](id, ...args);
    return turn === S.turn && reply && !reply.error ? reply : null;
  } catch (problem) { console.warn("latent map:", name, problem); return null; }
}
