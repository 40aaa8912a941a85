"""What a certificate measures of images within its budget: a grid, a coarser one, or a few places.

Whether the decoder is deterministic comes first: all that follows are differences of images. Then come places of the
map, and the noise test with fewer draws.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latent_vizae.decoders.contract import decode_images, is_slow
from latent_vizae.decoders.repeats import Repeats, known_repeats, repeats_of
from latent_vizae.decoders.spending import Limit, Spending, images_left
from latent_vizae.model.vizae import VizAE

from .layers import noting_calls

__all__ = ["COARSEST", "GRID_PER_AXIS", "NOISE_DRAWS", "FirstLook", "Plan", "fewest_of_grid", "first_look"]
__all__ += ["grid_of", "plan_of"]

GRID_PER_AXIS = {1: 201, 2: 25, 3: 9}
GRID_VALUES = 2**25
"""Numbers in the images of a grid, at most, where it stays at least 5 points a side."""
COARSEST = 3
"""Points along each axis of a grid, at least."""
NOISE_DRAWS, FEW_DRAWS = 6, 2
"""Of the noise test: as the paper's, and where that leaves too little for places."""
REPEATS = 4
"""Images that `repeats_of` asks for."""


@dataclass(frozen=True)
class FirstLook:
    """What the first images of a decoder say.

    Attributes:
        values: numbers in an image; None where none was made.
        called: names of the layers that made it; None of a decoder that is no module.
        repeats: whether a code gives the same image each time; None where that is not known.
    """

    values: int | None = None
    called: set[str] | None = None
    repeats: Repeats | None = None


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        grid: (G, d) points of the map.
        places: (P, d) points at which images are measured, the grid's or a few others; None for nowhere.
        draws: of the noise test, 0 for none.
        wanted: images of all that is measured without a budget, after the first look.
    """

    grid: Tensor
    places: Tensor | None
    draws: int
    wanted: int

    @property
    def images(self) -> int:
        """That are asked for, after the first look."""
        return 0 if self.places is None else images_of(len(self.places), self.places.shape[1], self.draws)


def images_of(places: int, dim: int, draws: int) -> int:
    """Images of so many places of a map, and of a noise test."""
    return places * (1 + 2 * dim) + (1 + 3 * draws if draws else 0)


def fewest_of_grid(dim: int) -> int:
    """Images that a certificate with the coarsest grid asks for."""
    return 1 + REPEATS + images_of(COARSEST**dim, dim, FEW_DRAWS)


def first_look(v: VizAE, decoder: Callable[[Tensor], Tensor], limit: Limit, spent: Spending) -> FirstLook:
    """Make the first images, as far as the budget allows."""
    if limit.images < 1 + REPEATS or limit.seconds == 0:
        return FirstLook()
    codes = v.decode(v.points[:2] if len(v.points) else torch.zeros(1, v.dim))
    with noting_calls(decoder) if isinstance(decoder, nn.Module) else contextlib.nullcontext() as called:
        values = decode_images(decoder, codes[:1], afresh=True).numel()
    repeats = known_repeats(decoder) if is_slow(decoder) else None
    if 1 <= images_left(decoder, limit, spent) < REPEATS:  # the first call may take long only because it is the first
        decode_images(decoder, codes[:1], afresh=True)
    if repeats is None and images_left(decoder, limit, spent) >= REPEATS:
        repeats = repeats_of(decoder, codes)
    return FirstLook(values, called, repeats)


def plan_of(v: VizAE, values: int | None, left: float, resolution: int | None) -> Plan:
    """What is measured with so many images left.

    Args:
        v: the map.
        values: numbers in an image, None where none is to be asked for.
        left: images.
        resolution: of the grid, where it was asked for.
    """
    usual = GRID_PER_AXIS[v.dim] if resolution is None else resolution
    if values is not None and resolution is None:
        usual = min(usual, max(5, int((GRID_VALUES / values) ** (1 / v.dim))))
    wanted = images_of(usual**v.dim, v.dim, NOISE_DRAWS)
    if values is None:
        return Plan(grid_of(v, usual), None, 0, wanted)
    for draws in (NOISE_DRAWS, FEW_DRAWS):
        for side in range(usual, COARSEST - 1, -1):
            if images_of(side**v.dim, v.dim, draws) <= left:
                grid = grid_of(v, side)
                return Plan(grid, grid, draws, wanted)
    draws = FEW_DRAWS if images_of(2, v.dim, FEW_DRAWS) <= left else 0
    count = int((left - images_of(0, v.dim, draws)) // images_of(1, v.dim, 0))
    few = _spread(v.points if len(v.points) else grid_of(v, COARSEST), count) if count else None
    return Plan(grid_of(v, usual), few, draws, wanted)


def grid_of(v: VizAE, side: int) -> Tensor:
    """Points (side^d, d) of the whole map."""
    axis = torch.linspace(-1, 1, side, device=v.device)
    return torch.stack(torch.meshgrid(*[axis] * v.dim, indexing="ij"), -1).reshape(-1, v.dim)


def _spread(points: Tensor, count: int) -> Tensor:
    """Some of the points (k, d): the one nearest to the middle of them, then each time the one farthest from those."""
    chosen = [int((points - points.mean(0)).norm(dim=1).argmin())]
    nearest = torch.full((len(points),), math.inf, device=points.device)
    while len(chosen) < min(count, len(points)):
        nearest = nearest.minimum((points - points[chosen[-1]]).norm(dim=1))
        chosen.append(int(nearest.argmax()))
    return points[chosen]
