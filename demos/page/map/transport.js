// The page's transport, which answers as latent-map/transport.js says: the picture under a pointer over a WebSocket, for a fetch costs
// the browser several milliseconds a picture, and all else by calls to Python. No other module of the page asks the server.

import { lostMap } from "./address.js";
import { S, q, round, say } from "./core.js";
import { rawTile, tiles } from "./pictures.js";
import { carried } from "./pins.js";
import { detail, shapeOf } from "./samples.js";
import { bytes } from "latent-map/basics.js";

const WAITS = { grid: "Decoding the region…", draws: "Drawing samples…", path: "Decoding the path…", traverse: "Decoding the pictures along it…", layer: "Measuring the map…", find: "Searching…", chosen: "Making the file…", column: "Fetching the column…", drawn: "Finding its place…" };

// One call about the map of that id; a null where there is no answer, or another map by then. Errors become a line of text, unless
// nobody waits for it.
async function ask(name, args = [], quiet = false, id = S.map?.id) {
  if (!id) return null;
  const turn = S.turn, words = !quiet && WAITS[name], slow = setTimeout(() => words && turn === S.turn && q(".lv-work").hidden && say(words, "wait"), 400);
  const problem = (text) => { if (!quiet) say(text, "error"); return null; };
  try {
    const reply = await server[name](id, ...args);
    if (turn !== S.turn) return null;
    if (!reply) return problem("The server sent no answer.");
    if (reply.gone && !quiet) { lostMap(reply.error); return null; }
    if (reply.error) return problem(reply.error);
    clearError(quiet);
    return reply;
  } catch (error) {
    console.warn("latent map:", name, error);
    return turn === S.turn ? problem("The server did not answer. Move again to retry.") : null;
  } finally {
    clearTimeout(slow);
    if (words && q(".lv-status")?.textContent === words) say("", "none");
  }
}

function clearError(quiet) { if (!quiet && q(".lv-status")?.dataset.kind === "error") say("", "none"); }

// ---------------------------------------------------------------- the WebSocket
let wire = null, wiredAt = -Infinity, told = Promise.resolve();

function connect() { // tried again at most every ten seconds
  if (wire || performance.now() - wiredAt < 1e4) return;
  wiredAt = performance.now();
  const address = new URL("latent-map/live", (window.gradio_config?.root || location.origin) + "/");
  address.protocol = address.protocol.replace("http", "ws");
  let socket;
  try { socket = new WebSocket(address); } catch { return; } // forbidden here: pictures come as all else does
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { wire = socket; };
  socket.onclose = () => { if (wire === socket) wire = null; socket.onmessage?.(null); };
}

async function tell(question) { // undefined: there is no socket, null: no picture
  const turn = S.turn, socket = wire;
  if (socket?.readyState !== 1 || !S.map) return undefined;
  let patience = 0;
  const event = await new Promise((done) => {
    patience = setTimeout(() => { wire = null; socket.close(); done(null); }, 3e4);
    socket.onmessage = done; socket.send(JSON.stringify([S.map.id, ...question]));
  });
  clearTimeout(patience); socket.onmessage = null;
  if (turn !== S.turn) return null;
  if (!event) return undefined;
  const size = new DataView(event.data).getUint32(0, true), data = new Uint8Array(event.data, 4 + size);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(event.data, 4, size)));
  if (head.gone) { lostMap(head.error); return null; }
  if (head.error) { say(head.error, "error"); return null; }
  clearError();
  const tile = head.kind === "raw" ? rawTile(data, 0, head.width, head.height, head.channels) : await createImageBitmap(new Blob([data], { type: "image/jpeg" }));
  return { tile, support: head.support, point: head.point };
}

// One picture: over the socket, one question at a time, and else by that call.
async function onePicture(question, name, args, quiet) {
  if (!quiet) {
    connect();
    const answer = await (told = told.catch(() => {}).then(() => tell(question)));
    if (answer !== undefined) return answer;
  }
  const reply = await ask(name, args, quiet);
  return reply && { tile: (await tiles(reply.images))[0], support: [reply.support].flat()[0], point: reply.point };
}

// ---------------------------------------------------------------- parts
async function* sheet(name, args, quiet) { // each question is answered with the pictures from a number on that are soon made
  const all = [];
  for (let reply = {}, of = 1; all.length < of;) {
    reply = await ask(name, [...args(reply), all.length], quiet);
    if (!reply) return;
    if (reply.images) { all.push(...await tiles(reply.images)); of = reply.points.length; } // a film's pace is found first
    yield { done: all.length, of, ...reply, tiles: all };
  }
}

async function* layer(name, quiet) {
  for (let reply = null; !reply || reply.done < reply.of;) {
    reply = await ask("layer", [name, true], quiet);
    if (!reply?.values) return;
    yield { ...reply, values: bytes(reply.values) };
  }
}

async function pictures(name, args) {
  const reply = await ask(name, args);
  return reply && tiles(reply.images);
}

const added = () => [carried(), detail()]; // to what the map decodes to

export const transport = {
  get can() { return { layers: {}, ...S.map?.can, directions: Boolean(server.directions) }; },
  get image() { return S.map.image; },
  open: (id) => ask("describe", [], false, id),
  picture(point, [pin, own] = added(), quiet = false) {
    const where = round(point);
    return onePicture([where, pin, ...(own ? [own] : [])], "render", [[where], pin, own], quiet);
  },
  pictures: (points) => pictures("render", [points.map(round), ...added()]),
  own: (codes) => sheet("thumbs", () => [codes], true), // parts of pictures of codes themselves
  region: (corners, rows, cols) => sheet("grid", () => [shapeOf(corners), rows, cols, ...added()]),
  draws: (point, seed, quiet) => sheet("draws", () => [round(point), seed], quiet), // from what the map leaves open there
  path: (corners, frames) => sheet("path", ({ pace = null }) => [corners, frames, ...added(), pace]),
  layer,
  ground: (level, cells) => ask("tiles", [level, cells, detail()], true),
  place: async (width, height, pixels) => (await ask("drawn", [{ width, height, pixels }]))?.pin,
  column: (number) => ask("column", [number]),
  find: (words) => ask("find", [words]),
  file: (codes) => ask("chosen", [codes]),
  directions: {
    open: (id) => ask("directions", [id]),
    moved: (...question) => onePicture(question, "moved", question),
    walk: (...question) => sheet("traverse", () => question),
    arrows: (id, label, corners) => ask("arrows", [id, label, corners.map(round)]),
  },
  keep: (selected) => trigger("select", selected), // what the host page may do something with
  show: (map) => trigger("submit", { map, serial: ++S.serial }), // one that is not open: by its id here or its name on the Hub
};
