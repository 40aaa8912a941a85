// Pictures as the server sends them, and canvases to draw them on.

import { bytes } from "./core.js";

export function rawTile(data, offset, width, height, channels) {
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

export const isSmall = (tile) => Math.max(tile.width, tile.height) < 48; // their pixels are to be seen

export function paintTile(canvas, tile) {
  if (canvas.width !== tile.width || canvas.height !== tile.height) { canvas.width = tile.width; canvas.height = tile.height; }
  canvas.style.aspectRatio = tile.width + " / " + tile.height;
  canvas.classList.toggle("lv-pixels", isSmall(tile));
  canvas.getContext("2d").drawImage(tile, 0, 0);
}

// Sizes a canvas to its box in device pixels; returns a context that draws in CSS pixels.
export function fitCanvas(canvas, width = canvas.clientWidth, height = canvas.clientHeight) {
  const ratio = window.devicePixelRatio || 1, w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

// Draws a row-major sheet of tiles into (width x height).
export function drawSheet(ctx, pictures, rows, cols, width, height, gap = 0) {
  const w = width / cols, h = height / rows;
  pictures.forEach((tile, i) => {
    ctx.imageSmoothingEnabled = !isSmall(tile);
    ctx.drawImage(tile, (i % cols) * w + gap / 2, Math.floor(i / cols) * h, w - gap, h);
  });
}
