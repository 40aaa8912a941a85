"""The three troubles of a plain autoencoder's latent space, measured where it has two numbers and can be seen whole.

Classes take unequal areas; there is no distribution to draw from; between the codes there are holes that decode badly
(Foster 2023, Generative Deep Learning, chapter 3). A variational autoencoder is meant to mend all three.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from latent_vizae import LatentMap, fit
from latent_vizae.adapters.zoo import Autoencoder
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.gallery.data import Labelled, encoded, table

__all__ = [
    "Space", "Troubles", "class_areas", "energy_distance", "nearest_distance", "space_of", "spread", "troubles",
    "troubles_table",
]  # fmt: skip

CODES, REAL, DRAWS, LATTICE_SIDE = 4000, 10_000, 1000, 120
SUPPORTED = 0.5
TAIL = 0.01


@dataclass(frozen=True, eq=False)
class Space:
    """A latent space of two numbers, with the codes that say which part of it is in use.

    Attributes:
        f_d: the autoencoder.
        codes: (k, 2) of training images.
        labels: (k,) their classes.
        low: (2,) and
        high: (2,) the box around the middle 98 % of the codes along each axis.
        latent_map: the map of these codes. Codes of two numbers get an affine v, so it shows them as they lie; it
            brings `LatentMap.support`.
    """

    f_d: Autoencoder
    codes: Tensor
    labels: Tensor
    low: Tensor
    high: Tensor
    latent_map: LatentMap

    def lattice(self, side: int) -> Tensor:
        """Codes (side * side, 2) in the middles of the cells that tile the box; the first row is its top."""
        at = (torch.arange(side) + 0.5) / side
        up, across = torch.meshgrid(at.flip(0), at, indexing="ij")
        return self.low + torch.stack([across, up], -1).reshape(-1, 2) * (self.high - self.low)

    def support(self, codes: Tensor) -> Tensor:
        """`LatentMap.support` at codes (P, 2): (P,) in [0, 1]."""
        return self.latent_map.support(self.latent_map.v.encode(codes))


@dataclass(frozen=True)
class Troubles:
    """The three troubles as numbers.

    Images are judged by `nearest_distance` to training images, as a ratio to that of the decoded codes of test
    images: 1 is as real as a reconstruction, more is worse.

    Attributes:
        areas: share of the occupied area that each class holds.
        area_spread: standard deviation over mean of the shares (coefficient of variation); 0 is equal.
        area_ratio: the largest share over the smallest.
        prior_distance: `energy_distance` of draws from N(0, I) from the codes; 0 is the same distribution.
        prior_error: how unreal the decoded draws are.
        normal_distance: the same of the normal distribution with the codes' mean and covariance.
        normal_error: the same.
        hole_share: share of the box around the codes without support.
        hole_error: how unreal the images of those holes are.
    """

    areas: tuple[float, ...]
    area_spread: float
    area_ratio: float
    prior_distance: float
    prior_error: float
    normal_distance: float
    normal_error: float
    hole_share: float
    hole_error: float


def energy_distance(draws: Tensor, codes: Tensor) -> float:
    """How far two samples' distributions are apart, in [0, 1], whatever the scale; 0 is the same.

    ``(2 E|X - Y| - E|X - X'| - E|Y - Y'|) / 2 E|X - Y|``, the energy distance over its largest value (the coefficient
    of inhomogeneity of Rizzo & Szekely 2016, "Energy distance"). Means within a sample are over different rows, so
    the estimate has no bias from its size; chance may take it below 0, which is shown as 0.

    Args:
        draws: (k, n), k >= 2.
        codes: (m, n), m >= 2.
    """
    draws, codes = draws.double(), codes.double()
    across = 2 * torch.cdist(draws, codes).mean()
    within = [torch.cdist(rows, rows).sum() / (len(rows) * (len(rows) - 1)) for rows in (draws, codes)]
    return max(0.0, (1 - (within[0] + within[1]) / across).item()) if across > 0 else 0.0


def nearest_distance(images: Tensor, real: Tensor) -> Tensor:
    """How unlike every real image each image is: (B,) in [0, 1], ``1 - largest cosine`` of the angle between pixels.

    What no real image resembles is far from all. A classifier's confidence would not say so: it was never shown what
    is no class. Nor would a Euclidean distance: a faint image, a half of this and a half of that, is near to
    everything, as black is. It is kind to blur: compare what is blurred with what is blurred as much.

    Args:
        images: (B, C, H, W) in [0, 1].
        real: (N, C, H, W) in [0, 1].
    """
    known = normalize(real.flatten(1))
    parts = [(normalize(batch.flatten(1)) @ known.T).amax(1) for batch in images.split(500)]
    return (1 - torch.cat(parts)).clamp(0, 1)


def class_areas(places: Tensor, codes: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Share (classes,) of the places (P, n) whose nearest code (k, n) is of each class."""
    owners = torch.cat([labels[torch.cdist(batch, codes).argmin(1)] for batch in places.split(2000)])
    return torch.bincount(owners, minlength=classes).float() / len(places)


def spread(shares: Tensor) -> float:
    """Coefficient of variation: standard deviation over mean, 0 or more."""
    return (shares.std(unbiased=False) / shares.mean()).item()


def space_of(f_d: Autoencoder, data: Labelled, count: int = CODES) -> Space:
    """The latent space of an autoencoder with codes of two numbers, as its first images fill it.

    Raises:
        ValueError: codes of another shape.
    """
    if tuple(f_d.latent_shape) != (2,):
        raise ValueError(
            f"A space that can be seen whole has codes of shape (2,), this one {tuple(f_d.latent_shape)}."
        )
    some = data.first(count)
    codes = encoded(f_d, some.images)
    low, high = codes.quantile(torch.tensor([TAIL, 1 - TAIL]), 0)
    return Space(f_d, codes, some.labels, low, high, LatentMap(fit(codes, dim=2), f_d))


def troubles(space: Space, real: Labelled, test: Labelled, seed: int = 0) -> Troubles:
    """Measure the three troubles.

    Args:
        space: see `space_of`.
        real: training images, of which the first 10,000 say what is real.
        test: images that no training saw, of which the first 1,000 say what is good.
        seed: of the draws.
    """
    random = torch.Generator().manual_seed(seed)
    known = real.images[:REAL]

    def unreal(codes: Tensor) -> float:
        return nearest_distance(decode_images(space.f_d, codes), known).mean().item()

    good = unreal(encoded(space.f_d, test.images[:DRAWS]))
    places = space.lattice(LATTICE_SIDE)
    held = space.support(places) >= SUPPORTED
    areas = class_areas(places[held], space.codes, space.labels, int(space.labels.max()) + 1)
    holes = places[~held]
    some_holes = holes[torch.randperm(len(holes), generator=random)[:DRAWS]]
    prior = torch.randn(DRAWS, 2, generator=random)
    roots = torch.linalg.cholesky(space.codes.T.double().cov()).float()
    normal = space.codes.mean(0) + torch.randn(DRAWS, 2, generator=random) @ roots.T
    return Troubles(
        tuple(areas.tolist()),
        spread(areas),
        (areas.max() / areas.min()).item(),
        energy_distance(prior, space.codes),
        unreal(prior) / good,
        energy_distance(normal, space.codes),
        unreal(normal) / good,
        1 - held.float().mean().item(),
        unreal(some_holes) / good if len(holes) else 1.0,
    )


def troubles_table(results: dict[str, Troubles]) -> str:
    """Troubles of several spaces, side by side, as a table of Markdown."""
    lines = {
        "largest class area / smallest": ("area_ratio", "{:.1f}"),
        "spread of the class areas": ("area_spread", "{:.2f}"),
        "distance of N(0, I) from the codes": ("prior_distance", "{:.3f}"),
        "images of N(0, I), times as unlike real": ("prior_error", "{:.2f}"),
        "distance of the fitted normal distribution": ("normal_distance", "{:.3f}"),
        "its images, times as unlike real": ("normal_error", "{:.2f}"),
        "share of the box without support": ("hole_share", "{:.0%}"),
        "images there, times as unlike real": ("hole_error", "{:.2f}"),
    }
    rows = [
        [name, *(form.format(getattr(one, key)) for one in results.values())] for name, (key, form) in lines.items()
    ]
    return table(["", *results], rows)
