"""Sums of codes and mixtures of styles: what is taken from one image and given to another."""

from __future__ import annotations

import torch
from torch import Tensor

from latent_vizae.adapters.zoo import StyleGAN

__all__ = ["difference", "mixed_images", "slants"]


def slants(images: Tensor) -> Tensor:
    """How far strokes lean to the right, in pixels across per pixel up: (B,); 0 is upright.

    ``-mu_11 / mu_02`` with the central moments of the image (Hu 1962): the shear that would set it upright.

    Args:
        images: (B, 1, H, W), bright on black.
    """
    height, width = images.shape[2:]
    ink = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True).clamp(min=1e-12)
    down, across = torch.meshgrid(torch.arange(height).to(ink), torch.arange(width).to(ink), indexing="ij")
    down = down - (ink * down).sum((1, 2), keepdim=True)
    across = across - (ink * across).sum((1, 2), keepdim=True)
    shear: Tensor = -(ink * down * across).sum((1, 2)) / (ink * down.square()).sum((1, 2)).clamp(min=1e-12)
    return shear


def difference(of: Tensor, without: Tensor) -> Tensor:
    """What one group of codes (k, *latent_shape) has and another (m, *latent_shape) has not: mean less mean.

    Added to a code c it gives ``a - b + c``, the vector arithmetic of Mikolov et al. (2013) and, on codes of images,
    of Radford, Metz & Chintala (2016); groups, because a single code carries more than what is meant.
    """
    return of.mean(0) - without.mean(0)


@torch.no_grad()
def mixed_images(f_d: StyleGAN, rows: Tensor, columns: Tensor, crossover: int) -> Tensor:
    """Every mixture of two sets of styles: those of the rows below a layer, those of the columns from it on.

    Args:
        f_d: its layers are numbered from 0, two for each resolution, the coarsest first.
        rows: (r, n) codes, for the coarse layers.
        columns: (c, n) codes, for the fine layers.
        crossover: the first layer that takes the columns' style, from 1 to the number of layers less 1.

    Returns:
        Images ((r + 1) * (c + 1), C, H, W) in [0, 1], row by row: above the columns' own images, white in the corner;
        to the left the rows' own.

    Raises:
        ValueError: no such layer.
    """
    layers = len(f_d.layers)
    if not 1 <= crossover < layers:
        raise ValueError(f"crossover is a layer from 1 to {layers - 1}, got {crossover}.")
    pairs = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns)))
    one, other = rows[pairs[:, 0]], columns[pairs[:, 1]]
    mixed = (f_d.synthesise(f_d.mixed(one, other, torch.full((len(one),), crossover))) + 1) / 2
    own, above = f_d(rows), f_d(columns)
    lines = [torch.ones_like(own[:1]), above]
    for index, line in enumerate(mixed.split(len(columns))):
        lines += [own[index : index + 1], line]
    return torch.cat(lines)
