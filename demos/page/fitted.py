"""A map as the page keeps it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from latent_vizae import LatentMap, VizAE
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.page.kept import Kept
from latent_vizae.inputs.columns import Column

__all__ = ["FittedMap", "Question", "image_shape_of", "lasting_id", "plain", "quality", "shown_rows"]

MOST_PICTURES, PICTURE_BYTES = 4096, 2**26
"""Pictures of points of one map, and of its codes, that are kept for all visitors, where its decoder is slow."""
MOST_DRAWN = 2_000_000
"""Codes that the page draws: 16 MB to send, and a million take 30 ms to draw."""


@dataclass(eq=False)
class Question:
    """A point under a pointer, and its support (1,) and image (1, C, H, W), which are to come."""

    point: list[float]
    taken: bool = False
    answer: Future[tuple[Tensor, Tensor]] = field(default_factory=Future)


@dataclass
class FittedMap:
    """A map with what the page shows of it."""

    title: str
    latent_map: LatentMap
    codes: Tensor | None  # None where v keeps none: then what it decodes its points to
    labels: Tensor | None
    text: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    name: str | None = None  # on the Hub
    names: dict[int, str] | None = None  # of labels that are not called what they are
    columns: list[Column] = field(default_factory=list)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[str, Iterator[dict[str, Any]]] = field(default_factory=dict)  # layers that are not whole
    classifier: Any = None
    questions: deque[Question] = field(default_factory=deque)
    pictures: Kept[tuple[Tensor, Tensor]] = field(default_factory=lambda: Kept(MOST_PICTURES, PICTURE_BYTES))
    thumbs: Kept[Tensor] = field(default_factory=lambda: Kept(MOST_PICTURES, PICTURE_BYTES))  # of codes, by row
    paths: Kept[dict[bytes, Tensor]] = field(default_factory=lambda: Kept(8, PICTURE_BYTES))  # images by code
    cycles: Tensor | None = None  # errors on a grid, see supports.py
    cycles_measured: Any = None  # the task
    seconds: float = 1.0  # that a picture took last
    start: list[float] | None = None  # the point that is looked at first
    image_shape: tuple[int, int, int] | None = None
    takes_strokes: bool | None = None  # of a pen, see pen.py

    def codes_at(self, rows: Tensor | slice) -> Tensor:
        """Codes (rows, *latent_shape): the fitted ones, or what the map decodes their points to."""
        if self.codes is not None:
            return self.codes[rows]
        v = self.latent_map.v
        return v.decode(v.points[rows]).cpu()


def shown_rows(count: int, most: int = MOST_DRAWN) -> Tensor:
    """The rows of a map that are shown: all, or so many drawn evenly; ascending."""
    if count <= most:
        return torch.arange(count)
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most]
    return chosen.sort().values


def image_shape_of(fitted: FittedMap) -> tuple[int, int, int]:
    """Channels, height and width of the decoder's images; found once."""
    if fitted.image_shape is None:
        shape = getattr(fitted.latent_map.decoder, "image_shape", None)
        if shape is None:
            shape = decode_images(fitted.latent_map.decoder, fitted.codes_at(slice(1))).shape[1:]
        fitted.image_shape = int(shape[0]), int(shape[1]), int(shape[2])
    return fitted.image_shape


def lasting_id(v: VizAE) -> str:
    """The id of a map that the server brings along, the same after a restart: a digest of v's weights and points."""
    digest = hashlib.sha256()
    for name, tensor in sorted(v.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def plain(text: str) -> str:
    """Somebody's text for Markdown, which then makes neither HTML nor a link of it."""
    return re.sub(r"([^\w\s])", lambda mark: f"&#{ord(mark.group())};", text)


def quality(v: VizAE) -> str:
    """One sentence on how much of its codes a map shows."""
    if v.report is None:
        return f"{len(v.points)} codes."
    flat = {1: "a straight line", 2: "a flat map", 3: "a linear map"}[v.dim]
    shown = f"This map shows {_share(v.report.fvu)} of what the codes differ by"
    unseen = "" if v.report.fvu_held_out is None else f"; of unseen codes {_share(v.report.fvu_held_out)}"
    codes = (
        f"{v.report.k:,} codes of {v.report.n:,} numbers" if v.report.k > 1 else f"1 code of {v.report.n:,} numbers"
    )
    return f"{codes}. {shown}{unseen}; {flat} would show {_share(v.report.fvu_pca)}."


def _share(fvu: float) -> str:
    """``1 - fvu`` in percent; all of it only where it is."""
    percent = 100 * (1 - min(max(fvu, 0.0), 1.0))
    return "over 99 %" if 99.5 <= percent < 99.995 else f"{percent:.0f} %"
