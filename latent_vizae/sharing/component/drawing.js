// What the canvas of a map shows, and where: projection, points, ground, layers, regions and paths.

const LIGHT = ["#046ab2", "#d9730d", "#257805", "#a42778", "#7a3ff2", "#df3661", "#5d3905", "#0b8f8a", "#b0456f", "#5563d6", "#650362", "#7d7a00"];
const DARK = ["#6ea8e8", "#f8a63a", "#76c984", "#e08aa0", "#b98cff", "#4de6fb", "#d0a53a", "#e1e01d", "#aab2ff", "#30c8c2", "#7dfbb0", "#d276ff"];
const HEAT = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]]; // cividis

export const clamp = (x, low = -1, high = 1) => Math.min(high, Math.max(low, x));

export const paletteOf = (dark) => (dark ? DARK : LIGHT);

// Between positions of a map and pixels of its canvas. A 3-D map is seen from above, at one height of its third coordinate.
export function projection(box, dim, view, depth) {
  const unit = (dim === 1 ? box.w : Math.min(box.w, box.h)) / 2.12 * view.zoom;
  const x0 = box.w / 2 - view.cx * unit, y0 = box.h / 2 + (dim === 1 ? 0 : view.cy * unit);
  return {
    unit, x0, y0,
    to: (p) => [x0 + p[0] * unit, dim === 1 ? box.h / 2 : y0 - p[1] * unit],
    from: (x, y) => [clamp((x - x0) / unit), clamp((y0 - y) / unit), depth].slice(0, dim),
  };
}

export function heatPicture({ side, values }) {
  const canvas = document.createElement("canvas"), image = new ImageData(side, side);
  canvas.width = canvas.height = side;
  values.forEach((value, i) => {
    const t = value / 255 * (HEAT.length - 1), k = Math.min(HEAT.length - 2, Math.floor(t));
    HEAT[k].forEach((low, c) => { image.data[4 * i + c] = low + (HEAT[k + 1][c] - low) * (t - k); });
    image.data[4 * i + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export function drawHeat(ctx, at, picture) {
  ctx.imageSmoothingEnabled = true;
  ctx.drawImage(picture, at.x0 - at.unit, at.y0 - at.unit, 2 * at.unit, 2 * at.unit);
}

// A disc with a rim as [dx, dy, alpha, is rim], for points that are written into an array of pixels.
function discOf(radius, rim) {
  const found = [], reach = Math.ceil(radius + rim + 1);
  for (let y = -reach; y <= reach; y++) for (let x = -reach; x <= reach; x++) {
    const far = Math.hypot(x, y), alpha = clamp(radius + rim + 0.5 - far, 0, 1);
    if (alpha > 0) found.push([x, y, alpha, far > radius + 0.25]);
  }
  return found.sort((a, b) => b[3] - a[3]);
}

const rgbOf = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// Points as one image, however many: `style(i)` is an index into `colours`, or -1 for one that is not shown.
export function pointPicture(size, ratio, dim, at, points, style, colours, paper, depth, chosen) {
  const image = new ImageData(size.w, size.h), pixels = new Uint32Array(image.data.buffer), count = points.length / dim;
  const radius = clamp(size.w / ratio / (Math.sqrt(count) * 7), 0.8, 5) * ratio;
  const disc = discOf(radius, radius > 1.05 * ratio ? 0.9 * ratio : 0), paint = (c) => (c[2] << 16) | (c[1] << 8) | c[0];
  const inks = colours.map((c) => paint(rgbOf(c))), ground = paint(paper);
  for (let i = 0; i < count; i++) {
    const kind = style(i);
    if (kind < 0) continue;
    const x = Math.round((at.x0 + points[i * dim] * at.unit) * ratio);
    const y = Math.round((at.y0 - points[i * dim + 1] * at.unit) * ratio);
    if (x < -9 || y < -9 || x > size.w + 9 || y > size.h + 9) continue;
    const solid = (dim === 3 ? clamp(1.05 - 1.6 * Math.abs(points[i * 3 + 2] - depth), 0.15, 1) : 1) * (chosen && !chosen.has(i) ? 0.25 : 1);
    for (const [dx, dy, alpha, rim] of disc) {
      const px = x + dx, py = y + dy, k = py * size.w + px;
      if (px < 0 || py < 0 || px >= size.w || py >= size.h) continue;
      const opacity = Math.round(255 * alpha * solid);
      if (opacity >= pixels[k] >>> 24 || opacity > 200) pixels[k] = (Math.max(opacity, pixels[k] >>> 24) << 24) | (rim ? ground : inks[kind]);
    }
  }
  return image;
}

// The codes of a 1-D map: one lane a label, a tick a code.
export function drawRug(ctx, box, at, points, style, lane, lanes, colours, chosen) {
  const reach = box.h * 0.8, height = Math.max(3, reach / lanes);
  for (let i = 0; i < points.length; i++) {
    const kind = style(i), x = at.x0 + points[i] * at.unit;
    if (kind < 0 || x < 0 || x > box.w) continue;
    ctx.globalAlpha = chosen && !chosen.has(i) ? 0.15 : 0.75;
    ctx.fillStyle = colours[kind];
    ctx.fillRect(x - 0.7, box.h / 2 - reach / 2 + lane(i) * height + 1, 1.4, height - 2);
  }
  ctx.globalAlpha = 1;
}

function stroke(ctx, theme, width, colour) { // a line that reads on any ground
  ctx.lineJoin = ctx.lineCap = "round";
  ctx.strokeStyle = theme.paper; ctx.lineWidth = width + 3; ctx.stroke();
  ctx.strokeStyle = colour; ctx.lineWidth = width; ctx.stroke();
}

export function drawLine(ctx, at, points, theme, close) {
  ctx.beginPath();
  points.forEach((p, i) => ctx[i ? "lineTo" : "moveTo"](...at.to(p)));
  if (close) { ctx.closePath(); ctx.fillStyle = theme.accent; ctx.globalAlpha = 0.16; ctx.fill(); ctx.globalAlpha = 1; }
  stroke(ctx, theme, 2.2, theme.accent);
}

export function drawSpan(ctx, box, at, [a, b], theme) { // a region of a 1-D map
  const [x] = at.to(a), [end] = at.to(b);
  ctx.beginPath(); ctx.rect(Math.min(x, end), 3, Math.abs(end - x), box.h - 6);
  ctx.fillStyle = theme.accent; ctx.globalAlpha = 0.16; ctx.fill(); ctx.globalAlpha = 1;
  stroke(ctx, theme, 2.2, theme.accent);
}

export function drawFrame(ctx, at, dim, theme) {
  ctx.strokeStyle = theme.ink; ctx.globalAlpha = 0.3; ctx.lineWidth = 1;
  ctx.strokeRect(at.x0 - at.unit, dim === 1 ? 1 : at.y0 - at.unit, 2 * at.unit, dim === 1 ? 2 * at.y0 - 2 : 2 * at.unit);
  ctx.globalAlpha = 1;
}

export function drawCross(ctx, at, point, theme) {
  const [x, y] = at.to(point);
  ctx.beginPath();
  for (const [a, b] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { ctx.moveTo(x + a * 6, y + b * 6); ctx.lineTo(x + a * 15, y + b * 15); }
  ctx.moveTo(x + 6, y); ctx.arc(x, y, 6, 0, 7);
  stroke(ctx, theme, 1.8, theme.ink);
}
