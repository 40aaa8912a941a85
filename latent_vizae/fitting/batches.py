"""What a training step sees: codes mixed with near ones, with noise."""

from __future__ import annotations

import torch
from torch import Tensor

from .frame import Frame
from .neighbours import nearest
from .settings import Settings

__all__ = ["Batches"]

BATCH = 384
"""Codes a step. The neighbours' divergence of 256 keeps fewer (clothes, photographs); 512 cost a third more."""
MIXED = 8
"""A code is mixed with one of so many nearest: 12 or 15 change nothing, of one class or of photographs."""
AMONG = 2000
"""Codes are mixed with those of so many, so that finding the nearest costs the same for any number of codes."""


class Batches:
    """Random codes, mixed and with noise.

    A decoder has an image of any code, so what lies between and around the given ones is free training data. Each code
    is moved towards one of its nearest, a random part of the way, and given noise.

    Args:
        x: (K, rank), codes in the frame.
        frame: whose distances for neighbours say which are near.
        generator: source of the randomness, on the CPU.
        settings: of the fit.
    """

    def __init__(self, x: Tensor, frame: Frame, generator: torch.Generator, settings: Settings) -> None:
        self._x, self._generator, self._settings = x, generator, settings
        codes = frame.for_neighbours(x)
        among = codes[:AMONG]
        self._near = nearest(codes, among, min(MIXED + 1, len(among)))[1][:, 1:]  # the first is the code itself

    def draw(self, size: int = BATCH) -> Tensor:
        """Codes in the frame (size, rank)."""
        count, near = self._near.shape
        chosen = torch.randint(count, (size,), generator=self._generator).to(self._x.device)
        x = self._x[chosen]
        if self._settings.mixing and near:
            which = torch.randint(near, (size,), generator=self._generator).to(x.device)
            share = torch.rand(size, 1, generator=self._generator, dtype=torch.float32).to(x)
            x = torch.lerp(x, self._x[self._near[chosen, which]], share)
        noise = torch.randn(x.shape, generator=self._generator, dtype=torch.float32).to(x)
        return x.add_(noise, alpha=self._settings.noise)
