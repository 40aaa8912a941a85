// The transport of a file without a server: every picture is blended from tiles that were decoded beforehand.

import { bytes } from "./basics.js";

export async function tileTransport({ dim, side, columns, width, height, kind, sheet, layers }) {
  const picture = new Image();
  picture.src = `data:${kind};base64,${sheet}`;
  await picture.decode();
  const known = Object.fromEntries(Object.entries(layers).map(([name, l]) => [name, { ...l, values: bytes(l.values) }]));

  const draw = (ctx, tile, x, y, w, h) =>
    ctx.drawImage(picture, (tile % columns) * width, Math.floor(tile / columns) * height, width, height, x, y, w, h);

  // Corners of the cell a point lies in, [index, weight] each, for a grid of `n` a side whose second axis runs downwards.
  function corners(point, n) {
    let found = [[0, 1]], stride = 1;
    point.forEach((x, axis) => {
      const t = Math.min(1, Math.max(0, (axis === 1 ? 1 - x : 1 + x) / 2)) * (n - 1);
      const low = Math.min(n - 2, Math.floor(t)), step = stride;
      found = found.flatMap(([at, weight]) => [[at + low * step, weight * (1 - t + low)], [at + (low + 1) * step, weight * (t - low)]]);
      stride *= n;
    });
    return found;
  }

  function blend(point) {
    const canvas = document.createElement("canvas");
    canvas.width = width; canvas.height = height;
    const ctx = canvas.getContext("2d");
    ctx.globalCompositeOperation = "lighter"; // weights add up to 1
    for (const [tile, weight] of corners(point, side)) {
      ctx.globalAlpha = weight;
      if (weight > 0) draw(ctx, tile, 0, 0, width, height);
    }
    return canvas;
  }

  return {
    can: { support: "support" in known, layers: Object.fromEntries(Object.keys(known).map((name) => [name, name])), ground: dim === 2 },
    image: { width, height },
    async *pictures(points) { yield points.map(blend); },
    supportAt(point) {
      const support = known.support;
      if (!support) return null;
      const at = corners(point, support.side).reduce((sum, [i, weight]) => sum + weight * support.values[i], 0) / 255;
      return support.low + at * (support.high - support.low);
    },
    async *layer(name) { yield known[name]; },
    ground: { side, draw: (ctx, column, row, ...to) => draw(ctx, column + side * row, ...to) },
  };
}
