// The transport of a file with the generator in it: exact pictures by onnxruntime-web, from tiles until that is loaded.

import { bytes } from "./basics.js";

const BREATH = 12; // milliseconds, after which the page may draw

export function withDecoder(tiles, shape) {
  let session = null, runtime = null, turn = Promise.resolve();

  function drawn(values) { // (1, C, H, W) in [0, 1]
    const { channels, height, width } = shape, size = height * width, canvas = document.createElement("canvas"), image = new ImageData(width, height);
    canvas.width = width; canvas.height = height;
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * values[(channels > 2 ? c : 0) * size + i] + 0.5;
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  async function one(point) {
    const { image } = await session.run({ point: new runtime.Tensor("float32", Float32Array.from(point), [1, point.length]) });
    return drawn(image.data);
  }

  async function* pictures(points) {
    if (!session) return yield* tiles.pictures(points);
    let some = [], began = performance.now();
    for (const point of points) {
      some.push(await (turn = turn.catch(() => {}).then(() => one(point)))); // a session runs one at a time
      if (performance.now() - began < BREATH) continue;
      yield some;
      await new Promise((done) => setTimeout(done));
      some = []; began = performance.now();
    }
    if (some.length) yield some;
  }

  return {
    ...tiles,
    async load(ort, textOf) { // rejects where the browser cannot do it
      const code = new Response(new Blob([bytes(textOf("onnx-runtime"))]).stream().pipeThrough(new DecompressionStream("gzip")));
      Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: await code.arrayBuffer() });
      const opened = await ort.InferenceSession.create(bytes(textOf("onnx-graph")), { executionProviders: ["wasm"] });
      runtime = ort; session = opened; this.image = { width: shape.width, height: shape.height };
    },
    pictures,
  };
}
