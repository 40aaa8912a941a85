"""Measures of a map: pure functions of tensors, each with its formula and its range."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "continuity",
    "fvu",
    "image_error",
    "map_width",
    "mean_square",
    "path_evenness",
    "pca_fvu",
    "round_trip_error",
    "rounding",
    "scale_normalised_stress",
    "shepard_rho",
    "trustworthiness",
    "unexplained",
]


VALUES_AT_ONCE = 2**22
"""Distances held at a time: 32 MiB in double precision, and some copies of them."""


def _require_alike(one: Tensor, other: Tensor, name: str, other_name: str) -> None:
    if one.shape != other.shape:  # broadcasting would give a number, and a wrong one
        raise ValueError(
            f"{name} and {other_name} have the same shape, got {tuple(one.shape)} and {tuple(other.shape)}."
        )


def fvu(codes: Tensor, decoded: Tensor, mean: Tensor | None = None) -> float:
    """Fraction of variance unexplained, ``sum |z - z'|^2 / sum |z - mean|^2``; 0 is best, 1 is a constant map.

    One minus the coefficient of determination R^2, all values of a code together.

    Args:
        codes: (k, n).
        decoded: (k, n), their reconstructions.
        mean: (n,), that of the training codes where ``codes`` are held out; by default that of ``codes``.

    Returns:
        0 or more. For codes without variance 0 if they are reconstructed up to rounding, else infinity. What is
        rounding is judged for each value of a code by itself (`unexplained`).

    Raises:
        ValueError: not one decoded code per code.
    """
    _require_alike(codes, decoded, "codes", "decoded")
    codes, decoded = codes.double(), decoded.double()
    centred = codes - (codes.mean(0) if mean is None else mean.double())
    return unexplained((codes - decoded).square().sum(0), centred.square().sum(0), rounding(codes))


FLOAT32, TWICE, FORGIVEN = 2.0**-23, 2, 64
"""Steps of float32 as a share of a value; codes are rounded, and decoded codes once more; the squared error that
counts as nothing in a column without variance, in units of `rounding`: about three steps."""


def rounding(codes: Tensor) -> Tensor:
    """Sum over codes of the squares of what rounding to float32 changes at most on average, of each column.

    Twice the variance ``step^2 / 12`` of an error that is even between two values of float32 (Widrow 1956).

    Args:
        codes: (k, n).

    Returns:
        (n,) float64. Sums of parts add up.
    """
    sizes: Tensor = torch.linalg.vector_norm(codes, dim=0, dtype=torch.float64)
    return (FLOAT32 * sizes).square() * (TWICE / 12)


def unexplained(error: Tensor, variance: Tensor, rounding: Tensor) -> float:
    """FVU from sums over codes, of each column: errors squared, deviations from the mean squared, and `rounding`.

    A column that varies by no more than rounding has no variance, whatever the others are, and where it comes back up
    to rounding no error either: an id or a Unix time that all rows share neither hides what the others lack, nor adds
    to it.

    Args:
        error: (n,).
        variance: (n,).
        rounding: (n,).

    Returns:
        0 or more; infinity for codes without variance that do not come back.
    """
    still = variance <= rounding
    lost = error[~(still & (error <= (FORGIVEN * rounding).clamp(min=1e-300)))].sum().item()
    total = variance[~still].sum().item()
    if total == 0:
        return 0.0 if lost == 0 else float("inf")
    return lost / total


def pca_fvu(codes: Tensor, dim: int) -> float:
    """FVU of the best linear map of that dimension; in [0, 1], 0 is best.

    ``1 - sum of the first dim eigenvalues / sum of all`` of the codes' covariance (Eckart & Young 1936).

    Args:
        codes: (k, n).
        dim: dimension of the linear map.
    """
    centred = codes.double() - codes.double().mean(0)
    small = centred.T @ centred if centred.shape[1] <= centred.shape[0] else centred @ centred.T
    values = torch.linalg.eigvalsh(small).flip(0).clamp(min=0)
    total = values.sum().item()
    return values[dim:].sum().item() / total if total > 0 else 0.0


def mean_square(one: Tensor, other: Tensor) -> Tensor:
    """Mean over all numbers of the squared difference, with gradients."""
    return (one - other).square().mean()


def image_error(images: Tensor, others: Tensor) -> float:
    """Mean over images and pixels of the squared difference; in [0, 1], 0 is best.

    Args:
        images: (k, C, H, W) in [0, 1].
        others: (k, C, H, W) in [0, 1], their counterparts.

    Raises:
        ValueError: images of different number or size.
    """
    _require_alike(images, others, "images", "others")
    return mean_square(images.float(), others.float()).item()


def trustworthiness(codes: Tensor, points: Tensor, neighbours: int = 7) -> float:
    """Whether neighbours on the map are neighbours among the codes; in [0, 1], 1 is best.

    ``1 - 2 / (N k (2N - 3k - 1)) * sum_i sum_j max(0, r(i, j) - k)`` over the k nearest j of every i on the map,
    ``r(i, j)`` the rank of j among the codes by distance from i, 1 for the nearest (Venna & Kaski 2001, "Neighborhood
    preservation in nonlinear projection methods"). Exact; memory grows with N, not with its square, time with its
    square.

    Args:
        codes: (N, n).
        points: (N, d).
        neighbours: k, size of a neighbourhood, below N / 2.

    Raises:
        ValueError: too many neighbours for so few codes, or not one point per code.
    """
    count = len(codes)
    if len(points) != count:
        raise ValueError(f"There is one point per code, got {count} codes and {len(points)} points.")
    if not 1 <= neighbours < count / 2:
        raise ValueError(f"neighbours is at least 1 and below half of the {count} codes, got {neighbours}.")
    reference, proposed = codes.detach().double(), points.detach().double()
    excess = 0
    for rows in torch.arange(count).split(max(1, VALUES_AT_ONCE // count)):
        nearest = _distances(proposed, rows).topk(neighbours + 1, largest=False).indices[:, 1:]
        ranks = _ranks(_distances(reference, rows), nearest.to(reference.device))
        excess += int((ranks - neighbours).clamp(min=0).sum().item())
    return 1 - 2 / (count * neighbours * (2 * count - 3 * neighbours - 1)) * excess


def continuity(codes: Tensor, points: Tensor, neighbours: int = 7) -> float:
    """Whether neighbours among the codes are neighbours on the map: `trustworthiness` with the roles swapped.

    Args:
        codes: (N, n).
        points: (N, d).
        neighbours: k, size of a neighbourhood, below N / 2.

    Raises:
        ValueError: too many neighbours for so few codes, or not one point per code.
    """
    return trustworthiness(points, codes, neighbours)


def _distances(data: Tensor, rows: Tensor) -> Tensor:
    """(len(rows), N) distances of some rows of data from all; from itself -1, so that each is its own nearest."""
    distances = torch.cdist(data[rows], data)
    return distances.scatter_(1, rows.to(data.device).unsqueeze(1), -1.0)


def _ranks(distances: Tensor, which: Tensor) -> Tensor:
    """(B, k) ranks of the columns ``which`` (B, k) in each row of distances (B, N): the number of nearer columns."""
    wanted = distances.gather(1, which)
    if distances.device.type == "cpu":
        ordered = torch.from_numpy(np.sort(distances.numpy(), axis=1))  # ten times as fast as torch's
    else:
        ordered = distances.sort(1).values
    return torch.searchsorted(ordered, wanted)


def scale_normalised_stress(codes: Tensor, points: Tensor) -> float:
    """How far distances on the map are from those of the codes, at the map's best scale; in [0, 1], 0 is best.

    ``min over a > 0 of sqrt(sum (d - a d')^2 / sum d^2)`` over all pairs, d the distances of codes and d' those of
    points; the least is at ``a = sum d d' / sum d'^2`` (Smelser, Miller & Kobourov 2024, "Normalized stress is not
    normalized"). Memory grows with the square of N.

    Args:
        codes: (N, n), N >= 2.
        points: (N, d).

    Raises:
        ValueError: fewer than two codes, or not one point per code.
    """
    ours, theirs = _pairs(codes, points)
    sizes = ours.square().sum() * theirs.square().sum()
    if sizes == 0:  # all codes, or all points, at one place
        return 1.0 if ours.any() else 0.0
    return (1 - (ours @ theirs) ** 2 / sizes).clamp(min=0).sqrt().item()


def shepard_rho(codes: Tensor, points: Tensor) -> float:
    """Whether what is farther apart among the codes is farther apart on the map; in [-1, 1], 1 is best.

    Spearman's rank correlation of the distances of all pairs, which the Shepard diagram shows (Shepard 1962; Espadoto
    et al. 2019, "Toward a quantitative survey of dimension reduction techniques"). Memory grows with the square of N.

    Args:
        codes: (N, n), N >= 3.
        points: (N, d).

    Returns:
        NaN where all distances of one kind are the same.

    Raises:
        ValueError: fewer than two codes, or not one point per code.
    """
    ranks = torch.stack([_mean_ranks(distances) for distances in _pairs(codes, points)])
    return torch.corrcoef(ranks)[0, 1].item()


def _pairs(codes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distances of all pairs of codes and of points, each pair once."""
    if len(points) != len(codes) or len(codes) < 2:
        raise ValueError(f"There is one point per code, at least two, got {len(codes)} and {len(points)}.")
    return torch.pdist(codes.detach().double()), torch.pdist(points.detach().double())


def _mean_ranks(values: Tensor) -> Tensor:
    """Ranks of values (N,), those of equal values their mean."""
    _, which, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    mean: Tensor = (ends - (counts.double() - 1) / 2)[which]
    return mean


def round_trip_error(points: Tensor, back: Tensor) -> float:
    """Root mean square distance of points from themselves decoded and encoded, in map units; 0 is best.

    ``sqrt(mean |p - p'|^2)`` with ``p' = v_e(v_d(p))``: 0 for a map that is one-to-one at these points. Divided by
    `map_width` it compares maps of different scale. Ko et al. (2023) assume that it is 0.

    Args:
        points: (P, d).
        back: (P, d), the same points decoded and encoded again.

    Raises:
        ValueError: not as many points.
    """
    _require_alike(points, back, "points", "back")
    return (points.double() - back.double()).square().sum(1).mean().sqrt().item()


def map_width(points: Tensor) -> float:
    """Largest extent of the points along an axis, in map units; 2 at most for the fitted codes of a v.

    Args:
        points: (P, d), P >= 1.
    """
    low, high = points.double().aminmax(dim=0)
    return (high - low).max().item()


def path_evenness(images: Tensor) -> float:
    """Standard deviation over mean of the image change (root mean square over pixels) from frame to frame.

    The coefficient of variation of the pace; a geodesic has a constant pace.

    Args:
        images: (frames, C, H, W), at least 3.

    Returns:
        0 or more; 0 is a constant pace (or images that are all the same).

    Raises:
        ValueError: fewer than 3 images, so that no two changes could differ.
    """
    if len(images) < 3:
        raise ValueError(f"A pace takes at least 3 images of a path, got {len(images)}.")
    steps = (images[1:] - images[:-1]).flatten(1).double().square().mean(1).sqrt()
    mean = steps.mean().item()
    return steps.std(unbiased=False).item() / mean if mean > 0 else 0.0
