"""Nearest neighbours, and the divergence that keeps them: what v_e learns beside bringing codes back."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["nearest", "neighbour_loss", "neighbour_slope"]


GROUP, WIDTH = 8, 0.2
"""In `neighbour_loss`: a code's neighbours reach as far as the nearest of so many others does on average; and the
distance at which points are half as likely to be neighbours as where they meet."""


def nearest(rows: Tensor, among: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (N, count) of the nearest rows of ``among`` (M, n), the nearest first; exact."""
    size = max(1, 2**24 // len(among))
    found = [torch.cdist(batch, among).topk(count, largest=False) for batch in rows.split(size)]
    return torch.cat([values for values, _ in found]), torch.cat([indices for _, indices in found])


def neighbour_loss(codes: Tensor, points: Tensor) -> Tensor:
    """How badly points keep the neighbours of codes, in nats: t-SNE's divergence (van der Maaten & Hinton 2008).

    The sum of ``p log(p / q)`` over pairs; over batches it teaches an encoder (van der Maaten 2009). p is the same for
    all pairs of neighbours and 0 for other pairs, so that no perplexity has to be solved for. Neighbours are codes
    whose squared distance is at most the product of how far each one's neighbours reach (local scaling, Zelnik-Manor &
    Perona 2004), about 8 percent of all. q is proportional to ``1 / (1 + (d / 0.2)^2)``.

    Args:
        codes: (N, n), N at least 3.
        points: (N, dim).
    """
    p, likeness = _neighbour_share(codes), _point_likeness(points)
    q = (likeness / likeness.sum()).clamp(min=1e-30)
    return (p * (p.clamp(min=1e-30) / q).log()).sum()


def neighbour_slope(codes: Tensor, points: Tensor) -> Tensor:
    """The slope (N, dim) of `neighbour_loss` by the points."""
    likeness = _point_likeness(points)
    pairs = _neighbour_share(codes).sub_(likeness / likeness.sum()).mul_(likeness)
    sums = torch.cat([points.T, torch.ones_like(points.T[:1])]) @ pairs  # symmetric, and faster from the left
    return (4 / WIDTH**2) * (sums[-1] * points.T - sums[:-1]).T


def _neighbour_share(codes: Tensor) -> Tensor:
    """Of `neighbour_loss`, p (N, N): equal shares of 1 for the pairs of neighbours, if there are any."""
    squared, count = _squared_distances(codes), len(codes)
    size = min(GROUP, count)
    groups = squared[: count // size * size].view(size, -1, count)
    reach = groups.amin(0).mean(0).clamp(min=0).sqrt()
    near = squared.le_(reach.unsqueeze(1) * reach)
    return near.div_(near.sum().clamp(min=1))


def _point_likeness(points: Tensor) -> Tensor:
    return (1 + _squared_distances(points / WIDTH)).reciprocal()


def _squared_distances(rows: Tensor) -> Tensor:
    """Between rows (N, n), but for rounding; each is infinitely far from itself."""
    squares = rows.square().sum(1)
    return torch.addmm(squares.unsqueeze(1) + squares, rows, rows.T, alpha=-2).fill_diagonal_(math.inf)
