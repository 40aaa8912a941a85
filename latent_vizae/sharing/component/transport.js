// What a map asks, and who answers: its transport. A page's server, a notebook's kernel, tiles in a file and a decoder in a file
// answer alike. `can` says what one answers; the map offers nothing else.
//
//   can             {support, ground, place, draw, detail, directions}, true where there is that, `live` where pictures come at once;
//                   {layers: {name: what menus call it}}
//   image           {width, height} of its pictures
//   picture(point)  promise of {tile, support}: what can be drawn on a canvas; trust in the point, 0 to 1, or null
//   region(corners, rows, cols, plane)  parts of a sheet: {points, tiles, rows, cols}, the points null where no cell of the region is
//   path(corners, frames)               parts of a film: {points, tiles}
//   layer(name)     parts of a heat map of a 2-D map: {side, values: Uint8Array, low, high, text}, the top row first
//   ground          pictures beneath the codes of a 2-D map
//   place(picture)  promise of a pin: where one's own picture lies
//   directions      {open, moved, walk, arrows}: what moves along them, and where to
//
// Parts come one after the other, each all that is there by then; of more to come, `done` of `of` pictures, each of `seconds`.
// Who takes no more of them stops the work.

import { gridIn } from "./areas.js";

// Regions and straight paths of a transport that has the pictures of points: `pictures(points)` yields some of them at a time.
export function withSheets(transport) {
  async function* parts(points, shape) {
    const cells = points.flatMap((point, i) => (point ? [i] : [])), tiles = points.map(() => null), begun = performance.now();
    let done = 0;
    for await (const some of transport.pictures(cells.map((i) => points[i]))) {
      for (const tile of some) tiles[cells[done++]] = tile;
      yield { ...shape, points, tiles, done, of: cells.length, seconds: (performance.now() - begun) / 1000 / done };
    }
  }
  return {
    ...transport,
    region: (corners, rows, cols, plane) => parts(gridIn(corners, rows, cols, plane), { rows, cols }),
    path: ([a, b], frames) => parts(Array.from({ length: frames }, (_, i) => a.map((x, c) => x + (b[c] - x) * i / (frames - 1)))),
    async picture(point) {
      for await (const [tile] of transport.pictures([point])) return { tile, support: transport.can.support ? transport.supportAt(point) : null };
    },
  };
}

const timeLeft = (seconds) => (seconds < 90 ? Math.max(1, Math.round(seconds)) + " s" : Math.round(seconds / 60) + " min");

export function progressWords({ done, of, seconds }) { // empty where all is there
  return done < of ? done + " of " + of + ", about " + timeLeft((of - done) * seconds) + " left" : "";
}
