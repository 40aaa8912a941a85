"""Pictures of directions: their effect on images, and arrows on a map. Needs the extra ``plot``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.directions.direction import DEFAULT_REACH, Direction
from latent_vizae.directions.directions import Directions
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.maps.arrows import Arrows
from latent_vizae.maps.latent_map import LatentMap

from .map import mosaic
from .style import INK, MARK, QUIET, caption, checked, new_figure, plain_axes, save_figure, small

__all__ = ["arrow_picture", "direction_picture", "walk"]


PIXELS, ACROSS, LABELS = 112, 12.0, 1.1

STEPS = 13
"""Images along a direction."""

MOSAIC = {1: (1, 24), 2: (14, 14)}
"""Images behind the arrows of a map of one dimension and of more, down and across."""

FEWEST = 0.15
"""Least trust of an arrow that is drawn."""


def walk(
    decoder: Callable[[Tensor], Tensor],
    code: ArrayLike,
    direction: Direction,
    steps: int = STEPS,
    reach: float = DEFAULT_REACH,
) -> Tensor:
    """Images (steps, C, H, W) along a direction, from negative to positive; the middle one is the code's own."""
    codes = direction.along(code, steps, reach)
    images, middle = decode_images(decoder, codes), steps // 2
    images[middle] = decode_images(decoder, codes[middle : middle + 1])[0]
    return images


def direction_picture(
    directions: Directions,
    decoder: Callable[[Tensor], Tensor],
    path: str | Path,
    *,
    label: int | None = None,
    code: ArrayLike | None = None,
    steps: int = STEPS,
    reach: float = DEFAULT_REACH,
    title: str | None = None,
) -> Path:
    """Draw the images of one code moved along directions: a row for each, from negative to positive steps.

    Args:
        directions: of `discover_directions`.
        decoder: f_d.
        path: of the picture, ``.png``; its folder must exist.
        label: class id, for the set of that class above the global set; by default the global set alone.
        code: (*latent_shape), the start; by default a typical code of the class.
        steps: images in a row, odd; the middle one is the code's own.
        reach: distance to both sides, in steps.
        title: text above the picture.

    Returns:
        The path.

    Raises:
        ImportError: without the extra ``plot``.
        ValueError: no such class, another ending, a folder that cannot be written, a code of another shape.
    """
    target = checked(path)
    chosen = ([] if label is None else directions.of(label)) + directions.of()
    start = directions.example(label) if code is None else code
    rows = [small(walk(decoder, start, direction, steps, reach), PIXELS) for direction in chosen]
    tall, wide = rows[0].shape[1:3]
    gap = max(1, wide // 14)
    strip = steps * (wide + gap)
    height = (ACROSS - LABELS) * tall / strip + 0.1
    figure, cells = new_figure(ACROSS, height * len(rows) + 0.6, len(rows), 1, title)
    figure.get_layout_engine().set(h_pad=0.02, hspace=0)
    for cell, images, direction in zip(cells, rows, chosen, strict=True):
        edge = np.full((tall, gap, 3), 255, np.uint8)
        parts = [part for image in images for part in (image, edge)][:-1]
        cell.imshow(np.concatenate(parts, 1), interpolation="nearest", aspect="equal")
        cell.set(xticks=(), yticks=())
        cell.spines[:].set_visible(False)
        cell.set_ylabel(direction.name, rotation=0, ha="right", va="center", color=INK, fontsize=10, labelpad=8)
    last = cells[-1]
    last.set_xticks(
        [at * (wide + gap) + wide / 2 for at in range(steps)],
        [f"{far:+.2g}" if abs(far) > 1e-9 else "0" for far in np.linspace(-reach, reach, steps)],
    )
    last.tick_params(length=0, labelsize=9, labelcolor=QUIET)
    last.set_xlabel("steps", color=QUIET, fontsize=9)
    return save_figure(figure, target)


def arrow_picture(latent_map: LatentMap, arrows: Arrows, path: str | Path, *, title: str | None = None) -> Path:
    """Draw arrows of directions on a map: a panel for each direction, over the images that the points decode to.

    Arrows of low trust are left out. All others are scaled by one factor, at which nine in ten end before the next
    point. A 3-D map shows its first two coordinates.

    Args:
        latent_map: v and its decoder.
        arrows: of `LatentMap.arrows`.
        path: of the picture, ``.png``; its folder must exist.
        title: text above the picture.

    Returns:
        The path.

    Raises:
        ImportError: without the extra ``plot``.
        ValueError: arrows of another map, another ending, a folder that cannot be written.
    """
    target, dim = checked(path), latent_map.v.dim
    if arrows.points.shape[1] != dim:
        raise ValueError(f"These arrows are of a {arrows.points.shape[1]}-D map; this one is {dim}-D.")
    count = len(arrows.names)
    columns = 1 if dim == 1 else min(3, count)
    rows = -(-count // columns)
    height = 1.1 if dim == 1 else 12 / columns + 0.2
    figure, cells = new_figure(12 if columns > 1 or dim == 1 else 6.5, height * rows + 0.3, rows, columns, title)
    points, moves = arrows.points.cpu(), arrows.moves.cpu()
    trusted = arrows.trust.cpu() >= FEWEST
    factor = _factor(points, moves, trusted)
    for at, cell in enumerate(cells):
        if at >= count:
            cell.set_visible(False)
            continue
        _panel(cell, latent_map, points, factor * moves[at], trusted[at])
        caption(
            cell, arrows.names[at] + (f": arrows {factor:.2g} times a move of {arrows.step:.2g}" if at == 0 else "")
        )
    return save_figure(figure, target)


def _factor(points: Tensor, moves: Tensor, trusted: Tensor) -> float:
    """How much longer arrows may be, so that nine in ten end before the next point."""
    lengths = moves.norm(dim=2)[trusted]
    if len(lengths) == 0 or len(points) < 2:
        return 1.0
    apart = torch.cdist(points, points).fill_diagonal_(torch.inf).amin().item()
    return float(1.1 * apart / max(lengths.quantile(0.9).item(), 1e-9))


def _panel(cell: Any, latent_map: LatentMap, points: Tensor, moves: Tensor, trusted: Tensor) -> None:
    flat = latent_map.v.dim == 1
    mosaic(cell, latent_map, MOSAIC[1 if flat else 2], 0.0 if latent_map.v.dim == 3 else None)
    start, way = points[trusted], moves[trusted]
    if flat:
        start, way = (torch.cat([part, torch.zeros_like(part)], 1) for part in (start, way))
    for colour, width in (("white", 0.011), (MARK, 0.006)):
        cell.quiver(
            *start[:, :2].T.numpy(), *way[:, :2].T.numpy(), color=colour, angles="xy", scale_units="xy", scale=1,
            width=width, headwidth=3.4, headlength=3.8, headaxislength=3.4, zorder=3,
        )  # fmt: skip
    if not flat:
        plain_axes(cell)
