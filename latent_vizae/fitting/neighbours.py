"""Nearest neighbours, and a layout that keeps them: where v_e is to put codes, roughly, before it is trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["nearest", "neighbour_layout", "neighbour_loss", "neighbour_slope"]


NEIGHBOURS, ROUNDS, OTHERS = 15, 60, 64

REACH = 0.03
"""How far neighbours reach in the layout: of many codes, to so large a share of all."""

GROUP, WIDTH = 8, 0.2
"""In `neighbour_loss`: a code's neighbours reach as far as the nearest of so many others does on average; and the
distance at which points are half as likely to be neighbours as where they meet."""


def nearest(rows: Tensor, among: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (N, count) of the nearest rows of ``among`` (M, n), the nearest first; exact."""
    size = max(1, 2**24 // len(among))
    found = [torch.cdist(batch, among).topk(count, largest=False) for batch in rows.split(size)]
    return torch.cat([values for values, _ in found]), torch.cat([indices for _, indices in found])


def neighbour_layout(codes: Tensor, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of a few thousand codes that keep their neighbours, in the manner of UMAP (McInnes et al. 2018).

    The graph is UMAP's, of 15 neighbours, but these reach as far in large sets as in small ones: of 4,000 codes every
    eighth of the nearest 120. The nearest alone make a rougher layout, harder to learn. Each code's distances are
    scaled so that their likenesses sum to log2(15), joined as fuzzy sets. The layout starts from the principal
    components and moves all points at once, drawn to their neighbours and away from 64 random points by the slopes of
    UMAP's cross entropy with the likeness ``1 / (1 + d^2)``; 60 rounds.

    Args:
        codes: (N, n), N at least 3.
        dim: dimension of the map.
        generator: source of the randomness, on the CPU.

    Returns:
        Points (N, dim) of mean 0 and unit variance, and each code's nearest others (N, 15 or fewer), nearest first.
    """
    codes = codes - codes.mean(0)
    codes = codes / codes.std().clamp(min=1e-30)
    every = max(1, round(REACH * len(codes) / NEIGHBOURS))
    count = min(NEIGHBOURS * every, len(codes) - 1)
    distances, others = (found[:, 1:] for found in nearest(codes, codes, count + 1))
    start, end, likeness = _joined(_likeness(distances[:, ::every]), others[:, ::every])
    degree = torch.zeros(len(codes)).to(codes).index_add_(0, start, likeness)
    points = codes @ torch.linalg.eigh(codes.T @ codes)[1].flip(1)[:, :dim]
    points = (5 * points / points.std().clamp(min=1e-12)).T.contiguous()
    first, second = torch.zeros_like(points), torch.zeros_like(points)
    for turn in range(ROUNDS):
        apart = points.index_select(1, start) - points.index_select(1, end)
        apart *= 2 * likeness / (1 + apart.square().sum(0))
        slope = torch.zeros_like(points).index_add_(1, start, apart)
        drawn = points[:, torch.randint(len(codes), (OTHERS,), generator=generator).to(points.device)]
        squared = (points.T.unsqueeze(1) - drawn.T).square().sum(2)
        push = (10 / OTHERS * degree).unsqueeze(1) / ((0.001 + squared) * (1 + squared))
        slope -= push.sum(1) * points - drawn @ push.T
        first.lerp_(slope, 0.2)
        second.mul_(0.95).addcmul_(slope, slope, value=0.05)
        step = (first / (1 - 0.8 ** (turn + 1))) / ((second / (1 - 0.95 ** (turn + 1))).sqrt() + 1e-8)
        points -= (1 - turn / ROUNDS) * step
    points = points.T - points.T.mean(0)
    return points / points.std().clamp(min=1e-12), others[:, :NEIGHBOURS]


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


def _likeness(distances: Tensor) -> Tensor:
    """UMAP's likeness (N, k) of each code to its neighbours: ``exp(-(d - nearest) / s)``, summing to log2(k)."""
    beyond = distances - distances[:, :1]
    low, high = torch.zeros_like(beyond[:, :1]), torch.full_like(beyond[:, :1], math.inf)
    scale = distances.mean().clamp(min=1e-12).expand_as(low)
    for _ in range(40):
        too_wide = torch.exp(-beyond / scale).sum(1, keepdim=True) > math.log2(max(2, distances.shape[1]))
        low, high = torch.where(too_wide, low, scale), torch.where(too_wide, scale, high)
        scale = torch.where(high.isinf(), 2 * scale, (low + high) / 2).clamp(min=1e-12)
    return torch.exp(-beyond / scale)


def _joined(likeness: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The graph as pairs in both directions (start, end), with likeness ``a + b - a b``."""
    count, neighbours = others.shape
    start, end = torch.arange(count, device=others.device).repeat_interleave(neighbours), others.flatten()
    pairs, where = torch.cat([start * count + end, end * count + start]).unique(return_inverse=True)
    there, back = (
        torch.zeros(len(pairs)).to(likeness).index_add_(0, part, likeness.flatten())
        for part in where.split(len(start))
    )
    return pairs // count, pairs % count, there + back - there * back
