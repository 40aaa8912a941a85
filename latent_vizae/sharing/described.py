"""What the map's JavaScript draws, as JSON: the codes' points, their labels and columns, words."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.columns import Columns, as_columns
from latent_vizae.inputs.names import Names, shown_labels

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["MOST_DRAWN", "as_base64", "described"]

MOST_DRAWN = 200_000
"""Points in the file; of more codes it holds so many, drawn evenly, and their numbers."""
MOST_WORDS = 2**16


def described(
    m: LatentMap,
    labels: ArrayLike | None,
    names: Names,
    title: str | None,
    columns: Columns = None,
    most_points: int = MOST_DRAWN,
) -> dict[str, Any]:
    """What the component draws: points, words, what colours the codes (labels, columns); of very many codes a part.

    Raises:
        ValueError: labels or a column of another length or of too many different words, or a v without points.
        TypeError: a title that is no text, a column of other things than words and numbers.
    """
    v = m.v
    count = len(v.points)
    if count == 0:
        raise ValueError("This v has no points, so there is no map to show.")
    if not isinstance(title, str | None):
        raise TypeError(f"title is text, got {type(title).__name__}.")
    index, _, called = shown_labels(v, labels, names)
    rows = _rows(count, most_points)
    points = v.points.detach().float().cpu()[rows]
    note = "" if len(rows) == count else f"{len(rows):,} of {count:,} codes are in this file, drawn evenly."
    tints = [] if index is None else [_tint("labels", "label", index[rows], called)]
    tints += [_tint(str(at), c.name, c.values[rows], c.words) for at, c in enumerate(as_columns(columns, count))]
    center = points[(points - points.median(0).values).norm(dim=1).argmin()]
    return {
        "title": title or f"A map of {count:,} latent codes",
        "text": _summary(m),
        "note": note,
        "dim": v.dim,
        "points": as_base64((points.clamp(-1, 1) * 32767).round().numpy().astype("<i2")),
        "rows": None if len(rows) == count else as_base64(rows.numpy().astype("<u4")),
        "tints": tints,
        "start": [round(x, 4) for x in center.tolist()],
    }


def _tint(key: str, name: str, values: Tensor, words: list[str] | None) -> dict[str, Any]:
    """What colours the codes: rows of words as uint16, or numbers as float32 with NaN."""
    if words is None:
        return {"key": key, "name": name, "words": None, "values": as_base64(values.numpy().astype("<f4"))}
    if len(words) > MOST_WORDS:
        raise ValueError(f"A map is coloured by at most {MOST_WORDS:,} different words; {name!r} has {len(words):,}.")
    return {"key": key, "name": name, "words": words, "values": as_base64(values.numpy().astype("<u2"))}


def _summary(m: LatentMap) -> str:
    v, report = m.v, m.v.report
    n = int(np.prod(v.latent_shape))
    words = f"{len(v.points):,} codes of {n:,} numbers on a {v.dim}-D map"
    if v.source:
        words += f", decoder {v.source}" if not Path(v.source.partition(":")[2] or v.source).is_absolute() else ""
    if report is not None:
        unseen = (
            "" if report.fvu_held_out is None else f" (of codes it was not fitted to: {1 - report.fvu_held_out:.0%})"
        )
        words += f". It shows {1 - report.fvu:.0%} of what the codes differ by{unseen}"
    return f"{words}."


def _rows(count: int, most: int) -> Tensor:
    if count <= most:
        return torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order[:most].sort().values


def as_base64(values: np.ndarray) -> str:
    """The bytes of an array, as they are."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
