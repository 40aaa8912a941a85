"""What is known of places of a map: support, how typical their codes are, and the share of images they explain."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from latent_vizae.inputs.checks import as_whole
from latent_vizae.model.vizae import NO_DETAIL, VizAE

__all__ = ["Typicality", "explained_share", "support", "typicality"]


SUPPORT_POINTS = 4096

REFERENCES, TAIL = 1000, 0.01
"""Codes that decoded ones are compared with; the share of them on either side that does not count as typical."""


class Typicality(NamedTuple):
    """Mahalanobis lengths of codes: of decoded ones, and of those that the decoder is given.

    Attributes:
        lengths: (P,) of decoded codes, relative to the median of the others: 1 is typical, 0 the mean of the codes.
        low: the length that 1 percent of the others are below.
        high: the length that 1 percent are above.
    """

    lengths: Tensor
    low: float
    high: float

    @property
    def typical(self) -> Tensor:
        """(P,) bool: whether each length is one of codes of the decoder."""
        return (self.lengths >= self.low) & (self.lengths <= self.high)


@torch.no_grad()
def support(v: VizAE, points: Tensor, cycle: Tensor | None = None) -> Tensor:
    """Trust (P,) in points (P, d) of a map that has points; see `LatentMap.support`."""
    known = v.points
    if len(known) > SUPPORT_POINTS:
        order = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))
        known = known[order[:SUPPORT_POINTS].to(known.device)]
    spacing = 2 / max(len(known), v.dim + 1) ** (1 / v.dim)
    nearest = torch.cat([torch.cdist(batch, known).amin(1) for batch in points.split(4096)])
    if cycle is None:
        cycle = (v.encode(v.decode(points, detail=0.0)) - points).norm(dim=1)
    return torch.exp(-0.5 * (torch.maximum(nearest, cycle) / spacing).square())


@torch.no_grad()
def typicality(v: VizAE, codes: Tensor) -> Typicality:
    """How typical codes (P, *latent_shape) are; see `Typicality`. Raises ValueError for a v without detail."""
    if v.field is None or len(v.points) == 0:
        raise ValueError(NO_DETAIL.format("how typical its codes are"))
    known = v.points[:: -(-len(v.points) // REFERENCES)]
    others = v.field.lengths(v.sample(known).flatten(1), v.coordinates)
    middle = others.median()
    low, high = (others / middle).quantile(torch.tensor([TAIL, 1 - TAIL]).to(others)).tolist()
    return Typicality(v.field.lengths(codes.flatten(1), v.coordinates) / middle, low, high)


def explained_share(images: Tensor, draws: int) -> Tensor:
    """Share of image variance that a place explains: ``1 - variance of the images at a place / variance of all``.

    The law of total variance. Of all images, place by place, those of a place are ``draws`` in a row.

    Args:
        images: (P * draws, C, H, W).
        draws: at least 2.

    Returns:
        (P,) at most 1; below 0 where images at a place differ by more than images do.
    """
    count = as_whole(draws, "draws", 2)
    rows = images.flatten(1).double()
    total = rows.var(0).sum()
    within = rows.unflatten(0, (-1, count)).var(1).sum(1)
    return torch.where(total > 0, 1 - within / total.clamp(min=1e-300), torch.ones_like(within)).float()
