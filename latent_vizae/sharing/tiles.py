"""The surface of a map as tiles: decoded once, put into one picture, and blended for every place between them."""

from __future__ import annotations

import io
import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.quasirandom import SobolEngine

from latent_vizae.maps.samples import to_uint8
from latent_vizae.training.progress import Progress, Reporting

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = [
    "DEFAULT_SIDE",
    "Tiles",
    "as_webp",
    "blend",
    "decode_tiles",
    "duration",
    "expected_seconds",
    "reduced",
    "sheet_of",
    "tile_points",
    "tile_size",
]


DEFAULT_SIDE = {1: 256, 2: 64, 3: 16}
"""Tiles along each axis by the dimension of the map: 4,096 at most. On a GAN's and an autoencoder's map of digits,
blending them differs from the decoder by 0.02; 32 x 32 by 0.05."""

MOST_SIDE, MOST_SHEET = 512, 16383
"""Most tiles a side; most pixels a side of a WebP picture."""

CHECKED_PLACES = 256


@dataclass(frozen=True)
class Tiles:
    """A sheet of tiles.

    Attributes:
        side: tiles along each axis of the map; the first and the last lie on its edges.
        columns: tiles in a row of the sheet.
        width: of a tile, pixels.
        height: of a tile, pixels.
        sheet: the picture, WebP.
        difference: root mean square difference between a picture blended from the nearest 2^d tiles and what the
            decoder makes of the place, pixels in [0, 1], over places all over the map.
        places: number of those places.
        stretch: (side, side) of a 2-D map, top row first: root mean square image change per map unit in the direction
            in which the image changes most, from neighbouring tiles; None on others.
        seconds: what decoding took.
    """

    side: int
    columns: int
    width: int
    height: int
    sheet: bytes
    difference: float
    places: int
    stretch: Tensor | None
    seconds: float


def tile_points(dim: int, side: int) -> Tensor:
    """Points of the tiles (side^dim, dim): the first coordinate runs fastest, the second one downwards from 1."""
    up = torch.linspace(-1, 1, side)
    axes = [up, up.flip(0), up][:dim]
    mesh = torch.meshgrid(*reversed(axes), indexing="ij")
    return torch.stack(list(reversed(mesh)), -1).reshape(-1, dim)


def decode_tiles(
    m: LatentMap,
    side: int,
    size: int | None = None,
    quality: int = 60,
    *,
    progress: Reporting = True,
    most_seconds: float | None = 600,
) -> Tiles:
    """Decode the tiles of a map; how long it takes is measured with the first of them.

    Args:
        m: map and decoder.
        side: tiles along each axis, 2 to 512.
        size: pixels of a tile's longer side; images are reduced to it, never enlarged. By default at most 64.
        quality: of the WebP, 1 to 100.
        progress: True for a bar, a function ``(step, steps, title)``, or False.
        most_seconds: that decoding may take; None for any time.

    Raises:
        ValueError: tiles that would take longer, or that do not fit into one picture; images that are no pictures.
    """
    dim, started = m.v.dim, time.perf_counter()
    points = tile_points(dim, side)
    first = m.render(points[:1])
    if first.shape[1] not in (1, 3, 4):
        raise ValueError(f"Pictures have 1, 3 or 4 channels; images of this decoder have {first.shape[1]}.")
    height, width = tile_size(first.shape[2], first.shape[3], size)
    columns = side if dim == 2 else math.ceil(math.sqrt(len(points)))
    rows = math.ceil(len(points) / columns)
    if max(columns * width, rows * height) > MOST_SHEET:
        fits = MOST_SHEET // max(width, height)
        raise ValueError(
            f"{columns} x {rows} tiles of {width} x {height} pixels do not fit into a WebP picture of {MOST_SHEET} "
            f"pixels a side. Ask for fewer tiles or a smaller size: {fits} tiles a side of that size fit."
        )
    places = min(CHECKED_PLACES, max(16, len(points) // 4))
    seconds = _check_time(m, points, len(points) + places, most_seconds)
    small = np.empty((len(points), height, width, 3 if first.shape[1] in (1, 3) else 4), np.uint8)
    title = f"decoding {len(points):,} tiles, about {duration(seconds)}"
    with Progress(progress, title, unit="tile") as report:
        for start, part in _parts(points, first):
            small[start : start + len(part)] = reduced(m.render(part), height, width)
            report(start + len(part), len(points))
    grey = bool(first.shape[1] == 1)
    sheet = as_webp(sheet_of(small, columns), quality)
    difference = _difference(m, side, columns, (height, width), sheet, places, grey)
    stretch = _stretch(small.reshape(side, side, height, width, -1)) if dim == 2 else None
    return Tiles(side, columns, width, height, sheet, difference, places, stretch, time.perf_counter() - started)


def tile_size(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Height and width of an image that is reduced to ``size`` pixels on its longer side, 64 by default."""
    longest = min(max(height, width), 64 if size is None else size)
    scale = longest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _parts(points: Tensor, image: Tensor) -> list[tuple[int, Tensor]]:
    """Points in parts whose images take about 64 MB, at least 16 parts so that progress is seen."""
    size = max(1, min(2**24 // image.numel(), len(points) // 16))
    return [(start, points[start : start + size]) for start in range(0, len(points), size)]


def expected_seconds(m: LatentMap, points: Tensor) -> float:
    """About how many seconds an image takes, judged by a few of them."""
    each = math.inf
    for batch in (1, 4, 16):  # what is fast is faster in batches; what is slow is asked little
        before = time.perf_counter()
        m.render(points[torch.linspace(0, len(points) - 1, batch).long()])
        each = min(each, (time.perf_counter() - before) / batch)
        if each > 0.25:
            break
    return each


def _check_time(m: LatentMap, points: Tensor, count: int, most_seconds: float | None) -> float:
    """About how many seconds so many images take; ValueError if that is more than allowed."""
    each = expected_seconds(m, points)
    if most_seconds is not None and each * count > most_seconds:
        affordable = max(2, int((most_seconds / each / 1.1) ** (1 / points.shape[1])))
        raise ValueError(
            f"This decoder takes about {each:.2g} s an image, so {len(points):,} tiles take about "
            f"{duration(each * count)}, more than most_seconds={most_seconds:g}. Ask for fewer tiles "
            f"(tiles={affordable}), or allow more time (most_seconds=None)."
        )
    return each * count


def duration(seconds: float) -> str:
    """Seconds in words."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def reduced(images: Tensor, height: int, width: int) -> np.ndarray:
    """Images as bytes (k, height, width, 3 or 4)."""
    if tuple(images.shape[2:]) != (height, width):
        images = torch.nn.functional.interpolate(images, (height, width), mode="bilinear", antialias=True)
    return to_uint8(images)


def sheet_of(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles (k, height, width, channels) side by side, row by row: one picture, black where there is no tile."""
    count, height, width, channels = tiles.shape
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:count] = tiles
    return (
        sheet.reshape(rows, columns, height, width, channels)
        .swapaxes(1, 2)
        .reshape(rows * height, columns * width, channels)
    )


def as_webp(sheet: np.ndarray, quality: int) -> bytes:
    """A picture (height, width, channels) as bytes of a WebP file."""
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


def _difference(
    m: LatentMap, side: int, columns: int, size: tuple[int, int], sheet: bytes, places: int, grey: bool
) -> float:
    """Root mean square difference of blended pictures, enlarged to the decoder's size, from its own."""
    (height, width), dim = size, m.v.dim
    with Image.open(io.BytesIO(sheet)) as picture:
        pixels = torch.from_numpy(np.array(picture)).float() / 255
    tiles = pixels.reshape(-1, height, columns, width, pixels.shape[-1]).transpose(1, 2).flatten(0, 1)
    points = SobolEngine(dim, scramble=True, seed=0).draw(places, dtype=torch.float32) * 2 - 1
    total, values = 0.0, 0
    for part in points.split(16):
        true = m.render(part).cpu()
        blended = blend(tiles, part, side).permute(0, 3, 1, 2)
        blended = blended.mean(1, keepdim=True) if grey else blended[:, : true.shape[1]]
        if blended.shape[2:] != true.shape[2:]:
            blended = torch.nn.functional.interpolate(blended, true.shape[2:], mode="bilinear")
        total += (blended - true).square().sum().item()
        values += true.numel()
    return math.sqrt(total / values)


def blend(tiles: Tensor, points: Tensor, side: int) -> Tensor:
    """Pictures (P, H, W, C) of points (P, d), linearly between the nearest 2^d of the tiles (side^d, H, W, C)."""
    turned = points * torch.tensor([1.0, -1.0, 1.0])[: points.shape[1]]  # the second coordinate runs downwards
    where = (turned.clamp(-1, 1) + 1) / 2 * (side - 1)
    low = where.floor().clamp(max=side - 2)
    share, blended = where - low, torch.zeros(len(points), *tiles.shape[1:])
    strides = torch.tensor([1, side, side * side])[: points.shape[1]]
    for corner in itertools.product((0, 1), repeat=points.shape[1]):
        offset = torch.tensor(corner)
        weight = torch.where(offset == 1, share, 1 - share).prod(1)
        blended += weight[:, None, None, None] * tiles[((low.long() + offset) * strides).sum(1)]
    return blended


def _stretch(tiles: np.ndarray) -> Tensor:
    """Largest stretch (side, side) from differences of neighbouring tiles (side, side, H, W, C)."""
    side = len(tiles)
    step = 2 / (side - 1)
    largest = torch.zeros(side, side)
    for row in range(side):
        above, below = max(0, row - 1), min(side - 1, row + 1)
        here = tiles[row].reshape(side, -1).astype(np.float32) / 255
        down = (tiles[below].reshape(side, -1).astype(np.float32) - tiles[above].reshape(side, -1)) / 255
        along = torch.from_numpy(np.gradient(here, step, axis=0))
        across = torch.from_numpy(down / (step * (below - above)))
        a, b, c = (along * along).mean(1), (along * across).mean(1), (across * across).mean(1)
        largest[row] = ((a + c) / 2 + (((a - c) / 2).square() + b * b).sqrt()).sqrt()  # of the 2 x 2 metric J^T J
    return largest
