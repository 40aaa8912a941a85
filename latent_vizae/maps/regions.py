"""Regions of a map, and points that fill them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from latent_vizae.inputs.arrays import MOST_DECODED, ArrayLike, as_tensor
from latent_vizae.inputs.checks import as_whole

__all__ = ["Region", "box_region", "cover", "disc_region", "grid_points", "lattice", "polygon_region"]


@dataclass(frozen=True)
class Region:
    """A part of a map: its bounding box (d,), (d,), and a test of points (P, d) -> (P,) bool."""

    low: Tensor
    high: Tensor
    contains: Callable[[Tensor], Tensor]


def _vector(value: ArrayLike, dim: int, what: str) -> Tensor:
    vector = as_tensor(value, what)
    vector = vector.reshape(1) if vector.dim() == 0 else vector
    if tuple(vector.shape) != (dim,):
        raise ValueError(f"{what} has {dim} numbers on this map, got shape {tuple(vector.shape)}.")
    if not torch.isfinite(vector).all():
        raise ValueError(f"{what} must be finite, got {vector.tolist()}.")
    return vector


def box_region(box: tuple[ArrayLike, ArrayLike], dim: int) -> Region:
    """A box from its two corners, the lower one first.

    Raises:
        ValueError: not two corners of that dimension, swapped, or without extent.
    """
    try:
        first, second = box
    except (TypeError, ValueError) as error:
        raise ValueError(f"A box is two corners, (lower, upper), of {dim} numbers each; got {box!r}.") from error
    low, high = _vector(first, dim, "the box's lower corner"), _vector(second, dim, "the box's upper corner")
    if not (low < high).all():
        raise ValueError(
            f"A box's lower corner lies below its upper one in every coordinate; got {low.tolist()} and "
            f"{high.tolist()}. Swap them, or give the box an extent."
        )
    return Region(low, high, lambda points: ((points >= low) & (points <= high)).all(1))


def disc_region(center: ArrayLike, radius: float, dim: int) -> Region:
    """A disc (an interval, a ball).

    Raises:
        ValueError: a center of another dimension, or a radius that is not above 0.
    """
    middle = _vector(center, dim, "the center")
    try:
        size = math.nan if isinstance(radius, bool | str) else float(radius)
    except (TypeError, ValueError):
        size = math.nan
    if not 0 < size < math.inf:
        raise ValueError(f"radius is a number above 0, in map units, got {radius!r}.")
    return Region(middle - size, middle + size, lambda points: (points - middle).norm(dim=1) <= size)


def polygon_region(corners: ArrayLike, dim: int) -> Region:
    """A polygon of a 2-D map, from its corners in order; even-odd rule.

    Raises:
        ValueError: not a 2-D map, fewer than 3 corners, or no area.
    """
    vertices = as_tensor(corners, "polygon")
    if dim != 2 or vertices.dim() != 2 or vertices.shape[1] != 2 or len(vertices) < 3:
        raise ValueError(
            f"A polygon has 3 or more corners (2,) on a 2-D map; this map is {dim}-D, got {tuple(vertices.shape)}."
        )
    if not torch.isfinite(vertices).all():
        raise ValueError("The polygon's corners must be finite.")
    following = vertices.roll(-1, 0)
    long, short = torch.linalg.svdvals((vertices - vertices.mean(0)).double())
    if short <= 1e-6 * long:
        raise ValueError(f"The polygon {vertices.tolist()} has no area.")

    def contains(points: Tensor) -> Tensor:
        x, y = points[:, :1], points[:, 1:]
        (x0, y0), (x1, y1) = vertices.T, following.T
        crosses = (y0 > y) != (y1 > y)
        at = (x1 - x0) * (y - y0) / torch.where(y1 == y0, torch.ones_like(y1), y1 - y0) + x0
        inside: Tensor = (crosses & (x < at)).sum(1) % 2 == 1
        return inside

    return Region(vertices.amin(0), vertices.amax(0), contains)


def grid_points(region: Region, shape: int | tuple[int, ...] | None, dim: int) -> tuple[Tensor, int]:
    """Points of a regular grid over a box with its corners, rows from the top, and the number of rows of their sheet.

    Args:
        region: a box.
        shape: rows, columns, layers (as many as the map has dimensions), or one number for all; 10 by default.
        dim: dimension of the map.
    """
    wanted = f"{dim} whole numbers of at least 1 on this map, or one for all"
    try:
        sides = np.asarray(10 if shape is None else shape)
        given: tuple[Any, ...] = (sides.item(),) * dim if sides.ndim == 0 else tuple(sides.tolist())
        counts = [as_whole(count, "shape", 1) for count in given]
    except (TypeError, ValueError) as error:
        raise ValueError(f"shape is {wanted}, got {shape!r}.") from error
    if len(counts) != dim:
        raise ValueError(f"shape is {wanted}, got {shape!r}.")
    if math.prod(counts) > MOST_DECODED:
        raise ValueError(f"A grid has at most {MOST_DECODED} points, got the shape {shape!r}. Choose a smaller one.")

    def axis(index: int, count: int) -> Tensor:
        low, high = region.low[index].item(), region.high[index].item()
        return torch.linspace(low, high, count) if count > 1 else torch.tensor([(low + high) / 2])

    if dim == 1:
        return axis(0, counts[0]).unsqueeze(1), 1
    rows, columns, *layers = counts
    y, x = axis(1, rows).flip(0), axis(0, columns)
    if dim == 2:
        mesh = torch.meshgrid(y, x, indexing="ij")
        return torch.stack([mesh[1], mesh[0]], -1).reshape(-1, 2), rows
    mesh = torch.meshgrid(axis(2, layers[0]), y, x, indexing="ij")
    return torch.stack([mesh[2], mesh[1], mesh[0]], -1).reshape(-1, 3), rows * layers[0]


def cover(region: Region, count: int, seed: int) -> Tensor:
    """An even random cover: the first scrambled Sobol points (Sobol 1967, Owen 1998) that lie inside."""
    engine = SobolEngine(len(region.low), scramble=True, seed=as_whole(seed, "seed"))
    inside: list[Tensor] = []
    count_inside = 0
    for _ in range(64):
        candidates = region.low + engine.draw(max(256, 2 * count), dtype=torch.float32) * (region.high - region.low)
        inside.append(candidates[region.contains(candidates)])
        count_inside += len(inside[-1])
        if count_inside >= count:
            return torch.cat(inside)[:count]
    raise ValueError("This region is too thin to fill: less than 1 % of its bounding box lies inside.")


def lattice(region: Region, count: int) -> Tensor:
    """Exactly ``count`` points of a square lattice: the finest one needed, thinned evenly."""
    dim, extent = len(region.low), region.high - region.low

    def points_at(spacing: float) -> Tensor:
        axes = []
        for low, size in zip(region.low.tolist(), extent.tolist(), strict=True):
            number = max(1, int(size / spacing))
            axes.append(low + (torch.arange(number).float() + 0.5) * (size / number))
        if math.prod(map(len, axes)) > 128 * count + 2**16:
            raise ValueError("This region is too thin to fill: less than 1 % of its bounding box lies inside.")
        candidates = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, dim)
        return candidates[region.contains(candidates)]

    spacing = (extent.prod().item() / count) ** (1 / dim)
    for _ in range(200):
        points = points_at(spacing)
        if len(points) >= count:
            keep = torch.linspace(0, len(points) - 1, count).round().long()
            return points[keep]
        spacing *= 0.98 if len(points) else 0.8
    raise ValueError("This region is too thin to fill with a lattice.")
