"""Codes that a visitor selects, as a file to keep."""

from __future__ import annotations

import base64
import binascii
import io
import math
from typing import Any

import numpy as np
import torch

from latent_vizae.demos.page.columns import column_of, found_in
from latent_vizae.demos.page.fitted import shown_rows
from latent_vizae.demos.page.maps import Maps
from latent_vizae.sharing.described import as_base64

__all__ = ["Selecting"]

MOST_BYTES = 2**26
"""Of codes in a file that is made while one waits."""


class Selecting:
    """What the page asks for about codes: their columns, a search in them, and those selected."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    def column(self, map_id: Any, number: Any) -> dict[str, Any]:
        """See `column_of`."""
        return column_of(self._maps.get(map_id), number)

    def find(self, map_id: Any, text: Any) -> dict[str, Any]:
        """See `found_in`."""
        return found_in(self._maps.get(map_id), text)

    def chosen(self, map_id: Any, rows: Any) -> dict[str, Any]:
        """A file of codes.

        Args:
            map_id: of the map.
            rows: which of the codes that are shown, uint32 as base64.

        Returns:
            file: base64 of a .npz with ``indices`` (rows of the codes that were fitted), ``codes``, ``points`` and,
            where there are some, ``labels``.

        Raises:
            ValueError: none or other codes, or more than 64 MB of them.
        """
        fitted = self._maps.get(map_id)
        v = fitted.latent_map.v
        shown = shown_rows(len(v.points))
        try:
            given = base64.b64decode(rows if isinstance(rows, str) else "", validate=True)
            wanted = np.frombuffer(given, "<u4").astype(np.int64)
        except (binascii.Error, ValueError) as error:
            raise ValueError("Codes are told by their numbers.") from error
        if not len(wanted) or wanted.max() >= len(shown):
            raise ValueError("Select some codes of this map first.")
        size = 4 * len(wanted) * math.prod(v.latent_shape)
        if size > MOST_BYTES:
            raise ValueError(
                f"These {len(wanted):,} codes are {size / 1e6:,.0f} MB; {MOST_BYTES / 1e6:.0f} MB are made here. Save "
                "their numbers, and take the codes from your own: codes[numbers]."
            )
        indices = shown[torch.from_numpy(np.unique(wanted))]
        arrays = {
            "indices": indices.numpy(),
            "codes": fitted.codes_at(indices).numpy(),
            "points": v.points[indices].float().cpu().numpy(),
        }
        if fitted.labels is not None:
            arrays["labels"] = fitted.labels[indices].cpu().numpy()
        file = io.BytesIO()
        np.savez(file, **arrays)
        return {"file": as_base64(np.frombuffer(file.getvalue(), np.uint8)), "count": len(indices)}
