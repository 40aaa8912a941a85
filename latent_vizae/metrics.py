"""Measures of a map: pure functions of tensors, each with its formula and its range."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["continuity", "fvu", "image_error", "path_evenness", "pca_fvu", "trustworthiness"]


def fvu(codes: Tensor, decoded: Tensor, mean: Tensor | None = None) -> float:
    """Fraction of variance unexplained, ``sum |z - z'|^2 / sum |z - mean|^2``; 0 is best, 1 is a constant map.

    Args:
        codes: (k, n).
        decoded: (k, n), what came back for them.
        mean: (n,), of the training codes where ``codes`` are held out; by default that of ``codes``.

    Returns:
        0 or more. Codes without variance give 0 where they come back to rounding, infinity where not.
    """
    codes, decoded = codes.double(), decoded.double()
    centred = codes - (codes.mean(0) if mean is None else mean.double())
    error, variance = (codes - decoded).square().sum().item(), centred.square().sum().item()
    rounding = 1e-12 * codes.square().sum().item()
    if variance <= rounding:
        return 0.0 if error <= max(rounding, 1e-300) else float("inf")
    return error / variance


def pca_fvu(codes: Tensor, dim: int) -> float:
    """What the best linear map of that dimension leaves unexplained: ``1 - sum of the first dim eigenvalues / all``.

    Args:
        codes: (k, n).
        dim: dimension of the linear map.
    """
    centred = codes.double() - codes.double().mean(0)
    small = centred.T @ centred if centred.shape[1] <= centred.shape[0] else centred @ centred.T
    values = torch.linalg.eigvalsh(small).flip(0).clamp(min=0)
    total = values.sum().item()
    return values[dim:].sum().item() / total if total > 0 else 0.0


def image_error(images: Tensor, others: Tensor) -> float:
    """Mean over images and pixels of the squared difference; images (k, C, H, W) in [0, 1], so in [0, 1]."""
    return (images.float() - others.float()).square().mean().item()


def _ranks(data: Tensor) -> Tensor:
    """(N, N) rank of j among i's neighbours, nearest first: 1 for the nearest, 0 for i itself."""
    distances = torch.cdist(data, data)
    distances.fill_diagonal_(-1)
    order = distances.argsort(dim=1, stable=True)
    ranks = torch.empty_like(order)
    return ranks.scatter_(1, order, torch.arange(len(data), device=data.device).expand_as(order))


def _penalty(judge: Tensor, proposed: Tensor, neighbours: int) -> float:
    """1 - 2 / (N k (2N - 3k - 1)) * sum of (judge's rank - k) over the proposed k neighbours."""
    count = len(judge)
    if not 1 <= neighbours < count / 2:
        raise ValueError(f"neighbours is at least 1 and below half of the {count} codes, got {neighbours}.")
    is_neighbour = (proposed >= 1) & (proposed <= neighbours)
    excess = (judge - neighbours).clamp(min=0)[is_neighbour].sum().item()
    return 1 - 2 / (count * neighbours * (2 * count - 3 * neighbours - 1)) * excess


def trustworthiness(codes: Tensor, points: Tensor, neighbours: int = 7) -> float:
    """Whether neighbours on the map are neighbours in truth (Venna & Kaski 2001); in [0, 1], 1 is best.

    Args:
        codes: (N, n).
        points: (N, d).
        neighbours: size of a neighbourhood, below N / 2.

    Raises:
        ValueError: too many neighbours for so few codes.
    """
    return _penalty(_ranks(codes.double()), _ranks(points.double()), neighbours)


def continuity(codes: Tensor, points: Tensor, neighbours: int = 7) -> float:
    """Whether neighbours in truth are neighbours on the map: `trustworthiness` with the roles swapped."""
    return trustworthiness(points, codes, neighbours)


def path_evenness(images: Tensor) -> float:
    """Standard deviation over mean of the image change (root mean square over pixels) from frame to frame.

    Args:
        images: (frames, C, H, W), at least 3.

    Returns:
        0 or more; 0 is a constant pace (or images that are all the same).
    """
    steps = (images[1:] - images[:-1]).flatten(1).double().square().mean(1).sqrt()
    mean = steps.mean().item()
    return steps.std(unbiased=False).item() / mean if mean > 0 else 0.0
