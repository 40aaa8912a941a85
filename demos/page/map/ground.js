// Pictures of the surface beneath the points of a 2-D map, coarse to fine: those in view first, and the finer ones as one zooms.

import { S, stats } from "./core.js";
import { redraw, theme } from "./drawing.js";
import { box, here, unit } from "./geometry.js";
import { impatient } from "./live.js";
import { making } from "./parts.js";
import { transport } from "./transport.js";
import { bytes, clamp, later, latestWins } from "latent-map/basics.js";
import { pixelPicture } from "latent-map/canvases.js";
import { cellsAcross, cellsInView } from "latent-map/ground.js";

const COARSEST = 2, FINEST = 13, MOST_TILES = 6000, AT_A_TIME = 64; // levels; on level L there are 2^L x 2^L cells
export const grounded = () => transport.can.ground && S.layerName === "images";
const levelHere = () => clamp(Math.log2(cellsAcross(unit(), 2 ** FINEST)), COARSEST, FINEST);
const quad = (level, column, row) => [0, 1, 2, 3].map((i) => [level, column - column % 2 + (i & 1), row - row % 2 + (i >> 1)]); // the four that lie on one coarser
const tileOf = (level, column, row) => S.ground.get(level + "/" + column + "/" + row);

export function drawSurface(ctx, project) { // a coarse picture shows until the four that lie on it are there
  if (!grounded()) return;
  const at = here(), finest = levelHere();
  ctx.imageSmoothingEnabled = true;
  const paint = (level, column, row) => {
    const side = 2 * at.unit / 2 ** level, x = at.x0 - at.unit + column * side, y = at.y0 - at.unit + row * side;
    if (x > box.w || y > box.h || x + side < 0 || y + side < 0) return;
    const below = quad(level + 1, 2 * column, 2 * row);
    if (level < COARSEST || (level < finest && below.every((b) => tileOf(...b)))) return below.forEach((b) => paint(...b));
    const tile = tileOf(level, column, row);
    if (!tile) return;
    const { picture, from, width, height } = tile, scale = Math.min(side / width, side / height);
    ctx.drawImage(picture, ...from, width, height, x + (side - width * scale) / 2, y + (side - height * scale) / 2, width * scale + 0.3, height * scale + 0.3);
  };
  paint(0, 0, 0);
  drawFog(ctx, project);
}

function drawFog(ctx, project) { // over the pictures of places where the map extrapolates
  const { fog } = S;
  if (!fog) return;
  if (fog.paper !== theme.paper) Object.assign(fog, { paper: theme.paper, picture: fogOf(fog) });
  const [x0, y0] = project([-1, 1]), [x1, y1] = project([1, -1]);
  ctx.drawImage(fog.picture, x0, y0, x1 - x0, y1 - y0);
}

function fogOf({ side, values, low, high }) {
  const paper = theme.paper.match(/[\d.]+/g).map(Number).slice(0, 3);
  return pixelPicture(side, side, (i) => [...paper, 170 * (1 - Math.min(1, 2 * (low + values[i] / 255 * (high - low))))]);
}

const refreshFog = latestWins(async () => {
  if (!S.fog) for await (const layer of transport.layer("support", true)) { S.fog = layer; redraw(true); }
});

function missingTiles() { // the next to ask for: the coarsest in view that are not here, from the middle of the view outwards
  const at = here(), middle = [box.w / 2, box.h / 2];
  for (let level = COARSEST; level <= levelHere(); level++) {
    const wanted = new Map();
    for (const [column, row, x, y, side] of cellsInView(box, at, 2 ** level)) {
      const far = Math.hypot(x + side / 2 - middle[0], y + side / 2 - middle[1]);
      for (const cell of quad(level, column, row)) if (!tileOf(...cell)) wanted.set(cell.join(), [far, ...cell.slice(1)]);
    }
    if (wanted.size) return { level, cells: [...wanted.values()].sort((a, b) => a[0] - b[0]).slice(0, AT_A_TIME).map(([, column, row]) => [column, row]) };
  }
  return null;
}

export const refreshGround = later(30, latestWins(async () => {
  while (grounded() && element.isConnected && box.w > 1) {
    while ((impatient || making()) && !transport.can.live) await new Promise((done) => setTimeout(done, 60)); // what a visitor waits for goes first
    const next = grounded() && missingTiles(), known = S.ground;
    if (!next) return;
    const reply = await transport.ground(next.level, next.cells);
    if (!reply) return;
    const picture = await createImageBitmap(new Blob([bytes(reply.sheet)], { type: "image/webp" }));
    const { columns, width, height } = reply;
    reply.cells.forEach(([column, row], i) => {
      known.set(next.level + "/" + column + "/" + row, { picture, width, height, from: [(i % columns) * width, Math.floor(i / columns) * height] });
    });
    while (known.size > MOST_TILES) known.delete(known.keys().next().value);
    redraw(true);
    refreshFog();
  }
}));

export function forgetGround() { S.ground = new Map(); refreshGround(); } // other pictures of the same places
stats.ground = () => S.ground;
