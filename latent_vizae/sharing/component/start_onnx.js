// The page of one file with the generator in it.

import { mountMap } from "./map.js";
import { withDecoder } from "./onnx.js";
import { given, host, map } from "./start.js";
import { tileTransport } from "./tiles.js";
import { withSheets } from "./transport.js";

tileTransport(given.transport).then(async (tiles) => {
  const transport = withSheets(withDecoder(tiles, given.image)), view = mountMap(host, map, transport);
  const note = host.querySelector(".note"), exact = note.textContent;
  note.textContent = "The generator is being loaded. " + given.tiles_note;
  try {
    await transport.load(globalThis.ort, (name) => document.getElementById(name).textContent);
    note.textContent = exact;
    view.element.dataset.exact = "true";
    view.again();
  } catch (problem) {
    note.textContent = "This browser cannot run the generator (" + problem.message + "). " + given.tiles_note;
    view.element.dataset.exact = "false";
  }
});
