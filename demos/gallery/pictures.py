"""The pictures of the lessons, in the manner of `latent_vizae.pictures`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from latent_vizae import LatentMap
from latent_vizae.adapters.zoo import Autoencoder, ZooGenerator
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.gallery.data import class_names, encoded
from latent_vizae.demos.gallery.spaces import SUPPORTED, Space, nearest_distance
from latent_vizae.demos.gallery.ways import walk
from latent_vizae.maps.samples import Samples, to_uint8
from latent_vizae.pictures.map import mosaic
from latent_vizae.pictures.style import (
    FRAME,
    INK,
    MARK,
    PALETTE,
    QUIET,
    caption,
    checked,
    new_figure,
    plain_axes,
    save_figure,
)

__all__ = [
    "before_and_after", "class_maps_picture", "classes_picture", "draws_sheet", "sheet", "space_picture",
    "sum_picture", "walk_picture", "ways_picture",
]  # fmt: skip


FAINTEST = 0.2


def sheet(images: Tensor, rows: int, scale: int = 2) -> Image.Image:
    """Images (k, C, H, W) in [0, 1] side by side, in so many rows, each pixel ``scale`` times as large."""
    flat = images.flatten(1)[:, :2]
    picture = Samples(flat, flat, images, rows=rows).sheet()
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def before_and_after(f_d: Autoencoder, images: Tensor) -> Image.Image:
    """Images (k, C, H, W) in [0, 1] in a row, and under each what comes back from its code."""
    return sheet(torch.cat([images, decode_images(f_d, encoded(f_d, images))]), 2)


def draws_sheet(f_d: ZooGenerator, rows: int = 2, columns: int = 16, seed: int = 0) -> Image.Image:
    """Draws from a generator's prior, as they come."""
    return sheet(decode_images(f_d, f_d.sample(rows * columns, seed)), rows)


def space_picture(
    space: Space, path: str | Path, names: Sequence[str] | None = None, cells: int = 18, title: str | None = None
) -> Path:
    """A latent space of two numbers: its codes by class, and the images in their places, pale where no code supports.

    Args:
        space: see `spaces.space_of`.
        path: of the picture, ``.png``.
        names: of the classes; by default their numbers.
        cells: images along a side.
        title: over the picture.
    """
    target = checked(path)
    figure, (left, right) = new_figure(12, 6.9, 1, 2, title)
    (x0, y0), (x1, y1) = space.low.tolist(), space.high.tolist()
    kinds = class_names(space.labels, names)
    colours = np.array(PALETTE)[space.labels.numpy()]
    left.scatter(*space.codes.T, s=5, c=colours, alpha=0.7, linewidths=0)
    fine = 4 * cells
    support = space.support(space.lattice(fine)).reshape(fine, fine)
    edge = {"origin": "upper", "extent": (x0, x1, y0, y1)}
    left.contour(support.numpy(), [SUPPORTED], colors=QUIET, linewidths=0.7, **edge)
    caption(left, f"{len(space.codes):,} codes; a line around those parts that they support")
    places = space.lattice(cells)
    images = decode_images(space.f_d, places)
    bytes_ = to_uint8(images).astype(float)
    tall, wide = bytes_.shape[1:3]
    tiles = bytes_.reshape(cells, cells, tall, wide, 3).swapaxes(1, 2).reshape(cells * tall, cells * wide, 3)
    blurred = avg_pool2d(support[None, None], 5, 1, 2, count_include_pad=False)  # no hole for want of a single code
    trust = interpolate(blurred, tiles.shape[:2], mode="bilinear")[0, 0, :, :, None].numpy()
    pale = 255 - (255 - tiles) * (FAINTEST + (1 - FAINTEST) * trust)
    right.imshow(pale.round().astype(np.uint8), interpolation="lanczos", aspect="auto", extent=(x0, x1, y0, y1))
    caption(right, "the images there; pale where there is no support")
    for cell in (left, right):
        plain_axes(cell)
        cell.set(xlim=(x0, x1), ylim=(y0, y1), aspect="auto", xticks=_ends(x0, x1), yticks=_ends(y0, y1))
        cell.set_box_aspect(1)
    _legend(left, dict(zip(kinds, PALETTE, strict=False)))
    return save_figure(figure, target)


def _ends(low: float, high: float) -> list[float]:
    """About five round numbers between two ends."""
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= min(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 5)
    return [round(at * step, 6) for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _legend(place: Any, names: dict[str, str], columns: int = 5) -> None:
    """Dots and words under a panel."""
    from matplotlib.lines import Line2D

    dots = [Line2D([], [], color=c, marker="o", linestyle="", markersize=7, markeredgewidth=0) for c in names.values()]
    place.legend(
        dots, names, ncols=columns, frameon=False, fontsize=10, labelcolor=INK, handletextpad=0.0, columnspacing=1.0,
        borderaxespad=0.2, loc="upper center", bbox_to_anchor=(0.5, -0.06),
    )  # fmt: skip


def classes_picture(
    maps: dict[str, LatentMap], path: str | Path, names: Sequence[str] | None = None, columns: int = 4
) -> Path:
    """Maps side by side, their codes as points in the colours of their classes.

    Args:
        maps: 2-D ones with labels, whole numbers from 0 on, by name.
        path: of the picture, ``.png``.
        names: of the classes; by default their numbers.
        columns: of panels.
    """
    target, rows = checked(path), math.ceil(len(maps) / columns)
    figure, panels = new_figure(12, 12 / columns * 1.06 * rows + 0.5, rows, columns)
    for panel, (name, m) in zip(panels, maps.items(), strict=False):
        labels = m.v.labels
        panel.scatter(*m.v.points.T, s=6, c=np.array(PALETTE)[labels.numpy()], linewidths=0)
        panel.set(xticks=(), yticks=(), aspect="equal")
        caption(panel, name)
    for panel in panels[len(maps) :]:
        panel.set_visible(False)
    kinds = class_names(torch.cat([m.v.labels for m in maps.values()]), names)
    _legend(panels[len(maps) - 1], dict(zip(kinds, PALETTE, strict=False)))
    return save_figure(figure, target)


def class_maps_picture(maps: dict[str, LatentMap], path: str | Path, columns: int = 4, cells: int = 8) -> Path:
    """Maps side by side, in images, each under its name.

    Args:
        maps: 2-D ones, by name.
        path: of the picture, ``.png``.
        columns: of panels.
        cells: images along a side of each.
    """
    target, rows = checked(path), math.ceil(len(maps) / columns)
    figure, panels = new_figure(12, 12 / columns * 1.06 * rows, rows, columns)
    for panel, (name, m) in zip(panels, maps.items(), strict=False):
        mosaic(panel, m, (cells, cells))
        panel.set(xticks=(), yticks=())
        caption(panel, name)
    for panel in panels[len(maps) :]:
        panel.set_visible(False)
    return save_figure(figure, target)


def ways_picture(ways: dict[str, Tensor], real: Tensor, path: str | Path) -> Path:
    """Ways side by side: a strip of frames each, and under them how far each frame is from the nearest real image.

    Args:
        ways: images (F, C, H, W) of each, by name.
        real: (N, C, H, W) real images.
        path: of the picture, ``.png``.
    """
    target, count = checked(path), len(ways)
    figure, cells = new_figure(12, 1.05 * count + 2.7, count + 1, 1, heights=[1.0] * count + [2.2])
    *strips, chart = cells
    frames = len(next(iter(ways.values())))
    for strip, colour, marker, (name, images) in zip(strips, PALETTE, "os^Dv", ways.items(), strict=False):
        strip.imshow(np.concatenate(list(to_uint8(images)), 1), extent=(0.5, frames + 0.5, 0, 1), aspect="auto")
        strip.set(xticks=(), yticks=())
        strip.set_ylabel(name, color=colour, fontsize=12, fontweight="bold")
        strip.spines[:].set_visible(False)
        chart.plot(range(1, frames + 1), nearest_distance(images, real), color=colour, marker=marker, linewidth=1.8)
    chart.set(xlim=(0.5, frames + 0.5), xticks=range(1, frames + 1))
    chart.set_ylim(0)
    chart.tick_params(color=FRAME, labelcolor=QUIET, labelsize=9)
    for side, spine in chart.spines.items():
        spine.set(color=FRAME, visible=side in ("left", "bottom"))
    caption(chart, "how unlike every real image each frame is (1 - cosine to the nearest)")
    return save_figure(figure, target)


def sum_picture(m: LatentMap, groups: dict[str, Tensor], path: str | Path) -> Path:
    """Vector arithmetic of codes, a - b + c: on the map, and as images of the group means and of the sum.

    Args:
        m: a 2-D map of codes of this kind, with labels.
        groups: of codes (k, *latent_shape), named, in the order a, b, c.
        path: of the picture, ``.png``.
    """
    target = checked(path)
    from matplotlib.patches import Rectangle

    means = [codes.mean(0) for codes in groups.values()]
    means.append(means[0] - means[1] + means[2])
    names = [*groups, "the sum"]
    figure, (left, right) = new_figure(12, 6.9, 1, 2)
    points, labels = m.v.points.cpu(), m.v.labels
    left.scatter(*points.T, s=6, c=FRAME if labels is None else np.array(PALETTE)[labels.numpy()], alpha=0.35,
                 linewidths=0)  # fmt: skip
    plain_axes(left)
    at = m.v.encode(torch.stack(means))
    letters = ("a", "b", "c", "a - b + c")
    for start, end in ((1, 0), (2, 3)):
        left.annotate("", at[end].tolist(), at[start].tolist(), arrowprops={
            "arrowstyle": "-|>", "color": INK, "linewidth": 2.2, "shrinkA": 6, "shrinkB": 8, "mutation_scale": 18,
        })  # fmt: skip
        way = at[end] - at[start]
        across, up = (way / way.norm().clamp(min=1e-9)).tolist()
        for number, side in ((start, -1), (end, 1)):  # before the arrow and beyond it
            point, right_of = at[number].tolist(), side * across > 0
            left.plot(*point, "o", color="white", markeredgecolor=INK, markeredgewidth=1.6, markersize=9)
            left.annotate(letters[number], point, (10 if right_of else -10, 8 * side * up), textcoords="offset points",
                          ha="left" if right_of else "right", va="center", fontsize=13, fontweight="bold", color=INK,
                          bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1})  # fmt: skip
    caption(left, "on the map, over codes coloured by class")
    if labels is not None:
        _legend(left, {str(kind): PALETTE[kind] for kind in labels.unique().tolist()}, 10)
    images = to_uint8(decode_images(m.decoder, torch.stack(means)))
    for number, (letter, image, name) in enumerate(zip(letters, images, names, strict=True)):
        across, down = 1.1 * (number % 2), 1.2 * (number // 2)
        right.imshow(image, extent=(across, across + 1, down + 1, down), interpolation="nearest")
        right.text(across, down - 0.03, f"{letter}:  {name}", color=INK, fontsize=11, va="bottom")
    right.add_patch(Rectangle((1.1, 1.2), 1, 1, fill=False, edgecolor=MARK, linewidth=3))
    right.set(xlim=(-0.02, 2.12), ylim=(2.22, -0.12), xticks=(), yticks=(), aspect="equal")
    right.spines[:].set_visible(False)
    return save_figure(figure, target)


def walk_picture(m: LatentMap, codes: Tensor, stops: int, path: str | Path) -> Path:
    """A loop of codes on a map, with its stops numbered, and the images of the stops and of the ways between them.

    Args:
        m: a 2-D map of draws from the prior.
        codes: (F, n), see `ways.around`.
        stops: how many of them, evenly spaced, are stops.
        path: of the picture, ``.png``.
    """
    target = checked(path)
    loop = walk(m, codes)
    legs = len(codes) // stops
    figure, (left, right) = new_figure(12, 6.5, 1, 2)
    left.scatter(*m.v.points.cpu().T, s=5, color=FRAME, alpha=0.6, linewidths=0)
    points = torch.cat([loop.points, loop.points[:1]])
    left.plot(*points.T, color=PALETTE[0], linewidth=2.2)
    plain_axes(left)
    for number, point in enumerate(loop.points[::legs].tolist(), start=1):
        left.text(*point, str(number), color="white", fontsize=10, fontweight="bold", ha="center", va="center",
                  bbox={"boxstyle": "circle,pad=0.25", "facecolor": MARK, "edgecolor": "white"})  # fmt: skip
    caption(left, f"the loop on a map of {len(m.v.points):,} draws")
    shown = 6
    frames = torch.cat(
        [loop.images[start + torch.arange(shown) * legs // shown] for start in range(0, len(codes), legs)]
    )
    right.imshow(np.asarray(sheet(frames, stops, 4)), interpolation="lanczos")
    side = sheet(frames[:1], 1, 4).height - 4
    right.set(xticks=(), yticks=[4 + (index + 0.5) * side for index in range(stops)])
    right.set_yticklabels(range(1, stops + 1), color=MARK, fontsize=12, fontweight="bold")
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    caption(right, "its images: each row from a stop towards the next")
    return save_figure(figure, target)
