"""Sums of codes and mixtures of styles: what is taken from one image and given to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latent_vizae.adapters.zoo import StyleGAN
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.gallery.classes import accuracy, nearest_labels
from latent_vizae.demos.gallery.data import table

__all__ = ["Sum", "difference", "extremes", "mixed_images", "slants", "sum_of", "sums_table"]

NEIGHBOURS = 5


@dataclass(frozen=True)
class Sum:
    """What became of codes c to which a difference a - b was added.

    Attributes:
        before: mean measure of the images of c.
        after: mean measure of the images of the sums.
        wanted: mean measure of the images of real codes of that kind.
        kept: share of the sums that are still of c's class, by their nearest known codes.
    """

    before: float
    after: float
    wanted: float
    kept: float


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


def extremes(measure: Tensor, labels: Tensor, label: int, share: float = 0.25) -> tuple[Tensor, Tensor]:
    """Rows of one class with the smallest and with the largest measure.

    Args:
        measure: (k,) of each image.
        labels: (k,) classes.
        label: the class that is meant.
        share: of its rows that go into each group, in (0, 1].
    """
    rows = (labels == label).nonzero().squeeze(1)
    rows = rows[measure[rows].argsort()]
    count = max(1, int(share * len(rows)))
    return rows[:count], rows[-count:]


def sum_of(
    f_d: Callable[[Tensor], Tensor],
    codes: Tensor,
    labels: Tensor,
    measure: Callable[[Tensor], Tensor],
    given: int,
    taken: int,
) -> tuple[dict[str, Tensor], Sum]:
    """Give one class what another has more and less of: a - b + c, with a and b of one class and c of another.

    Args:
        f_d: the decoder.
        codes: (k, *latent_shape).
        labels: (k,) their classes.
        measure: images (B, C, H, W) -> (B,), such as `slants`.
        given: the class of a (a quarter of it, of the largest measure) and b (of the smallest).
        taken: the class of c (a quarter of it, of the smallest measure).

    Returns:
        The groups a, b and c, and how well it went, each c for itself.
    """
    measured = measure(decode_images(f_d, codes))
    b, a = extremes(measured, labels, given)
    c, wanted = extremes(measured, labels, taken)
    moved = codes[c] + difference(codes[a], codes[b])
    nearest = nearest_labels(moved, codes, labels, NEIGHBOURS)
    judged = Sum(
        measured[c].mean().item(),
        measure(decode_images(f_d, moved)).mean().item(),
        measured[wanted].mean().item(),
        accuracy(nearest, torch.full_like(nearest, taken)),
    )
    return {"a": codes[a], "b": codes[b], "c": codes[c]}, judged


def sums_table(results: dict[str, Sum]) -> str:
    """A table of Markdown."""
    rows = [
        (name, f"{s.before:.2f}", f"{s.after:.2f}", f"{s.wanted:.2f}", f"{s.kept:.0%}") for name, s in results.items()
    ]
    return table(("sum", "c", "a - b + c", "real ones", "class kept"), rows)


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
