// What the page of one file holds.

import { mapOf } from "./given.js";

export const given = JSON.parse(document.getElementById("latent-map").textContent);
export const map = mapOf(given.map);
export const host = document.querySelector("main");
