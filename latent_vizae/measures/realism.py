"""Realism of images relative to a generator's own, without a feature network: pure functions of images.

Images of a map are compared with those of new draws (or of held-out codes) of the same generator. Unlikeness, spread
and contrast measure single properties, the sliced Wasserstein distance of patches the whole difference.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from .typicality import distance_ratio, distances

__all__ = ["contrast", "sliced_wasserstein", "spread", "unlikeness"]


PATCH, PATCHES, DIRECTIONS = 7, 128, 128
"""Karras et al. (2018) take 512 directions; 128 move the distance between two sets of 200 images by about 1 %."""


def _require_images(**sets: Tensor) -> None:
    shapes = {tuple(images.shape[1:]) for images in sets.values()}
    if len(shapes) > 1 or len(min(shapes)) != 3 or min(map(len, sets.values())) < 2:
        listed = " and ".join(f"{name} of shape {tuple(images.shape)}" for name, images in sets.items())
        raise ValueError(f"These are sets of at least 2 images (k, C, H, W) of one size; got {listed}.")


def unlikeness(images: Tensor, draws: Tensor, known: Tensor) -> float:
    """Mean distance of images to the nearest known one, divided by that of new draws; 1 is as unlike as these.

    Below 1: images near the middle of the known ones, such as grey means. Above 1: images outside of the generator's
    distribution. Distances are Euclidean, over pixels.

    Args:
        images: (k, C, H, W).
        draws: (m, C, H, W), new images of the generator.
        known: (l, C, H, W), other images of the generator.

    Raises:
        ValueError: fewer than 2 images in a set, or of different sizes.
    """
    _require_images(images=images, draws=draws, known=known)
    return distance_ratio(images, draws, known)


def spread(images: Tensor, draws: Tensor) -> float:
    """Mean distance between two images, divided by that between two draws; 1 is as varied as these.

    Args:
        images: (k, C, H, W).
        draws: (m, C, H, W), images of the generator.

    Raises:
        ValueError: fewer than 2 images in a set, or of different sizes.
    """
    _require_images(images=images, draws=draws)
    apart = [
        (distances(rows, rows).fill_diagonal_(0).sum() / (len(rows) * (len(rows) - 1))).item()
        for rows in (images, draws)
    ]
    return apart[0] / apart[1] if apart[1] > 0 else 1.0 if apart[0] == 0 else float("inf")


def contrast(images: Tensor, draws: Tensor) -> float:
    """Mean over images of the standard deviation over pixels, relative to that of draws; 1 is as rich in contrast.

    Args:
        images: (k, C, H, W).
        draws: (m, C, H, W), images of the generator.

    Raises:
        ValueError: fewer than 2 images in a set, or of different sizes.
    """
    _require_images(images=images, draws=draws)
    deviations = [rows.flatten(1).double().std(1, unbiased=False).mean().item() for rows in (images, draws)]
    return deviations[0] / deviations[1] if deviations[1] > 0 else 1.0 if deviations[0] == 0 else float("inf")


def sliced_wasserstein(images: Tensor, others: Tensor, seed: int = 0) -> float:
    """Sliced Wasserstein distance of the patches of two sets of images, mean over the levels of a Laplacian pyramid.

    Karras et al. (2018), "Progressive growing of GANs", section 5: of every image 128 patches of 7 x 7 pixels on each
    level, down to 16 pixels; channels are normalised to mean 0 and deviation 1; then the mean, over random directions
    in the space of patches, of the distance between the sorted projections. Here both sets are normalised alike, by
    what they have together: their code normalises each by its own deviation, to which a loss of contrast is none.

    Args:
        images: (k, C, H, W), at least 7 pixels a side.
        others: (k, C, H, W), as many: of different numbers the distance would differ by that alone.
        seed: of patches and directions.

    Returns:
        0 or more, in deviations of a pixel; compare it with that between two sets of the generator's own images.

    Raises:
        ValueError: sets of different sizes, fewer than 2 images, or smaller than a patch.
    """
    _require_images(images=images, others=others)
    if len(images) != len(others):
        raise ValueError(f"Both sets have the same number of images, got {len(images)} and {len(others)}.")
    if min(images.shape[2:]) < PATCH:
        raise ValueError(f"Patches have {PATCH} x {PATCH} pixels, these images {tuple(images.shape[2:])}.")
    generator = torch.Generator().manual_seed(seed)
    distances = []
    for one, other in zip(_pyramid(images.float()), _pyramid(others.float().to(images.device)), strict=True):
        places = torch.rand(2, len(one), PATCHES, 2, generator=generator)
        first, second = _patches(one, places[0]), _patches(other, places[1])
        both = torch.cat([first, second])
        mean, deviation = both.mean((0, 2), keepdim=True), both.std((0, 2), keepdim=True, unbiased=False)
        directions = torch.randn(first[0].numel(), DIRECTIONS, generator=generator)
        directions = (directions / directions.norm(dim=0)).to(first)
        sides = [((rows - mean) / deviation.clamp(min=1e-12)).flatten(1) for rows in (first, second)]
        ordered = [np.sort((directions.T @ rows.T).cpu().numpy(), axis=1) for rows in sides]  # faster than torch's
        distances.append(float(np.abs(ordered[0] - ordered[1]).mean()))
    return sum(distances) / len(distances)


def _pyramid(images: Tensor) -> list[Tensor]:
    """Laplacian pyramid, the finest level first; the last level is the low-pass rest (Burt & Adelson 1983)."""
    levels = []
    while min(images.shape[2:]) // 2 >= 2 * PATCH:
        smaller = _blurred(images)[:, :, ::2, ::2]
        larger = torch.zeros_like(images)
        larger[:, :, ::2, ::2] = 4 * smaller
        levels.append(images - _blurred(larger))
        images = smaller
    return [*levels, images]


def _blurred(images: Tensor) -> Tensor:
    """Convolved with the binomial kernel of 5 x 5, mirrored at the borders."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]).to(images) / 16
    channels = images.shape[1]
    mirrored = pad(images, (2, 2, 2, 2), mode="reflect")
    return conv2d(mirrored, torch.outer(kernel, kernel).expand(channels, 1, 5, 5), groups=channels)


def _patches(images: Tensor, places: Tensor) -> Tensor:
    """Patches (k * p, C, 49) of images (k, C, H, W) at places (k, p, 2) in [0, 1)."""
    height, width = images.shape[2:]
    corners = (places * torch.tensor([height - PATCH + 1, width - PATCH + 1])).long()
    inside = torch.arange(PATCH)
    rows = (corners[..., 0, None] + inside)[..., :, None].expand(-1, -1, -1, PATCH)
    columns = (corners[..., 1, None] + inside)[..., None, :].expand(-1, -1, PATCH, -1)
    where = (rows * width + columns).flatten(2).to(images.device)  # (k, p, 49)
    flat = images.flatten(2)  # (k, C, H W)
    picked = flat.gather(2, where.flatten(1).unsqueeze(1).expand(-1, flat.shape[1], -1))
    patches: Tensor = picked.unflatten(2, where.shape[1:]).transpose(1, 2).flatten(0, 1)
    return patches
