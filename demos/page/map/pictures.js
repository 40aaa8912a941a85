// Pictures as the server sends them, and canvases to draw them on.

import { bytes } from "latent-map/basics.js";
import { isSmall, pixelPicture } from "latent-map/canvases.js";

export const rawTile = (data, offset, width, height, channels) => pixelPicture(width, height, (i) => {
  const at = offset + i * channels;
  return channels > 2 ? data.subarray(at, at + 3) : [data[at], data[at], data[at]];
});

// {count, height, width, raw | jpeg} -> canvases or bitmaps, all drawable
export async function tiles(images) {
  const { count, width, height, channels = 1 } = images;
  if (images.jpeg) return Promise.all(images.jpeg.map((one) => createImageBitmap(new Blob([bytes(one)], { type: "image/jpeg" }))));
  const data = bytes(images.raw), size = width * height * channels;
  return Array.from({ length: count }, (_, i) => rawTile(data, i * size, width, height, channels));
}

export function paintTile(canvas, tile) {
  if (canvas.width !== tile.width || canvas.height !== tile.height) { canvas.width = tile.width; canvas.height = tile.height; }
  canvas.style.aspectRatio = tile.width + " / " + tile.height;
  canvas.classList.toggle("lv-pixels", isSmall(tile));
  canvas.getContext("2d").drawImage(tile, 0, 0);
}
