// Canvases: sizes, lines that read on any ground, sheets of pictures.

export const isSmall = (tile) => Math.max(tile.width, tile.height) < 48; // their pixels are to be seen

// Sizes a canvas to its box in device pixels; returns a context that draws in CSS pixels.
export function fitCanvas(canvas, width = canvas.clientWidth, height = canvas.clientHeight) {
  const ratio = window.devicePixelRatio || 1, w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

export function themeOf(style, accent) { // of an element's computed style
  const rgb = (style.backgroundColor.match(/[\d.]+/g) || [255, 255, 255]).slice(0, 3).map(Number);
  return { paper: style.backgroundColor, ink: style.color, accent, dark: rgb[0] * 0.3 + rgb[1] * 0.59 + rgb[2] * 0.11 < 128 };
}

// Draws a row-major sheet of tiles into (width x height); null for a cell that is not there yet.
export function drawSheet(ctx, pictures, rows, cols, width, height, gap = 0) {
  const w = width / cols, h = height / rows;
  pictures.forEach((tile, i) => {
    if (!tile) return;
    ctx.imageSmoothingEnabled = !isSmall(tile);
    ctx.drawImage(tile, (i % cols) * w + gap / 2, Math.floor(i / cols) * h + gap / 2, w - gap, h - gap);
  });
}

export function trace(ctx, project, corners, close) {
  ctx.beginPath();
  corners.forEach((p, i) => { const [x, y] = project(p); if (i) ctx.lineTo(x, y); else ctx.moveTo(x, y); });
  if (close) ctx.closePath();
}

export function haloed(ctx, theme, width, colour, alpha = 1) { // the path as a line that reads on any ground
  ctx.globalAlpha = alpha; ctx.lineJoin = ctx.lineCap = "round";
  ctx.strokeStyle = theme.paper; ctx.lineWidth = width + 2.5; ctx.stroke();
  ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.stroke(); ctx.globalAlpha = 1;
}

export function drawCross(ctx, theme, [x, y]) {
  ctx.beginPath();
  for (const [a, b] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { ctx.moveTo(x + a * 6, y + b * 6); ctx.lineTo(x + a * 15, y + b * 15); }
  ctx.moveTo(x + 6, y); ctx.arc(x, y, 6, 0, 7);
  haloed(ctx, theme, 1.8, theme.ink);
}

export function drawArea(ctx, theme, project, box, shape) { // of a 1-D map an interval
  if (shape[0].length === 1) { const [a] = project(shape[0]), [b] = project(shape[1]); ctx.beginPath(); ctx.rect(Math.min(a, b), 4, Math.abs(b - a), box.h - 8); } else trace(ctx, project, shape, true);
  ctx.fillStyle = theme.accent; ctx.globalAlpha = 0.14; ctx.fill(); ctx.globalAlpha = 1;
  haloed(ctx, theme, 2, theme.accent);
}

export function drawFrame(ctx, theme, project, dim) { // of the map, from -1 to 1
  ctx.strokeStyle = theme.ink; ctx.lineWidth = 1; ctx.globalAlpha = 0.22;
  const line = (corners, close) => { trace(ctx, project, corners, close); ctx.stroke(); };
  if (dim === 1) line([[-1], [1]]);
  if (dim === 2) { line([[-1, -1], [1, -1], [1, 1], [-1, 1]], true); ctx.globalAlpha = 0.1; line([[-1, 0], [1, 0]]); line([[0, -1], [0, 1]]); }
  if (dim === 3) for (const a of [-1, 1]) { line([[-1, -1, a], [1, -1, a], [1, 1, a], [-1, 1, a]], true); for (const b of [-1, 1]) line([[a, b, -1], [a, b, 1]]); }
  ctx.globalAlpha = 1;
}

export function drawPlane(ctx, theme, project, corners) { // on which positions of a 3-D map are picked
  trace(ctx, project, corners, true);
  ctx.fillStyle = theme.accent; ctx.globalAlpha = 0.1; ctx.fill();
  ctx.globalAlpha = 0.8; ctx.strokeStyle = theme.accent; ctx.lineWidth = 1.5; ctx.stroke(); ctx.globalAlpha = 1;
}

export function drawHeat(ctx, theme, project, picture) { // over a 2-D map
  const [x0, y0] = project([-1, 1]), [x1, y1] = project([1, -1]);
  ctx.globalAlpha = theme.dark ? 0.6 : 0.5; ctx.imageSmoothingEnabled = true;
  ctx.drawImage(picture, x0, y0, x1 - x0, y1 - y0);
  ctx.globalAlpha = 1;
}

export function pixelPicture(width, height, rgbOf) { // a canvas of it; `rgbOf(i)` is red, green, blue and perhaps alpha
  const canvas = document.createElement("canvas"), image = new ImageData(width, height);
  canvas.width = width; canvas.height = height;
  for (let i = 0; i < width * height; i++) { image.data[4 * i + 3] = 255; image.data.set(rgbOf(i), 4 * i); }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
