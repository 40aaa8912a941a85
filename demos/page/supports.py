"""Support under pointers.

The cycle error takes two thirds of a picture's time, and it is smooth: it is measured once on a grid, and interpolated
between its points. On the first map the support is then 0.001 off (mean over the map).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from latent_vizae.demos.page.checks import FARTHEST
from latent_vizae.demos.page.fitted import FittedMap

__all__ = ["measure_cycles", "support_of"]

SIDES = {1: 513, 2: 49, 3: 15}
"""Points of the grid along each axis, by the dimensions of the map."""


@torch.no_grad()
def measure_cycles(fitted: FittedMap) -> None:
    """Measure the cycle errors ``|v_e(v_d(p)) - p|`` of a map, a part of a second for the first one."""
    v = fitted.latent_map.v
    axis = torch.linspace(-FARTHEST, FARTHEST, SIDES[v.dim], device=v.device)
    points = torch.stack(torch.meshgrid(*[axis] * v.dim, indexing="ij"), -1)  # the last coordinate changes first
    rows = points.flip(-1).reshape(-1, v.dim)  # and is x, as grid_sample has it
    fitted.cycles = (v.encode(v.decode(rows, detail=0.0)) - rows).norm(dim=1).reshape(points.shape[:-1])


def support_of(fitted: FittedMap, points: Tensor) -> Tensor:
    """The support (P,) of points (P, d): looked up, where `measure_cycles` has been here."""
    cycles, dim = fitted.cycles, fitted.latent_map.v.dim
    if cycles is None:
        return fitted.latent_map.support(points)
    where = points.to(cycles) / FARTHEST
    if dim == 1:  # as a picture of one row
        cycles, where, dim = cycles.unsqueeze(0), torch.cat([where, torch.zeros_like(where)], 1), 2
    found = grid_sample(cycles[None, None], where.view(1, *[1] * (dim - 1), -1, dim), align_corners=True)
    return fitted.latent_map.support(points, found.flatten())
