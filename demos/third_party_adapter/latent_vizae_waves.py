"""An adapter outside of latent_vizae: ``load_decoder("waves:sine", size=32)``.

A decoder is any callable, codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1]; the attributes are optional.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHAPES = {"sine": torch.sin, "square": lambda phase: torch.tanh(6 * torch.sin(phase))}


class Waves:
    """Plane waves; a code is (frequency in x, frequency in y, phase)."""

    latent_shape = (3,)

    def __init__(self, shape: str, size: int) -> None:
        self.shape, self.size = shape, size
        self.source = f"waves:{shape}"  # what load_decoder took: a saved map names its generator by it,
        self.options = {"size": size}  # and these options bring it back just the same

    def __call__(self, codes: Tensor) -> Tensor:
        """Codes (B, 3) to images (B, 1, size, size) in [0, 1]."""
        axis = torch.linspace(-1, 1, self.size, device=codes.device)
        fx, fy, phase = (part[:, None, None] for part in codes.float().unbind(1))
        wave = SHAPES[self.shape](5 * (fx * axis + fy * axis[:, None]) + phase)
        return (0.5 + 0.5 * wave).unsqueeze(1)

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Codes (count, 3) from the prior."""
        return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def load_waves(reference: str, size: int = 32) -> Waves:
    """The entry point: what stands behind ``waves:``, and the options of load_decoder.

    Both may come from a stranger's map, so they choose among what is here and run nothing.
    """
    if reference not in SHAPES:
        raise ValueError(f"waves: knows {', '.join(SHAPES)}, got {reference!r}.")
    return Waves(reference, size)
