"""What v is trained on: pure functions, with formula and unit."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cycle_loss", "image_loss", "mixed_with_neighbours", "reconstruction_loss"]


def reconstruction_loss(x: Tensor, decoded: Tensor) -> Tensor:
    """Mean over codes of ``|x - x'|^2 / rank``, in the frame of v: 1 is what a constant map gives.

    Args:
        x: (B, rank).
        decoded: (B, rank).
    """
    return (x - decoded).square().mean()


def image_loss(images: Tensor, decoded: Tensor) -> Tensor:
    """Mean over images and pixels of the squared difference.

    Args:
        images: (B, C, H, W) in [0, 1].
        decoded: (B, C, H, W) in [0, 1].
    """
    return (images - decoded).square().mean()


def cycle_loss(points: Tensor, back: Tensor) -> Tensor:
    """Mean over points of ``|p - p'|^2``, in map units squared (the map is 2 wide).

    Args:
        points: (B, dim).
        back: (B, dim), where they came back to.
    """
    return (points - back).square().sum(1).mean()


def mixed_with_neighbours(x: Tensor, generator: torch.Generator, neighbours: int = 5) -> Tensor:
    """Codes between and around the given ones: each moved a random way towards one of its neighbours in the batch.

    A decoder knows the image of any code, so these are free training data; they are what keeps a large v from
    learning a few thousand codes by heart.

    Args:
        x: (B, rank).
        generator: source of the randomness, on the CPU.
        neighbours: each partner is one of so many nearest rows of the batch.

    Returns:
        (B, rank).
    """
    count = len(x)
    neighbours = min(neighbours, count - 1)
    if neighbours < 1:
        return x
    nearest = torch.cdist(x, x).topk(neighbours + 1, largest=False).indices[:, 1:]
    pick = torch.randint(neighbours, (count, 1), generator=generator).to(x.device)
    share = torch.rand(count, 1, generator=generator).to(x)
    return torch.lerp(x, x[nearest.gather(1, pick).squeeze(1)], share)
