"""What v is trained on: pure functions, with formula and unit."""

from __future__ import annotations

from torch import Tensor

__all__ = ["cycle_loss", "image_loss", "reconstruction_loss"]


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
