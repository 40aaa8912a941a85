"""Arrows: the moves of directions of the latent space on a map, at a grid of its points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latent_vizae.directions.direction import Direction, as_direction
from latent_vizae.directions.directions import Directions
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.model.vizae import VizAE

__all__ = ["Arrows", "chosen_directions", "class_share", "find_arrows"]


NEIGHBOURS = 7


@dataclass(frozen=True, eq=False)
class Arrows:
    """Arrows of directions at points of a map.

    Attributes:
        points: (P, d).
        moves: (D, P, d): ``v_e(z + s d) - v_e(z)`` for the code ``z = v_d(point)`` and a move s d along a direction.
        trust: (D, P) in [0, 1]: `LatentMap.support`, times, for the directions of a class on a map with labels, the
            share of the class among the 7 nearest fitted codes.
        names: of the D directions.
        step: s, in steps of a direction.
    """

    points: Tensor
    moves: Tensor
    trust: Tensor
    names: tuple[str, ...]
    step: float

    def __repr__(self) -> str:
        directions = f"{len(self.names)} directions" if len(self.names) != 1 else "1 direction"
        return (
            f"Arrows({directions} at {len(self.points)} points of a {self.points.shape[1]}-D map, step={self.step:g})"
        )


def chosen_directions(
    directions: Directions | Direction | Sequence[Any] | ArrayLike, label: int | None, latent_shape: tuple[int, ...]
) -> list[Direction]:
    """A list of directions: the global set, a class's set, or the given ones, which may be vectors (`as_direction`).

    Raises:
        TypeError: not directions.
        ValueError: none, or of another latent space.
    """
    if isinstance(directions, Directions):
        chosen = directions.of(label)
    else:
        given = (
            [directions]
            if isinstance(directions, Direction) or not _several(directions, latent_shape)
            else list(directions)
        )
        chosen = [as_direction(each, latent_shape, f"given {at}") for at, each in enumerate(given)]
        if label is not None or not chosen:
            raise ValueError(f"label={label!r} selects a set of Directions; got {len(chosen)} single directions.")
    odd = [direction.latent_shape for direction in chosen if direction.latent_shape != latent_shape]
    if odd:
        raise ValueError(f"These directions are of codes of shape {odd[0]}; this map's have {latent_shape}.")
    return chosen


def _several(directions: Any, latent_shape: tuple[int, ...]) -> bool:
    """Whether these are several directions or vectors, and not one vector."""
    if hasattr(directions, "shape"):
        return len(directions.shape) > 1 and tuple(directions.shape) != latent_shape
    if not isinstance(directions, Sequence) or isinstance(directions, str):
        raise TypeError(
            "directions are Directions (of discover_directions or Directions.of_vectors), single ones (pick, of), or "
            f"vectors of code space, got {type(directions).__name__}."
        )
    return len(directions) == 0 or not all(isinstance(each, int | float) for each in directions)


@torch.no_grad()
def find_arrows(v: VizAE, points: Tensor, chosen: list[Direction], step: float, support: Tensor) -> Arrows:
    """Arrows of ``step`` steps at points (P, d) of a map with support (P,)."""
    if isinstance(step, bool) or not isinstance(step, int | float) or not math.isfinite(step) or step == 0:
        raise ValueError(f"step is a number of steps other than 0, got {step!r}.")
    codes = v.decode(points, detail=0.0)
    start = v.encode(codes)
    moves = torch.stack([v.encode(direction.move(codes, step)) - start for direction in chosen])
    shares = {label: class_share(v, points, label) for label in {direction.label for direction in chosen}}
    trust = torch.stack([support * shares[direction.label] for direction in chosen])
    return Arrows(points, moves, trust, tuple(direction.name for direction in chosen), float(step))


def class_share(v: VizAE, points: Tensor, label: int | None) -> Tensor:
    """Share (P,) of a class among the 7 fitted codes nearest to each point; 1 where there are no labels of it."""
    if label is None or v.labels is None or not bool((v.labels == label).any()):
        return points.new_ones(len(points))
    near = torch.cdist(points, v.points).topk(min(NEIGHBOURS, len(v.points)), largest=False).indices
    share: Tensor = (v.labels[near] == label).float().mean(1)
    return share
