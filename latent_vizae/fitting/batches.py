"""What a training step sees: codes mixed with their neighbours, with noise."""

from __future__ import annotations

import torch
from torch import Tensor

from latent_vizae.measures.metrics import trustworthiness

from .frame import Frame
from .neighbours import nearest, neighbour_layout

__all__ = ["Batches"]


PLACED = 2000
"""So many codes get a place from their neighbours first; further ones follow those."""

BATCH, SMALL_BATCH, IMAGE_BATCH = 384, 256, 64
"""Codes a step; the small one below 900 codes, for which it is as good and saves up to half."""

SETTLED, COMPARED, FEWEST_COMPARED = 4096, 500, 15
"""Codes to settle on; and most and fewest whose neighbours on the layout are compared with what they are."""

MIXED, NOISE = 8, 0.3
"""Neighbours to mix with; noise, where the frame's numbers have variance 1."""


def _neighbours_kept(codes: Tensor, points: Tensor) -> float:
    """How well points keep the neighbours of codes: 1 if all stay, 0 if no more than any codes would."""
    return max(0.0, 2 * trustworthiness(codes, points) - 1) if len(codes) >= FEWEST_COMPARED else 0.0


class Batches:
    """Random codes, mixed and blurred, and where their neighbours would have them on the map.

    A decoder knows the image of any code, so what lies between and around the given ones is free training data. Each
    code is moved towards one of its neighbours, a random part of the way, and given some noise.

    ``lead`` says how much neighbours are to lead, by the layout at the start and by the pull in the end:
    ``t^3 (1 - t)``, with t what the layout keeps of them, 0 to 1. Most where a map can keep three quarters, less where
    v_e keeps them by itself, next to nothing where nothing can.
    """

    def __init__(self, x: Tensor, frame: Frame, dim: int, generator: torch.Generator) -> None:
        self.x, self.generator, self.for_neighbours = x, generator, frame.for_neighbours
        self.size = BATCH if len(x) >= 900 else SMALL_BATCH
        codes = frame.for_neighbours(x)
        points, others = neighbour_layout(codes[:PLACED], dim, generator)
        others = others[:, :MIXED]
        if len(x) > PLACED:
            _, near = nearest(codes[PLACED:], codes[:PLACED], others.shape[1])
            points, others = torch.cat([points, points[near[:, :3]].mean(1)]), torch.cat([others, near])
        self.points, self.others = points, others
        kept = _neighbours_kept(codes[:COMPARED], points[:COMPARED])
        self.lead = kept**3 * (1 - kept)

    def draw(self, size: int) -> tuple[Tensor, Tensor]:
        """Codes in the frame (size, rank) and places on the map (size, dim)."""
        count, neighbours = self.others.shape
        chosen = torch.randint(count, (size,), generator=self.generator).to(self.x.device)
        which = torch.randint(neighbours, (size,), generator=self.generator).to(self.x.device)
        share = torch.rand(size, 1, generator=self.generator).to(self.x)
        noise = torch.randn(size, self.x.shape[1], generator=self.generator).to(self.x)
        other = self.others[chosen, which]
        rows = torch.lerp(self.x[chosen], self.x[other], share)
        return rows.add_(noise, alpha=NOISE), torch.lerp(self.points[chosen], self.points[other], share)
