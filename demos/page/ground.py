"""Pictures of a map's surface beneath its points, coarse to fine.

On level L the map has 2^L x 2^L cells, each with the picture of its middle. They are made as the tiles of a map in one
file are, and kept. A question is answered with as many as are made in a twentieth of a second, so that a picture under
a pointer waits for one image of a slow decoder at most.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from latent_vizae.decoders.spending import seconds_per_image
from latent_vizae.demos.page.checks import whole_number
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.kept import Kept
from latent_vizae.demos.page.maps import Maps
from latent_vizae.sharing.described import as_base64
from latent_vizae.sharing.tiles import as_webp, reduced, sheet_of, tile_size

__all__ = ["MOST_LEVEL", "Ground"]

MOST_LEVEL, MOST_CELLS = 13, 64
"""Finest level: cells of a map that is zoomed in as far as it goes; cells of one question."""
SECONDS = 0.05
"""That a question may take, or one image if that takes longer."""
COLUMNS, QUALITY = 8, 70
"""Of the sheet that answers, a WebP picture."""
MOST_KEPT, KEPT_BYTES = 2**16, 2**28


class Ground:
    """Pictures of the surface of maps, kept for all visitors."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._kept: Kept[np.ndarray] = Kept(MOST_KEPT, KEPT_BYTES)

    def tiles(self, map_id: Any, level: Any, cells: Any, detail: Any = None) -> dict[str, Any]:
        """Pictures of cells of a 2-D map, as many as are quickly made and at least one.

        Args:
            map_id: of a map.
            level: 0 to 13; there are 2^level x 2^level cells.
            cells: at most 64, ``[column, row]`` each, from the left and from the top.
            detail: ``[amount, variant]``; None for the map's own.

        Returns:
            cells: those that are answered; columns, width, height, sheet: their pictures, in this order, as one WebP
            (base64).

        Raises:
            ValueError: no such map, level, cell or detail, or a map of other dimensions.
        """
        fitted = self._maps.get(map_id)
        if fitted.latent_map.v.dim != 2:
            raise ValueError("Pictures lie beneath the points of maps of two dimensions.")
        level = whole_number(level, "level", 0, MOST_LEVEL)
        asked, added = _checked_cells(cells, 2**level), self._maps.added(fitted, None, detail)
        of = f"{fitted.id} {detail} {level} "
        found = {cell: tile for cell in asked if (tile := self._kept.find(of + str(cell))) is not None}
        for cell, tile in _made(fitted, [cell for cell in asked if cell not in found], 2**level, added):
            found[cell] = tile
            self._kept.add(of + str(cell), tile)
        pictures = np.stack(list(found.values()))
        sheet = as_webp(sheet_of(pictures, COLUMNS), QUALITY)
        return {
            "cells": list(found),
            "columns": COLUMNS,
            "width": pictures.shape[2],
            "height": pictures.shape[1],
            "sheet": as_base64(np.frombuffer(sheet, np.uint8)),
        }


def _checked_cells(cells: Any, side: int) -> list[tuple[int, int]]:
    if not isinstance(cells, list) or not 1 <= len(cells) <= MOST_CELLS:
        raise ValueError(f"Between 1 and {MOST_CELLS} cells are asked for at a time.")
    if not all(isinstance(cell, list) and len(cell) == 2 for cell in cells):
        raise ValueError("A cell is a column and a row.")
    return [
        (whole_number(column, "column", 0, side - 1), whole_number(row, "row", 0, side - 1)) for column, row in cells
    ]


def _made(
    fitted: FittedMap, cells: list[tuple[int, int]], side: int, added: dict[str, Any]
) -> list[tuple[tuple[int, int], np.ndarray]]:
    """The first cells with their pictures (height, width, channels), as many as `SECONDS` are enough for."""
    begun, made, known = time.perf_counter(), [], seconds_per_image(fitted.latent_map.decoder)
    batch = 1 if known is None else max(1, int(SECONDS / known))
    where = torch.tensor([[column, row] for column, row in cells] or [[]], dtype=torch.float32)
    points = ((where + 0.5) / side * 2 - 1) * torch.tensor([1.0, -1.0]) if cells else where
    while len(made) < len(cells):
        images = fitted.latent_map.render(points[len(made) : len(made) + batch], **added)
        pictures = reduced(images, *tile_size(images.shape[2], images.shape[3], None))
        made += zip(cells[len(made) :], pictures, strict=False)
        spent = time.perf_counter() - begun
        if spent > SECONDS:
            break
        batch = max(1, int((SECONDS - spent) / (spent / len(made))))
    return made
