"""Regions, draws and paths before they are decoded, and their images part by part.

A question is answered with as many images as are made in `SECONDS`, so that a slow decoder's come one after the other
and a visitor stops them by asking no more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from latent_vizae import LatentMap
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.page.checks import checked_points, whole_number
from latent_vizae.demos.page.fitted import FittedMap, image_shape_of
from latent_vizae.demos.page.kept import Kept
from latent_vizae.demos.page.pacing import LOOKED_AT, Pacing
from latent_vizae.demos.page.pictures import packed_images
from latent_vizae.maps.paths import lengths_along, resample
from latent_vizae.maps.regions import cover, polygon_region
from latent_vizae.maps.samples import Samples

__all__ = ["Plan", "draws_plan", "grid_plan", "pace_of", "path_plan"]

MOST_FRAMES, MOST_CORNERS, MOST_ROWS = 64, 32, 20
MOST_LASSO = 128
"""Corners of a polygon, as one draws it by hand."""
SECONDS = 0.7
"""That a part may take, or one image if that takes longer."""
PACES = ("constant", "linear")
PACE_SECONDS, PACE_BYTES = 12.0, 2**28
"""A path of constant pace that would take longer, or whose images more memory, has even steps on the map."""


@dataclass(frozen=True)
class Plan:
    """Points (k, d) and codes (k, *latent_shape) whose images, row by row, are a sheet or a film.

    ``images`` are theirs where finding the points has made them.
    """

    decoder: Any
    points: Tensor
    codes: Tensor
    rows: int
    images: Tensor | None = None

    def samples(self, told: Callable[[int], object] | None = None) -> Samples:
        """All of them, decoded.

        Args:
            told: called after each part with the number of its images; may raise KeyboardInterrupt to stop.
        """
        if told is None:
            images = decode_images(self.decoder, self.codes) if self.images is None else self.images
            return Samples(self.points, self.codes, images, rows=self.rows)
        made: list[Tensor] = []
        while (count := sum(map(len, made))) < len(self.codes):
            made.append(self._images_from(count)[0])
            told(len(made[-1]))
        return Samples(self.points, self.codes, torch.cat(made), rows=self.rows)

    def part(self, first: Any, kept: Kept[Tensor] | None = None, keys: Sequence[str] = ()) -> dict[str, Any]:
        """Images from number ``first`` on for the page, as many as are soon made; None for all.

        Args:
            first: the number.
            kept: images (1, C, H, W) that need not be made, and where those that are made go.
            keys: theirs, in order.

        Returns:
            rows, cols, points: of all; images: of this part; seconds: that an image takes.
        """
        shape = {"rows": self.rows, "cols": len(self.points) // self.rows, "points": self.points.tolist()}
        if first is None:
            return {**shape, "images": packed_images(self.samples().images)}
        start = whole_number(first, "first image", 0, len(self.points) - 1)
        known = [] if kept is None else [*takewhile(lambda one: one is not None, map(kept.find, keys[start:]))]
        images, seconds = (torch.cat(known), 0.0) if known else self._images_from(start)
        if kept is not None and not known:
            for key, image in zip(keys[start:], images.split(1), strict=False):
                kept.add(key, image.clone())
        return {**shape, "images": packed_images(images), "seconds": seconds}

    def _images_from(self, first: int) -> tuple[Tensor, float]:
        """Images from number ``first`` on, as many as are soon made, and the seconds that one took."""
        if self.images is not None:
            return self.images[first:], 0.0
        left, made, batch, begun = self.codes[first:], [], 1, time.perf_counter()
        while len(left):
            made.append(decode_images(self.decoder, left[:batch]).cpu())
            left = left[batch:]
            count, spent = sum(map(len, made)), time.perf_counter() - begun
            batch = max(1, int((SECONDS - spent) * count / spent))
            if spent + spent / count > SECONDS:
                break
        return torch.cat(made), spent / count


def grid_plan(fitted: FittedMap, region: Any, rows: Any, columns: Any, added: dict[str, Any]) -> Plan:
    """A box as a grid, or a polygon evenly covered; of large pictures fewer."""
    v, f_d = fitted.latent_map.v, fitted.latent_map.decoder
    rows, columns = whole_number(rows, "rows", 1, MOST_ROWS), whole_number(columns, "columns", 1, MOST_ROWS)
    most = _most_rows(fitted)
    rows, columns = min(rows, most), min(columns, most)
    if not isinstance(region, dict) or len(region) != 1 or not set(region) <= {"box", "polygon"}:
        raise ValueError("A region is a box or a polygon.")
    if "polygon" in region:
        if v.dim != 2:
            raise ValueError("Polygons are for maps of two dimensions; draw a box.")
        corners = checked_points(region["polygon"], 2, 3, MOST_LASSO)
        where = cover(polygon_region(corners, 2), rows * columns, 0)
        return Plan(f_d, where, v.decode(where, **added), rows)
    low, high = checked_points(region["box"], v.dim, 2, 2)
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    if not (high - low > 1e-6).any():
        raise ValueError("This box is a single point: drag a larger one.")
    if v.dim == 1:
        where = torch.linspace(low[0].item(), high[0].item(), rows * columns).unsqueeze(1)
    else:  # a box of a 3-D map lies on a plane: its two longest sides are the picture's
        first, second = sorted((high - low).topk(2).indices.tolist())
        where = ((low + high) / 2).repeat(rows * columns, 1)
        across = torch.linspace(low[first].item(), high[first].item(), columns)
        down = torch.linspace(high[second].item(), low[second].item(), rows)
        where[:, first], where[:, second] = across.repeat(rows), down.repeat_interleave(columns)
    return Plan(f_d, where, v.decode(where, **added), rows)


def draws_plan(fitted: FittedMap, point: Any, seed: int) -> Plan:
    """Sixteen draws from what the map leaves open at a point; of large pictures fewer."""
    v = fitted.latent_map.v
    where, side = checked_points([point], v.dim, 1, 1), min(4, _most_rows(fitted))
    points = where.to(v.points).expand(side * side, -1)
    return Plan(fitted.latent_map.decoder, points, v.sample(points, seed), side)


def path_plan(
    fitted: FittedMap, corners: Any, frames: Any, added: dict[str, Any], pace: Any, asked: Pacing | None = None
) -> Plan:
    """A transformation along a polyline.

    Args:
        fitted: the map.
        corners: 2 to 32 points.
        frames: 2 to 64.
        added: see `Maps.added`.
        pace: "constant", equal changes of the image from frame to frame, for which many images are looked at; or
            "linear", even steps on the map.
        asked: the decoder that a constant pace asks, in place of the map's.
    """
    v, f_d = fitted.latent_map.v, fitted.latent_map.decoder
    where = checked_points(corners, v.dim, 2, MOST_CORNERS)
    frames = whole_number(frames, "frames", 2, MOST_FRAMES)
    if pace not in PACES:
        raise ValueError(f"A pace is {' or '.join(PACES)}, got {pace!r}.")
    if pace == "constant":
        plain = {} if "residual_of" in added else added
        m = fitted.latent_map if asked is None else LatentMap(v, asked)
        samples = m.path(where, frames=frames, **plain)
        if plain is added:
            return Plan(f_d, samples.points, samples.codes, 1, samples.images)
        codes = v.decode(samples.points, **added)
        return Plan(f_d, samples.points, codes, 1)
    line = where.to(v.points)
    lengths = lengths_along(line, list(range(len(line))), None)
    where = resample(line, lengths, torch.linspace(0, 1, frames).to(lengths) * lengths[-1])
    return Plan(f_d, where, v.decode(where, **added), 1)


def pace_of(fitted: FittedMap, frames: Any) -> str:
    """The pace for a path of this map: even steps on it where the decoder, by its last picture, is slow."""
    frames = whole_number(frames, "frames", 2, MOST_FRAMES)
    images = frames * LOOKED_AT
    slow = fitted.seconds * images > PACE_SECONDS
    return PACES[slow or 4 * images * math.prod(image_shape_of(fitted)) > PACE_BYTES]


def _most_rows(fitted: FittedMap) -> int:
    """Rows and columns of a grid of this map's pictures, at most."""
    return max(2, math.isqrt(max(4, 2**22 // math.prod(image_shape_of(fitted)))))
