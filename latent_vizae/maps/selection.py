"""Which of the fitted codes lie nearest to a point of a map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from latent_vizae.inputs.arrays import ArrayLike, as_points, as_tensor
from latent_vizae.inputs.checks import as_whole

__all__ = ["Nearest", "nearest_codes"]


DISTANCES_AT_A_TIME = 2**24


class Nearest(NamedTuple):
    """Fitted codes whose points lie nearest to a point of the map, the nearest first.

    Attributes:
        indices: (count,) int64, rows of the codes that were fitted; (P, count) for P points.
        distances: of the same shape, in map units (the map is 2 wide).
    """

    indices: Tensor
    distances: Tensor


def nearest_codes(known: Tensor, points: ArrayLike, count: int) -> Nearest:
    """Rows of ``known`` (k, d) nearest to one point (d,), or to each of points (P, d). See `LatentMap.nearest`."""
    given = as_tensor(points, "point")
    one = given.dim() < 2
    rows = as_points(given.reshape(1, -1) if one else given, known.shape[1], "points").cpu()
    if len(known) == 0:
        raise ValueError("This v has no points, so no code is nearest to a point.")
    count, known = as_whole(count, "count", 1), known.detach().float().cpu()
    if count > len(known):
        raise ValueError(f"count is at most the number of fitted codes, {len(known)}, got {count}.")
    indices, distances = [], []
    for part in rows.split(max(1, DISTANCES_AT_A_TIME // len(known))):
        exact = torch.cdist(part, known, compute_mode="donot_use_mm_for_euclid_dist")
        near = exact.topk(count, dim=1, largest=False)
        distances.append(near.values)
        indices.append(near.indices)
    found = Nearest(torch.cat(indices), torch.cat(distances))
    return Nearest(found.indices[0], found.distances[0]) if one else found
