"""Detail: what the sheet leaves out of the codes, as a smooth random field over the map.

A sheet of d dimensions through codes of n numbers passes near their mean, where no code is. The field fills up what it
lacks: where the map is supported, codes with detail have the mean and the covariance of the given ones. In units of
the codes' deviations along the basis it is

    g(p) - axes diag(1 - gains) axes^T g(p),    g(p) = sum_j (a_j cos w_j.p + b_j sin w_j.p) / sqrt(m),

a random Fourier series (Rahimi & Recht 2007): a_j and b_j are drawn from N(0, I), so g(p) is N(0, I) at every point,
and the axes are directions in which the sheet itself varies. The frequencies w_j fill a band. Slower waves are the
sheet's own: it takes from the codes what varies slowly over the map. Faster ones would make the images flicker.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from latent_vizae.inputs.checks import as_whole

from .coordinates import Coordinates

__all__ = ["Detail", "as_variant", "frequencies"]

BAND = 0.5
"""The least frequency as a share of the greatest. Without the slow waves (0) the mean over the map is 4 times as far
from the codes'; a thinner band (0.9) repeats itself."""
PERIOD = 3.0
"""Of the series, in map units; a map is 2 wide."""
MOST_WAVES = 256
"""More add nothing at the usual length scale, and cost memory: each has two numbers per number of a code."""
VARIANTS = 64
"""Fields that are put in order: one of four misses the codes' covariance by half as much again as the best."""
SHORTEST, LONGEST = 0.05, 2.0
"""Length scales, in map units."""


@lru_cache(8)
def frequencies(dim: int, scale: float) -> Tensor:
    """Frequencies (m, dim) of a field of that length scale: points of a lattice, one of each pair w and -w.

    They lie in the shell between half of a radius and the radius with which the mean of ``|w|^2`` is about
    ``dim / scale^2``, as of a Gaussian kernel ``exp(-|p - q|^2 / (2 scale^2))``.
    """
    share = dim / (dim + 2) * (1 - BAND ** (dim + 2)) / (1 - BAND**dim)
    radius = math.sqrt(dim / share) / scale
    spacing = min(2 * math.pi / PERIOD, radius / 4)  # some lie in the shell whatever the scale
    side = torch.arange(-int(radius / spacing), int(radius / spacing) + 1, dtype=torch.float64)
    lattice = torch.cartesian_prod(*[side] * dim).reshape(-1, dim)
    lattice = lattice[len(lattice) // 2 + 1 :]  # the other half is its mirror image
    lengths = spacing * lattice.norm(dim=1)
    waves: Tensor = spacing * lattice[(lengths >= BAND * radius) & (lengths <= radius * (1 + 1e-9))]
    if len(waves) > MOST_WAVES:
        order = np.random.default_rng(0).permutation(len(waves))[:MOST_WAVES]
        waves = waves[torch.from_numpy(np.sort(order))]
    return waves


class Detail(nn.Module):
    """The field of one v: `forward` says what it adds to the codes of points.

    Args:
        dim: dimension of the map.
        rank: dimension of v's basis.
        count: number of axes.
        scale: length scale of the field, in map units (the map is 2 wide), from 0.05 to 2.
        seed: of the fields; each variant of each seed is another one.

    Attributes:
        seeds: (64,) int64, of variants 0 to 63: the fields with which the codes of the whole map come nearest to the
            covariance of the given ones, best first. Further variants are their own seeds.
        spread: (rank,) standard deviations of the codes along the basis.
        offset: (rank,) mean of the sheet over the map, from that of the codes, along the basis.
        axes: (rank, count) orthonormal, in units of ``spread``.
        gains: (count,) from 0 to 1: what the sheet leaves open of each axis, as a share of the standard deviation.
        factor: (rank, rank) in v's coordinates: factor @ factor.T is the covariance of the codes that share a place.
        own: (rank, count) orthonormal in v's coordinates: axes along which the sheet varies where the codes lie.
        trust: (count,) how far from the codes' mean the codes of a place lie on average along each of these, relative
            to the sheet, which has learnt some of its codes by heart.
        outside: standard deviation of each number of a code outside of the basis.

    Raises:
        ValueError: a scale that is no such number, or a seed that is below 0.
    """

    seeds: Tensor
    spread: Tensor
    offset: Tensor
    axes: Tensor
    gains: Tensor
    factor: Tensor
    own: Tensor
    trust: Tensor
    outside: Tensor

    def __init__(self, dim: int, rank: int, count: int, scale: float, seed: int) -> None:
        super().__init__()
        if not 0 <= count <= rank or not SHORTEST <= scale <= LONGEST or not 0 <= seed < 2**63:
            raise ValueError(
                f"No detail has axes={count} of {rank}, scale={scale}, seed={seed}: there are at most as many axes as "
                f"directions, a scale lies from {SHORTEST} to {LONGEST}, and a seed is at least 0."
            )
        self.dim, self.scale, self.seed = dim, float(scale), int(seed)
        self.register_buffer("seeds", torch.tensor(range(VARIANTS)))  # arange takes a second on "meta"
        self.register_buffer("spread", torch.zeros(rank))
        self.register_buffer("offset", torch.zeros(rank))
        self.register_buffer("axes", torch.zeros(rank, count))
        self.register_buffer("gains", torch.zeros(count))
        self.register_buffer("factor", torch.zeros(rank, rank))
        self.register_buffer("own", torch.zeros(rank, count))
        self.register_buffer("trust", torch.zeros(count))
        self.register_buffer("outside", torch.zeros(()))
        self._kept: tuple[tuple[object, ...], Tensor] | None = None

    def coefficients(self, variant: int, basis: Tensor) -> Tensor:
        """What each wave, cosines then sines, adds to a code: (2 m, n), of a variant and v's basis (n, rank)."""
        m = len(frequencies(self.dim, self.scale))
        chosen = self.seeds[variant].item() if variant < len(self.seeds) else variant
        state = np.random.SeedSequence([self.seed, int(chosen)]).generate_state(1)[0]
        return self.normal(2 * m, int(state), basis) / math.sqrt(m)

    def normal(self, count: int, seed: int, basis: Tensor) -> Tensor:
        """Normal draws (count, n) of what the sheet leaves open."""
        generator = torch.Generator().manual_seed(seed)
        inside = torch.randn(count, basis.shape[1], generator=generator).to(basis)
        inside -= ((inside @ self.axes) * (1 - self.gains)) @ self.axes.T
        draws: Tensor = (inside * self.spread) @ basis.T + self.beyond(count, basis, generator)
        return draws

    def beyond(self, count: int, basis: Tensor, generator: torch.Generator) -> Tensor | float:
        """Normal draws (count, n) outside of the basis."""
        if len(basis) == basis.shape[1] or self.outside == 0:
            return 0.0
        rest = torch.randn(count, len(basis), generator=generator).to(basis)
        beyond: Tensor = self.outside * rest.sub_((rest @ basis) @ basis.T)
        return beyond

    def forward(self, points: Tensor, variant: int | Literal["each"], basis: Tensor) -> Tensor:
        """What is added to the codes of points (P, dim) where the amount is 1: (P, n); analytic in the points.

        ``basis`` (n, rank) is v's. With "each" there is no field: every point has a draw of its own, of the same
        distribution.
        """
        shift = self.offset @ basis.T
        if variant == "each":
            return self.normal(len(points), self.seed, basis).sub_(shift)
        mark = (variant, self.seed, self.scale, basis.data_ptr(), basis.dtype, basis.device)
        kept = self._kept  # read once: another thread may ask for another variant
        if kept is None or kept[0] != mark:  # the same variant is asked for again and again
            kept = self._kept = mark, self.coefficients(variant, basis)
        return self.waves(points) @ kept[1] - shift

    def waves(self, points: Tensor) -> Tensor:
        """Cosines and sines of all waves at points (P, dim): (P, 2 m)."""
        phases = points @ frequencies(self.dim, self.scale).to(points).T
        both: Tensor = torch.cat([phases.cos(), phases.sin()], 1)
        return both

    def conditional(self, x: Tensor, slopes: Tensor, where: Coordinates, seed: int) -> Tensor:
        """Draws from the codes that have a place for their nearest point, one for each place: (P, n).

        Normal draws of what the sheet leaves open, orthogonal to it, around the mean that the codes of a place have.

        Args:
            x: (P, rank) of the sheet at the places.
            slopes: (P, dim, rank) of x along the map.
            where: the coordinates of x.
            seed: of the draws.
        """
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(x), len(self.factor), generator=generator).to(x) @ self.factor.T
        tangents = torch.linalg.qr(slopes.mT.double())[0].to(x)
        noise -= ((noise.unsqueeze(1) @ tangents) @ tangents.mT).squeeze(1)
        excess = (x @ self.own * (1 - self.trust)) @ self.own.T
        return where.back(x - excess + noise) + self.beyond(len(x), where.basis, generator)

    def lengths(self, codes: Tensor, where: Coordinates) -> Tensor:
        """Mahalanobis lengths (P,) of codes (P, n), per number: ``sqrt(z^T S^-1 z / n)``, z from the codes' mean."""
        centred = codes - where.mean
        inside = centred @ where.basis
        used = self.spread > 1e-6 * self.spread.max()
        squares, count = (inside[:, used] / self.spread[used]).square().sum(1), int(used.sum())
        if self.outside > 1e-6 * self.spread.max() and len(where.basis) > inside.shape[1]:
            rest = centred.square().sum(1) - inside.square().sum(1)
            squares = squares + rest.clamp(min=0) / self.outside.square()
            count += len(where.basis) - inside.shape[1]
        lengths: Tensor = (squares / count).sqrt()
        return lengths


def as_variant(variant: int | str, each: bool = True) -> int | Literal["each"]:
    """A whole number of at least 0, or "each" where it is allowed.

    Raises:
        TypeError: not a whole number.
        ValueError: below 0, or another word.
    """
    if isinstance(variant, str):
        if variant == "each" and each:
            return "each"
        raise ValueError(
            f"variant is a whole number{', or each for another draw per sample' if each else ''}; got {variant!r}."
        )
    return as_whole(variant, "variant")
