"""Differentiable augmentation: what a discriminator sees of real and drawn images alike, so that few images suffice.

Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training". Without it a discriminator learns the
images of a small dataset by heart. All randomness comes from the generator that is given.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["augmented"]

SHIFT, HOLE = 1 / 8, 1 / 2
"""Of the side of an image: the largest translation, and the side of the square that is cut out; theirs."""


def augmented(images: Tensor, random: torch.Generator) -> Tensor:
    """Colour, translation and cutout, their strongest policy; gradients flow through.

    Args:
        images: (B, C, H, W) in [-1, 1].
        random: on the CPU.

    Returns:
        (B, C, H, W), values may leave [-1, 1]; 0 is what comes in from outside and what is cut out.
    """
    return _cutout(_translated(_recoloured(images, random), random), random)


def _recoloured(images: Tensor, random: torch.Generator) -> Tensor:
    """Brightness + [-1/2, 1/2), saturation * [0, 2), contrast * [1/2, 3/2)."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, generator=random).to(images)
    x = images + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * saturation) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def _translated(images: Tensor, random: torch.Generator) -> Tensor:
    """Shifted by whole pixels, at most an eighth of the side."""
    count, _, *sides = images.shape
    x = images
    for axis, side in enumerate(sides):
        most = round(SHIFT * side)
        shift = torch.randint(-most, most + 1, (count, 1), generator=random)
        source = torch.arange(side) + shift  # (B, side), where each row or column comes from
        inside = ((source >= 0) & (source < side)).to(images)
        form = (count, 1, side, 1) if axis == 0 else (count, 1, 1, side)
        rows = source.clamp(0, side - 1).to(images.device).reshape(form).expand(-1, *x.shape[1:2], *sides)
        x = x.gather(2 + axis, rows) * inside.reshape(form)
    return x


def _cutout(images: Tensor, random: torch.Generator) -> Tensor:
    """A square of half the side set to 0, its middle anywhere."""
    masks = []
    for side in images.shape[2:]:
        middle = torch.randint(0, side + 1, (len(images), 1), generator=random)
        low, size = middle - round(HOLE * side) // 2, round(HOLE * side)
        places = torch.arange(side)
        masks.append((places >= low) & (places < low + size))
    hole = masks[0][:, None, :, None] & masks[1][:, None, None, :]
    return images * (~hole).to(images)
