// Pictures as the server sends them, and canvases to draw them on.

import { bytes } from "latent-map/basics.js";
import { isSmall } from "latent-map/canvases.js";

export function rawTile(data, offset, width, height, channels) { // at each answer to a pointer, so without a call a pixel
  const tile = document.createElement("canvas");
  tile.width = width; tile.height = height;
  const image = new ImageData(width, height), out = image.data;
  for (let i = 0, j = offset; i < out.length; i += 4, j += channels) {
    out[i] = data[j]; out[i + 1] = data[channels > 1 ? j + 1 : j]; out[i + 2] = data[channels > 2 ? j + 2 : j]; out[i + 3] = 255;
  }
  tile.getContext("2d").putImageData(image, 0, 0);
  return tile;
}

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
