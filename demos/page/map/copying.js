// The current picture for other programs: on the clipboard, or as a file where a page may not write there.

import { S, say } from "./core.js";
import { download } from "latent-map/basics.js";

const ENLARGED = 512; // pixels: small pictures are enlarged by a whole number up to about this

function pictureBlob(tile) {
  const times = Math.max(1, Math.floor(ENLARGED / Math.max(tile.width, tile.height))), canvas = document.createElement("canvas");
  canvas.width = tile.width * times; canvas.height = tile.height * times;
  const ctx = canvas.getContext("2d");
  ctx.imageSmoothingEnabled = false; ctx.drawImage(tile, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

export async function copyPicture() {
  if (!S.tile) return;
  const made = pictureBlob(S.tile);
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": made })]);
    say("Picture copied.");
  } catch {
    download([await made], "image/png", "picture.png");
    say("This page may not use the clipboard: the picture is among your downloads.");
  }
}
