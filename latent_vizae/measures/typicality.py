"""How typical codes are of a distribution: pure functions of codes, each with its formula and its source.

Points of a map decode to codes. These are compared with reference codes of the generator: draws of its prior, or
held-out codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["distance_ratio", "energy_distance", "energy_test", "mahalanobis_lengths", "norm_ratio"]


VALUES_AT_ONCE = 2**22
"""Numbers of the larger set that distances are taken from at a time: 32 MiB in double precision."""


def _require_rows(least: int, **sets: Tensor) -> None:
    lengths = {rows.flatten(1).shape[1] if rows.dim() > 1 else None for rows in sets.values()}
    if None in lengths or len(lengths) > 1 or min(map(len, sets.values())) < least:
        shapes = " and ".join(f"{name} of shape {tuple(rows.shape)}" for name, rows in sets.items())
        raise ValueError(f"These are sets of at least {least} rows of the same length; got {shapes}.")


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean distances (N, M) in double precision between rows (N, ...) and (M, ...), a bounded part at a time."""
    one, other = one.flatten(1), other.flatten(1)
    size = max(1, VALUES_AT_ONCE // other.shape[1])
    parts = [torch.cdist(one.double(), part.double()) for part in other.split(size)]
    return torch.cat(parts, 1)


def norm_ratio(codes: Tensor, others: Tensor) -> float:
    """Mean norm of codes over that of others, ``mean |z| / mean |z'|``; 1 is as far from the origin as they are.

    A prior N(0, I) in R^n lies on a shell of radius ``sqrt(n)``, to within 0.7. Codes well inside of it have a
    negligible probability.

    Args:
        codes: (k, ...).
        others: (m, ...), codes of the generator.

    Raises:
        ValueError: no codes, or of another length.
    """
    _require_rows(1, codes=codes, others=others)
    norms = [rows.flatten(1).double().norm(dim=1).mean().item() for rows in (codes, others)]
    return norms[0] / norms[1] if norms[1] > 0 else 1.0 if norms[0] == 0 else float("inf")


def mahalanobis_lengths(codes: Tensor, others: Tensor) -> Tensor:
    """Length of each code in units of the others' spread, ``sqrt((z - m)^T C^+ (z - m) / rank C)``.

    Typical codes have about 1. m and C are the mean and the covariance of the others (Mahalanobis 1936), C^+ its
    pseudo-inverse: directions with less than a millionth of the greatest variance count as none.

    Args:
        codes: (k, r), in the frame of a v or as they are.
        others: (m, r), m well above r.

    Returns:
        (k,) float64.

    Raises:
        ValueError: fewer than 2 others, or codes of another length.
    """
    _require_rows(1, codes=codes, others=others)
    _require_rows(2, others=others)
    one, other = codes.flatten(1).double(), others.flatten(1).double()
    mean = other.mean(0)
    values, vectors = torch.linalg.eigh((other - mean).T @ (other - mean) / (len(other) - 1))
    kept = values > 1e-6 * values[-1].clamp(min=0)
    inside = (one - mean) @ vectors[:, kept]
    lengths: Tensor = (inside.square() / values[kept]).sum(1).div(max(1, int(kept.sum()))).sqrt()
    return lengths


def distance_ratio(codes: Tensor, others: Tensor, known: Tensor) -> float:
    """Unlikeness: mean distance of codes to the nearest known one, divided by that of others; 1 is as unlike as these.

    Below 1 codes are near the known ones or their middle, above 1 they lie outside. Rows are codes or images.

    Args:
        codes: (k, ...).
        others: (m, ...), new ones of the generator.
        known: (l, ...), of the generator as well, apart from the others.

    Raises:
        ValueError: an empty set, or rows of different lengths.
    """
    _require_rows(1, codes=codes, others=others, known=known)
    near = [distances(known, rows).amin(0).mean().item() for rows in (codes, others)]
    return near[0] / near[1] if near[1] > 0 else 1.0 if near[0] == 0 else float("inf")


def energy_distance(one: Tensor, other: Tensor) -> float:
    """``2 E|X - Y| - E|X - X'| - E|Y - Y'|`` over all pairs; 0 only for the same distribution.

    Szekely & Rizzo (2004), "Testing for equal distributions in high dimension". In the unit of the rows.

    Args:
        one: (k, ...).
        other: (m, ...).

    Raises:
        ValueError: an empty set, or rows of different lengths.
    """
    _require_rows(1, one=one, other=other)
    return _energies(one, other, _signs(len(one), len(other))).item()


def energy_test(one: Tensor, other: Tensor, permutations: int = 199, seed: int = 0) -> tuple[float, float]:
    """Energy distance of two samples, and the probability of one as large were both of one distribution.

    A permutation test: the share of random divisions of all rows into two sets as large, the given one among them,
    whose energy distance is at least as large. Exact for any number of permutations.

    Args:
        one: (k, ...).
        other: (m, ...).
        permutations: number of divisions beside the given one; the p-value is at least 1 / (permutations + 1).
        seed: of the divisions.

    Returns:
        (energy distance, p-value).

    Raises:
        ValueError: fewer than 2 rows in a set, or of different lengths; no permutations.
    """
    _require_rows(2, one=one, other=other)
    if permutations < 1:
        raise ValueError(f"A permutation test takes at least 1 permutation, got {permutations}.")
    generator = torch.Generator().manual_seed(seed)
    given = _signs(len(one), len(other))
    orders = torch.rand(permutations, given.shape[1], generator=generator).argsort(1)
    energies = _energies(one, other, torch.cat([given, given[0][orders]]))
    as_large = int((energies[1:] >= energies[0] * (1 - 1e-9)).sum())
    return energies[0].item(), (1 + as_large) / (1 + permutations)


def _signs(count: int, others: int) -> Tensor:
    """(1, N) weights w of all rows with which ``-w^T D w`` is the energy distance, D their distances."""
    return torch.cat([torch.full((count,), 1 / count), torch.full((others,), -1 / others)]).double().unsqueeze(0)


def _energies(one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Energy distances (P,) of the divisions that rows of weights (P, N) say."""
    rows = torch.cat([one.flatten(1), other.flatten(1).to(one)])
    between = distances(rows, rows)
    between.fill_diagonal_(0)
    weights = weights.to(between)
    return -((weights @ between) * weights).sum(1)
