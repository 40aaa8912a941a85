// Pictures of the surface beneath the points of a 2-D map: coarse to fine, so many as can be told apart at this zoom.

const LEAST_SIDE = 28; // pixels of a picture on the screen

export const cellsAcross = (unit, most) => Math.min(most, 2 ** Math.max(1, Math.floor(Math.log2(2 * unit / LEAST_SIDE))));

// [column, row, x, y, side] of each cell in view, of so many across the map; x and y are pixels of its corner.
export function* cellsInView(box, at, cells) {
  const side = 2 * at.unit / cells, left = at.x0 - at.unit, top = at.y0 - at.unit;
  const first = (edge) => Math.max(0, Math.floor(-edge / side)), last = (edge, size) => Math.min(cells, Math.ceil((size - edge) / side));
  for (let row = first(top); row < last(top, box.h); row++) {
    for (let column = first(left); column < last(left, box.w); column++) yield [column, row, left + column * side, top + row * side, side];
  }
}

export function drawGround(ctx, box, at, ground) {
  const cells = cellsAcross(at.unit, ground.side), tile = (cell) => Math.round((cell + 0.5) / cells * (ground.side - 1));
  ctx.imageSmoothingEnabled = true;
  for (const [column, row, x, y, side] of cellsInView(box, at, cells)) ground.draw(ctx, tile(column), tile(row), x, y, side + 0.5, side + 0.5);
}
