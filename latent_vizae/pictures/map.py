"""Pictures of a map: its codes, its images, and how fast these change. Needs the extra ``plot``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.names import Named, Names, shown_labels
from latent_vizae.maps.certificate import Certificate
from latent_vizae.maps.latent_map import LatentMap
from latent_vizae.maps.regions import Region, box_region, grid_points

from .style import (
    ACCENT,
    FAINTEST,
    FRAME,
    INK,
    MARK,
    PALETTE,
    QUIET,
    _alpha,
    _plain_numbers,
    caption,
    checked,
    new_figure,
    plain_axes,
    save_figure,
    small,
)
from .words import families, short, words_at_points

__all__ = ["layer_picture", "map_picture", "mosaic"]


MOST_POINTS, MOST_LABELS = 6000, len(PALETTE)

ALIKE = 32
"""Steps of 8 bits between shades of one background."""

LEGEND_SIZE, LEGEND_ROW, MOST_LETTERS = 10, 0.21, 40
"""Of names in a legend: points, inches from line to line, and letters, after which a name is cut."""

UNIT = "rms image change per map unit"


def map_picture(
    latent_map: LatentMap,
    path: str | Path,
    *,
    labels: ArrayLike | None = None,
    names: Names = None,
    thumbnails: bool = True,
    grid_shape: tuple[int, int] = (20, 20),
    title: str | None = None,
    box: tuple[ArrayLike, ArrayLike] | None = None,
) -> Path:
    """Draw a map: the fitted codes as points, and the images that points of the map decode to.

    2-D: the points, and beside them a mosaic of images that fades where the support is low (`LatentMap.support`), into
    the images' background, or into white where they have none. 1-D: a rug of points over a strip of images. 3-D: three
    projections of the points over three slices of images.

    Args:
        latent_map: v and its decoder.
        path: of the picture, ``.png`` or ``.svg``; its folder must exist.
        labels: (k,) whole numbers or words that colour the points; by default those of v. Of more than 20 different
            labels, all points have one colour, and words such as prompts stand at their points where there is room.
        names: of labels: a mapping, or a list whose entry number L is the name of label L.
        thumbnails: whether to draw the images or the points alone.
        grid_shape: rows and columns of images on a 2-D map; a strip has as many columns, a slice half as many.
        title: text above the picture.
        box: two corners (2,) of a region to outline, the lower one first; 2-D maps only.

    Returns:
        The path.

    Raises:
        ImportError: without the extra ``plot``.
        ValueError: another ending, a folder that cannot be written, labels of another length, a wrong box or shape.

    Example:
        >>> import torch
        >>> from latent_vizae import fit
        >>> m = LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2))
        >>> map_picture(m, "map.png", grid_shape=(4, 4)).name
        'map.png'
    """
    target, dim = checked(path), latent_map.v.dim
    rows, columns = grid_shape
    if min(rows, columns) < 2:
        raise ValueError(f"grid_shape is rows and columns, at least 2 each, got {grid_shape!r}.")
    if box is not None and dim != 2:
        raise ValueError(f"A box can be outlined on a 2-D map; this one is {dim}-D.")
    corners = None if box is None else box_region(box, 2)
    points = latent_map.v.points.cpu()
    named = shown_labels(latent_map.v, labels, names)
    colours, legend = _colours(named, len(points))
    fonts = families([*named.names, title or ""])
    counted = f"{len(points):,} codes" if len(points) != 1 else "1 code"
    panels = 2 if thumbnails else 1
    if dim == 1:
        heights = [0.3 + 0.2 * max(1, len(legend)), 0.75][:panels]
        figure, cells = new_figure(12, 0.85 + sum(heights), panels, 1, title, heights, fonts=fonts)
        _rug(cells[0], points, colours, legend, fonts)
        caption(cells[0], f"{counted} as points, and the images that the points decode to" if thumbnails else counted)
        if thumbnails:
            mosaic(cells[1], latent_map, (1, columns))
    elif dim == 2:
        in_a_row = _legend_columns(legend, 5.4, fonts) == len(legend)
        across = len(legend) if in_a_row else _legend_columns(legend, 6 * panels - 0.6, fonts)
        more = 0.0 if in_a_row else LEGEND_ROW * math.ceil(len(legend) / across)
        figure, cells = new_figure(6 * panels, 6.3 + more, 1, panels, title, fonts=fonts)
        _scatter(cells[0], points, colours)
        caption(cells[0], f"{counted} as points")
        if thumbnails:
            mosaic(cells[1], latent_map, (rows, columns))
            caption(cells[1], "the images that the points decode to")
        if corners is not None:
            _outline(cells, corners)
        _legend(cells[0] if in_a_row else figure, legend, across, fonts)
    else:
        columns_of_names = _legend_columns(legend, 11.4, fonts)
        more = LEGEND_ROW * (math.ceil(len(legend) / columns_of_names) - 1) if legend else 0.0
        figure, cells = new_figure(12, 0.45 + 3.95 * panels + more, panels, 3, title, fonts=fonts)
        for cell, (across, up) in zip(cells, ((0, 1), (0, 2), (1, 2)), strict=False):
            _scatter(cell, points[:, [across, up]], colours)
            caption(cell, f"{counted}, coordinates {across + 1} and {up + 1}")
        for cell, height in zip(cells[3:], (-2 / 3, 0.0, 2 / 3), strict=False):
            mosaic(cell, latent_map, (max(2, rows // 2), max(2, columns // 2)), height)
            caption(cell, f"images at coordinate 3 = {height:.2g}")
        _legend(figure, legend, columns_of_names, fonts)
    if dim > 1 and not legend and named.numbers is not None and named.names != [str(kind) for kind in named.kinds]:
        words = [named.names[number] for number in named.numbers.tolist()]
        for cell, axes in zip(cells, ((0, 1), (0, 2), (1, 2))[: 1 if dim == 2 else 3], strict=False):
            words_at_points(cell, points[:, axes], words, fonts)
    return save_figure(figure, target)


def layer_picture(certificate: Certificate, path: str | Path, *, points: Tensor | None = None) -> Path:
    """Draw how fast images change over the map, and how typical its codes are: the layers of a certificate.

    Two heat maps (3-D: of the middle slice) of the smallest and the largest stretch, in root mean square image change
    per map unit, on logarithmic scales. In dark places of the first, some step changes the image little. A 1-D map has
    one direction, and so one curve. The third one is the length of decoded codes (`LatentMap.typicality`).

    Args:
        certificate: of `certify` with a decoder.
        path: of the picture, ``.png`` or ``.svg``; its folder must exist.
        points: (k, d) points of the fitted codes, ``v.points``, to draw over it.

    Returns:
        The path.

    Raises:
        ImportError: without the extra ``plot``.
        ValueError: a certificate made without a decoder, another ending, a folder that cannot be written.
    """
    target, dim = checked(path), certificate.dim
    if certificate.stretch_layer is None:
        raise ValueError(
            "This certificate has no stretch layer: it was made without a decoder, or its budget allowed no grid of "
            "images. certify(v, decoder, budget=None) measures it."
        )
    layer = certificate.stretch_layer.clamp(min=max(1e-9, certificate.stretch_layer.max().item() * 1e-6))
    known = certificate.grid[:0] if points is None else points.detach().cpu()
    if dim == 1:
        figure, (cell,) = new_figure(12, 3.4)
        cell.plot(certificate.grid[:, 0], layer[:, 0], color=ACCENT, linewidth=1.6)
        ticks = {"color": QUIET, "alpha": 0.5, "transform": cell.get_xaxis_transform()}
        cell.plot(known[:, 0], torch.full((len(known),), 0.03), "|", **ticks)
        plain_axes(cell, equal=False)
        cell.set(yscale="log", xlim=(-1.01, 1.01))
        _plain_numbers(cell.yaxis)
        caption(cell, f"how fast images change along the map: {UNIT}")
        return save_figure(figure, target)
    side = round(len(layer) ** (1 / dim))
    typical = certificate.typical_layer
    figure, cells = new_figure(12 if typical is None else 18, 5.3, 1, 2 if typical is None else 3)
    level = certificate.grid[side // 2, 2].item() if dim == 3 else 0.0  # of an odd side: 0
    known = known[(known[:, 2] - level).abs() <= 1 / (side - 1)] if dim == 3 else known
    names = ["change in the slowest direction", "change in the fastest direction"]
    heats = list(layer.T)
    if typical is not None:
        names.append("length of decoded codes (1: as of the decoder's own)")
        heats.append(typical.clamp(min=1e-3))
    for cell, values, name in zip(cells, heats, names, strict=True):
        heat = values.reshape((side,) * dim)
        _heat(cell, heat[:, :, side // 2] if dim == 3 else heat)
        shown = _few(known)
        cell.scatter(*known[shown].T[:2], s=9, color="white", alpha=_alpha(len(shown)), linewidths=0)
        caption(cell, name + (f", slice at coordinate 3 = {level:.2g}" if dim == 3 else ""))
    return save_figure(figure, target)


def _heat(cell: Any, heat: Tensor) -> None:
    """A smooth heat map (side, side) over [-1, 1]^2 on a logarithmic scale, with its colour bar."""
    from matplotlib.colors import LogNorm

    low, high = heat.min().item(), heat.max().item()
    logs = torch.nn.functional.interpolate(heat.log().T[None, None], (241, 241), mode="bicubic", align_corners=True)
    picture = cell.imshow(
        logs[0, 0].exp().clamp(low, high).numpy(), norm=LogNorm(low, max(high, 1.01 * low)), cmap="magma",
        origin="lower", extent=(-1, 1, -1, 1), interpolation="bilinear",
    )  # fmt: skip
    plain_axes(cell)
    cell.set(xlim=(-1, 1), ylim=(-1, 1))
    bar = cell.figure.colorbar(picture, ax=cell, fraction=0.05, pad=0.03, aspect=26)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which="both", labelsize=9, labelcolor=QUIET, color=FRAME)
    _plain_numbers(bar.ax.yaxis)
    bar.set_label(UNIT, color=QUIET, fontsize=9)


def _colours(labels: Named, count: int) -> tuple[np.ndarray, dict[str, str]]:
    """A colour for every point, and what the colours mean (nothing without labels, or with too many)."""
    kinds = labels.kinds
    if labels.numbers is None or not 1 <= len(kinds) <= MOST_LABELS:
        return np.full(count, ACCENT), {}
    digits = all(0 <= kind < MOST_LABELS for kind in kinds)
    colours = [PALETTE[kind if digits else at] for at, kind in enumerate(kinds)]
    return np.array(colours)[labels.numbers.numpy()], dict(zip(colours, labels.names, strict=True))


def _scatter(cell: Any, points: Tensor, colours: np.ndarray) -> None:
    shown = _few(points)
    size = float(np.clip(4000 / max(len(shown), 1), 7, 70))
    cell.scatter(*points[shown].T, s=size, c=colours[shown], alpha=_alpha(len(shown)), linewidths=0)
    plain_axes(cell)


def _rug(cell: Any, points: Tensor, colours: np.ndarray, names: dict[str, str], fonts: list[str]) -> None:
    """One row of ticks per label."""
    shown = _few(points)
    row = {colour: -at for at, colour in enumerate(names)}
    at = np.array([row.get(colour, 0) for colour in colours[shown]])
    style = {"colors": colours[shown], "alpha": _alpha(4 * len(shown)), "linewidth": 1.1}
    cell.vlines(points[shown, 0], at - 0.36, at + 0.36, **style)
    plain_axes(cell, equal=False)
    cell.set(xlim=(-1, 1), xticks=())
    cell.set_yticks(list(row.values()), list(names.values()), parse_math=False, fontfamily=fonts)
    cell.set_ylim(min(row.values(), default=0) - 0.5, 0.5)
    cell.tick_params(length=0)
    cell.spines[:].set_visible(False)


def _legend_columns(names: dict[str, str], inches: float, fonts: list[str]) -> int:
    """How many columns of a legend fit side by side, at least one: each is as wide as the longest name."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=fonts, size=LEGEND_SIZE)
    widths = [
        text_to_path.get_text_width_height_descent(short(name, MOST_LETTERS), font, False)[0]
        for name in names.values()
    ]
    return max(1, min(10, len(names), int(inches * 72 / (max(widths, default=0.0) + 2.6 * LEGEND_SIZE))))


def _legend(place: Any, names: dict[str, str], columns: int, fonts: list[str]) -> None:
    """Dots and labels, under a panel or at the bottom of a figure."""
    from matplotlib.lines import Line2D

    if not names:
        return
    style: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 7, "markeredgewidth": 0}
    dots = [Line2D([], [], color=colour, **style) for colour in names]
    inside: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.045)}
    where = inside if hasattr(place, "spines") else {"loc": "outside lower center"}
    drawn = place.legend(
        dots, [" "] * len(dots), ncols=columns, frameon=False, fontsize=LEGEND_SIZE, labelcolor=INK,
        handletextpad=0.0, columnspacing=1.0, borderaxespad=0.2, **where,
    )  # fmt: skip
    for text, name in zip(drawn.get_texts(), names.values(), strict=True):
        text.set(text=short(name, MOST_LETTERS), fontfamily=fonts, parse_math=False)  # a name is no formula


def _outline(cells: list[Any], corners: Region) -> None:
    """A box on the points, and on the images with a halo."""
    from matplotlib.patches import Rectangle

    (left, low), (width, height) = corners.low.tolist(), (corners.high - corners.low).tolist()
    for cell, colour, thickness in (
        *((cell, "white", 3.6) for cell in cells[1:]),
        *((cell, MARK, 2.0) for cell in cells),
    ):
        cell.add_patch(Rectangle((left, low), width, height, fill=False, color=colour, linewidth=thickness))


def mosaic(cell: Any, latent_map: LatentMap, shape: tuple[int, int], height: float | None = None) -> None:
    """Draw images at their points of [-1, 1]^d, fading into their background where the support is low, or white."""
    rows, columns = shape
    points = _places(latent_map, shape, height)
    pixels = max(16, round(900 / columns))
    tiles = np.concatenate([small(latent_map.render(batch), pixels) for batch in points.split(columns)])
    tall, wide = tiles.shape[1:3]
    sheet = tiles.reshape(rows, columns, tall, wide, 3).swapaxes(1, 2).reshape(rows * tall, columns * wide, 3)
    fine = (4 * rows if latent_map.v.dim > 1 else 1, 4 * columns)
    trust = latent_map.support(_places(latent_map, fine, height)).cpu().reshape(1, 1, *fine)
    around = torch.nn.ReplicationPad2d(3)(trust)  # blurred, so that single codes make no holes and no islands
    smooth = torch.nn.functional.avg_pool2d(around, 7, 1)
    full = torch.nn.functional.interpolate(smooth, sheet.shape[:2], mode="bilinear", align_corners=False)[0, 0].numpy()
    ground = _background(tiles)
    faded = ground + (sheet - ground) * (FAINTEST + (1 - FAINTEST) * full)[..., None]
    reach = tall / wide / columns if latent_map.v.dim == 1 else 1.0
    cell.imshow(faded.round().astype(np.uint8), extent=(-1, 1, -reach, reach), interpolation="lanczos")
    plain_axes(cell)
    cell.set_facecolor(ground / 255)
    if latent_map.v.dim == 1:
        cell.set(xlim=(-1, 1), ylim=(-reach, reach), yticks=())


def _background(tiles: np.ndarray) -> np.ndarray:
    """The colour (3,) that half of the edges of images (k, h, w, 3) have, about; of images without one, white."""
    edges = np.concatenate([tiles[:, 0], tiles[:, -1], tiles[:, :, 0], tiles[:, :, -1]], axis=1).reshape(-1, 3)
    median = np.median(edges, axis=0)
    alike = (np.abs(edges - median).max(1) <= ALIKE).mean()
    return median if alike >= 0.5 else np.full(3, 255.0)


def _places(latent_map: LatentMap, shape: tuple[int, int], height: float | None) -> Tensor:
    """Points (rows * columns, d) in the middles of the cells that tile the map, or its slice at a height."""
    flat = min(latent_map.v.dim, 2)
    half = 1 - 1 / torch.tensor(shape[::-1][:flat]).float()
    points, _ = grid_points(box_region((-half, half), flat), shape if flat == 2 else shape[1:], flat)
    return points if height is None else torch.cat([points, torch.full((len(points), 1), height)], 1)


def _few(points: Tensor) -> np.ndarray:
    """At most 6000 row numbers, drawn evenly at random, so that no label lies on top of the others."""
    return torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:MOST_POINTS].numpy()
