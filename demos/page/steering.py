"""Directions on the page: arrows on a map, and samples moved along directions, as plain numbers and bytes.

No Gradio here, as in maps.py. Found directions are shared and only read; a visitor knows his own by an id that nobody
can guess.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from latent_vizae import Directions
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.page.checks import checked_points, is_finite, whole_number
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.kept import Kept
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pictures import packed_images
from latent_vizae.demos.page.plans import Plan
from latent_vizae.sharing.described import as_base64

__all__ = ["MOST_STEPS", "FoundDirections", "Steering"]

MOST_FOUND, FOUND_BYTES = 64, 2**31
"""Kept directions, and memory for them, their decoders included."""
MOST_STEPS, WALK, ARROWS = 3.0, 13, 13
"""Steps to both sides, pictures of a walk from one end to the other, arrows from side to side."""


@dataclass
class FoundDirections:
    """Directions with the decoder they are of."""

    directions: Directions
    decoder: Any
    title: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def names(self) -> list[str]:
        """Of all directions, the global ones first."""
        return [direction.name for direction in self.directions]


class Steering:
    """What the page asks of directions. A set is the global one, label None, or that of a class."""

    def __init__(self, maps: Maps) -> None:
        self.maps = maps
        self._found: Kept[FoundDirections] = Kept(
            MOST_FOUND, FOUND_BYTES, "These directions are no longer here. Find them again."
        )

    def add(self, found: FoundDirections) -> str:
        """Keep directions; their id."""
        return self._found.add(found.id, found)

    def get(self, map_id: Any, found_id: Any) -> tuple[FittedMap, FoundDirections]:
        """A map, and directions of its decoder.

        Raises:
            ValueError: one of them is not there, or they do not belong together.
        """
        fitted, found = self.maps.get(map_id), self.kept(found_id)
        if found.decoder is not fitted.latent_map.decoder:
            raise ValueError("These directions are of another decoder. Find directions for this map.")
        return fitted, found

    def kept(self, found_id: Any) -> FoundDirections:
        """Directions by their id.

        Raises:
            ValueError: there are none.
        """
        return self._found.get(found_id)

    # What the page asks for.

    def directions(self, map_id: Any, found_id: Any) -> dict[str, Any]:
        """The sets and the names of their directions."""
        _, found = self.get(map_id, found_id)
        labels = [None, *found.directions.class_labels.tolist()]
        sets = [
            {
                "label": label,
                "name": "global" if label is None else f"class {label}",
                "names": [direction.name for direction in found.directions.of(label)],
            }
            for label in labels
        ]
        return {"id": found.id, "title": found.title, "sets": sets}

    def arrows(self, map_id: Any, found_id: Any, label: Any = None, box: Any = None) -> dict[str, Any]:
        """Where a step along each direction of a set leads, from a grid of places on a 2-D map or on a box of it."""
        fitted, found = self.get(map_id, found_id)
        if fitted.latent_map.v.dim != 2:
            raise ValueError("Arrows are drawn on 2-D maps.")
        corners = checked_points([[-1, -1], [1, 1]] if box is None else box, 2, 2, 2)
        low, high = corners.amin(0), corners.amax(0)
        half = (high - low) / (2 * ARROWS)  # a place in the middle of each cell
        if not (half > 1e-6).all():
            raise ValueError("This box has no inside: give two opposite corners.")
        arrows = fitted.latent_map.arrows(found.directions, ARROWS, label=label, box=(low + half, high - half))
        numbers = {"points": arrows.points, "moves": arrows.moves, "trust": arrows.trust}
        packed = {name: as_base64(tensor.float().cpu().numpy().astype("<f4")) for name, tensor in numbers.items()}
        return {**packed, "count": len(arrows.points), "apart": 2 * half.min().item()}

    def moved(self, map_id: Any, found_id: Any, label: Any, start: Any, steps: Any) -> dict[str, Any]:
        """A sample moved along a set: its image, and its place on the map."""
        where, support, images = self.moved_at(map_id, found_id, label, start, steps)
        return {"point": where[0].tolist(), "support": support[0].item(), "images": packed_images(images)}

    def moved_at(
        self, map_id: Any, found_id: Any, label: Any, start: Any, steps: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The place (1, d) of a moved sample, its support (1,) and the image (1, C, H, W) of the code itself."""
        fitted, code = self._moved_code(map_id, found_id, label, start, steps)
        m = fitted.latent_map
        where = m.v.encode(code)
        return where, m.support(where), decode_images(m.decoder, code)

    def walk(self, map_id: Any, found_id: Any, label: Any, number: Any, start: Any, steps: Any = None) -> Plan:
        """Thirteen codes along one direction, the middle one not moved along it; along the others as ``steps`` say.

        Args:
            map_id: of a map.
            found_id: of directions.
            label: of their set.
            number: of the direction in the set, from 0 on.
            start: see `Maps.code_at`.
            steps: one number for each direction of the set; that of this direction does not count.
        """
        fitted, found = self.get(map_id, found_id)
        size = len(found.directions.global_directions)
        number = whole_number(number, "number of the direction", 0, size - 1)
        others = _checked_steps([0] * size if steps is None else steps, size)
        others[number] = 0
        _, code = self._moved_code(map_id, found_id, label, start, others)
        v, direction = fitted.latent_map.v, found.directions.pick(number, label)
        codes = direction.along(code[0], WALK, MOST_STEPS).to(v.device)
        return Plan(fitted.latent_map.decoder, v.encode(codes), codes, 1)

    def traverse(
        self, map_id: Any, found_id: Any, label: Any, number: Any, start: Any, steps: Any = None, first: Any = None
    ) -> dict[str, Any]:
        """Pictures along one direction and the way they take on the map; from number ``first`` on, as `Maps.grid`."""
        return self.walk(map_id, found_id, label, number, start, steps).part(first)

    @torch.no_grad()
    def _moved_code(self, map_id: Any, found_id: Any, label: Any, start: Any, steps: Any) -> tuple[FittedMap, Tensor]:
        """``z + sum_k s_k step_k d_k`` (1, *latent_shape)."""
        fitted, found = self.get(map_id, found_id)
        chosen = found.directions.of(label)
        code = self.maps.code_at(map_id, start)
        for direction, far in zip(chosen, _checked_steps(steps, len(chosen)), strict=True):
            if far:
                code = direction.move(code, far)
        return fitted, code


def _checked_steps(steps: Any, size: int) -> list[float]:
    """One number for each direction, from a stranger."""
    plain = isinstance(steps, list) and len(steps) == size and all(is_finite(step) for step in steps)
    if not plain or any(abs(step) > MOST_STEPS for step in steps):
        raise ValueError(
            f"Steps are {size} numbers from -{MOST_STEPS:g} to {MOST_STEPS:g}, one for each direction of the set."
        )
    return [float(step) for step in steps]
