// The transport of a notebook: pictures from Python, and until they are there from tiles where the decoder was fast enough.

import { mapOf } from "./given.js";
import { mountMap } from "./map.js";
import { tileTransport } from "./tiles.js";
import { withSheets } from "./transport.js";

const MOST_ASKED = 64, PART = 700; // points of one question, and milliseconds that several may take

async function kernelTransport(model, given) {
  const tiled = given.tiles ? await tileTransport(given.tiles) : null, waiting = new Map();
  let serial = 0;
  const heard = ({ id, error, width, height, sizes }, buffers) => {
    const asked = waiting.get(id);
    if (!asked) return;
    waiting.delete(id);
    if (error) asked.reject(new Error(error)); else asked.resolve({ width, height, sizes, buffers });
  };
  model.on("msg:custom", heard);

  const ask = (what) => new Promise((resolve, reject) => {
    waiting.set(++serial, { resolve, reject });
    model.send({ ...what, id: serial });
  });

  async function* pictures(points) { // a slow decoder's one by one
    for (let made = 0, size = 1; made < points.length;) {
      const begun = performance.now(), { buffers } = await ask({ name: "pictures", points: points.slice(made, made + size) });
      yield await Promise.all(buffers.map((buffer) => createImageBitmap(new Blob([buffer]))));
      made += buffers.length;
      size = Math.max(1, Math.min(MOST_ASKED, 4 * size, Math.floor(PART * size / (performance.now() - begun))));
    }
  }

  return {
    can: tiled ? tiled.can : { layers: {} },
    image: given.image, pictures, supportAt: tiled?.supportAt, layer: tiled?.layer, ground: tiled?.ground,
    close: () => model.off("msg:custom", heard),
  };
}

async function render({ model, el }) {
  const { map, ...given } = model.get("_given");
  const transport = withSheets(await kernelTransport(model, given)), view = mountMap(el, mapOf(map), transport);
  let telling = false; // what this view said itself comes back as a change
  const tell = (name, value) => { telling = true; model.set(name, value); model.save_changes(); telling = false; };
  view.element.addEventListener("look", ({ detail }) => tell("point", detail.point));
  view.element.addEventListener("select", ({ detail }) => tell("_indices", detail.indices));
  const point = () => telling || view.look(model.get("point")), indices = () => telling || view.select(model.get("_indices"));
  model.on("change:point", point); model.on("change:_indices", indices);
  await view.ready;
  return () => { model.off("change:point", point); model.off("change:_indices", indices); transport.close(); view.close(); };
}

export default { render };
