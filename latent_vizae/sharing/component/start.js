// The page of one file: opens the map that lies in it.

import { bytes } from "./tiles.js";

export const given = JSON.parse(document.getElementById("latent-map").textContent);
export const map = given.map;
const values = (base64, Kind) => (base64 === null ? null : new Kind(bytes(base64).buffer));
map.points = Float32Array.from(values(map.points, Int16Array), (x) => x / 32767);
map.rows = values(map.rows, Uint32Array); map.labels = values(map.labels, Uint16Array);
export const host = document.querySelector("main");
