"""Detail of a fitted v: what its sheet lacks of the codes' variance, and whether images are better with it.

In the basis all codes have the covariance S; the sheet, over the places of the map that are supported, has Y. The
field gets what is between them, so that decoded codes have the covariance of the given ones. Outside of the basis it
has the variance that the basis leaves out, evenly.

Whether it is wanted is measured on images of places all over the map, with detail and without. Those are typical that
are as unlike the nearest image of a code, and as unlike each other, as images of codes are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from latent_vizae.decoders.contract import decode_images
from latent_vizae.measures.realism import spread, unlikeness
from latent_vizae.measures.typicality import energy_test, norm_ratio
from latent_vizae.model.detail import Detail
from latent_vizae.model.vizae import VizAE
from latent_vizae.network.perceptron import through, with_slopes

from .frame import Frame

__all__ = ["Realism", "images_of_places", "set_detail"]

SCALE = 0.17
"""Length scale of the field, in map units: the knee between images that are as varied as the generator's and images
that change as calmly as the sheet's (tests/benchmarks/results/detail.md has the curve)."""
MOST_AXES = 64
"""Axes along which the sheet varies, at most: further ones have less than a thousandth of the codes' variance."""
PLACES, NEAR, FEWEST = 1024, 1.18, 64
"""Places that are looked at; how far from a code they may be, in spacings of the codes (there the support is one
half); and how many of them there have to be, else the codes' own points are the places."""
FACTORED, ROUNDS = 500, 8
"""Codes that the conditional distribution is estimated from, at most; rounds of its fixed point."""
MOST_TRUST = 1.1
"""Greatest slope of codes on the sheet: chance gives some of 1.2 and more."""
FEWEST_IMAGES = 16
"""Images of places, at least; of one in four of the codes' images that there are, which bounds what it costs."""
MARGIN, SHORT = 2.5, 0.2
"""By how much images have to be more typical with detail, about what chance is worth, times the root of the number of
codes; and how much shorter (in logarithms) the sheet's codes may be than given ones: those of digits are by 0.1, those
of a prior of 32 numbers by 0.6."""
MARGIN_OF_DATA, NORMAL, TESTED = 0.5, 0.4, 8
"""By how much of codes that do not look like draws of a normal distribution, such as encoded images: normal residuals
make ghosts of them. The p-value from which on they look like such draws, and the number of axes that are looked at;
priors have 0.36 to 0.98, digits and clothes 0.005 to 0.4 from 300 codes on."""


class Realism(NamedTuple):
    """What the report says of the codes, and of places all over the map with and without detail; see `FitReport`."""

    sheet_norm: float
    sheet_unlikeness: float | None
    sheet_spread: float | None
    detail_norm: float
    detail_unlikeness: float | None
    detail_spread: float | None


@torch.no_grad()
def set_detail(
    v: VizAE,
    frame: Frame,
    k: int,
    x: Tensor,
    x_held: Tensor,
    codes: Tensor,
    images: Tensor | None,
    decoder: Callable[[Tensor], Tensor] | None,
    amount: float | None,
    at: Tensor | None = None,
) -> Realism:
    """Give v its field, and set how much of it is added: ``amount``, or, for None, 0 or 1 by what is measured.

    Args:
        v: with its points.
        frame: of v.
        k: number of codes.
        x: (K, rank) some of them in the frame.
        x_held: (H, rank) some that v was not trained on, in the frame; none where there are none.
        codes: (m, *latent_shape), some of those that v was fitted to.
        images: (l, C, H, W) of such codes, l at least 4; None without a decoder.
        decoder: f_d, or None; then nothing says what codes are for, and the amount is 0 where none is asked for.
        amount: from 0 to 1, or None.
        at: (P, d) places of the last of the codes that have images, where images are so large that those of further
            places are not made; by default places all over the map.
    """
    places = supported_places(v)
    v.field = lacking(v, frame, k, places, x_held)
    found: list[float | None] = []
    for detail in (0.0, 1.0):
        decoded = v.decode(places, detail=detail)
        found.append(norm_ratio(decoded, codes))
        if decoder is None or images is None:
            found += [None, None]
            continue
        if at is None:
            made, draws, known = decoded[: images_of_places(len(images))], images[::2], images[1::2]
        else:
            made, draws, known = v.decode(at, detail=detail), images[-len(at) :], images[: -len(at)]
        made = decode_images(decoder, made)
        found += [unlikeness(made, draws, known), spread(made, images)]
    realism = Realism(*found)  # type: ignore[arg-type]
    if amount is None:
        margin = MARGIN / len(x) ** 0.5 if normality(x) > NORMAL else MARGIN_OF_DATA
        amount = float(deviation(found[3:]) + margin < deviation(found[:3]))
    v.detail = amount
    return realism


def images_of_places(shown: int) -> int:
    """Images of places that are compared with so many images of codes."""
    return max(FEWEST_IMAGES, shown // 4)


def deviation(measured: Sequence[float | None]) -> float:
    """How far norm, unlikeness and spread are from 1: the sum of their logarithms, without signs; 0 without images."""
    norm, *ratios = [abs(math.log(min(max(ratio, 1e-9), 1e9))) for ratio in measured if ratio is not None]
    return max(0.0, norm - SHORT) + sum(ratios) if ratios else 0.0


def supported_places(v: VizAE) -> Tensor:
    """Places (P, d) all over the map that are near its points."""
    known = v.points[:: -(-len(v.points) // 4096)]
    places = 2 * SobolEngine(v.dim, scramble=True, seed=0).draw(PLACES, dtype=torch.float32).to(known) - 1
    spacing = 2 / max(len(known), v.dim + 1) ** (1 / v.dim)
    near = places[torch.cdist(places, known).amin(1) < NEAR * spacing]
    return near if len(near) >= FEWEST else known[:PLACES]


def lacking(v: VizAE, frame: Frame, k: int, places: Tensor, x_held: Tensor) -> Detail:
    """The field of what the sheet lacks over the places, and what it lacks where the codes lie.

    In units of the codes' deviations S is the identity, so that S - Y is ``I - shares`` along the axes of Y; where the
    sheet varies more than the codes there is nothing left.
    """
    deviations, outside = deviations_of(frame, len(v.mean), k)
    sheet = through(v.decoder, places).double() @ v.unframe.double()
    offset = sheet.mean(0)
    shares, axes = leading(sheet / deviations.clamp(min=1e-9 * deviations.max()))
    factor, own, trust = left_open(v, deviations, x_held)
    values = {
        "spread": deviations,
        "offset": offset,
        "axes": axes,
        "gains": (1 - shares).clamp(min=0).sqrt(),
        "factor": factor,
        "own": own,
        "trust": trust,
        "outside": outside,
    }
    field = Detail(v.dim, frame.rank, len(shares), SCALE, 0)
    for name, value in values.items():
        setattr(field, name, value.to(v.mean).contiguous())
    field.seeds = most_even(field, sheet - offset, field.waves(places.double()), v.frame.double())
    return field.requires_grad_(False).eval()


def left_open(v: VizAE, deviations: Tensor, x_held: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the codes that share a place: a factor of their covariance, axes, and the trust in the sheet; see `Detail`.

    The law of total variance: what codes vary by, less what the means of places vary by. Means are the sheet's,
    corrected by how far held-out codes reach on it and follow it. Draws are made orthogonal to the sheet at their
    place, so the covariance is solved for with which they have what is left on average.
    """
    known = v.points[:: -(-len(v.points) // FACTORED)]
    shown, slopes = with_slopes(v.decoder, known)
    variances, own = leading(shown.double())
    trust = torch.ones_like(variances)
    if len(x_held):
        codes = x_held[:FACTORED].to(v.mean)
        places = v.encode(v.coordinates.back(codes).unflatten(1, v.latent_shape))
        along = through(v.decoder, places).double() @ own
        trust = regression(along, codes.double() @ own)
        reached = along.square().mean(0).sum() / variances.sum().clamp(min=1e-300)
        variances *= reached.clamp(max=1).sqrt()  # half of the way, as held-out codes are few
    frame = v.frame.double()
    wanted = frame.T * deviations.square() @ frame - (own * trust.square() * variances) @ own.T
    tangents = torch.linalg.qr(slopes.mT.double())[0]  # (P, rank, dim)
    flat = tangents.transpose(0, 1).flatten(1)
    projection = flat @ flat.T / len(tangents)
    found = wanted
    for _ in range(ROUNDS):
        rest, directions = torch.linalg.eigh(found)
        factor = directions * rest.clamp(min=0).sqrt()
        covariance = factor @ factor.T
        within = tangents @ (tangents.mT @ covariance @ tangents)
        cross = projection @ covariance
        mean = covariance - cross - cross.T + within.transpose(0, 1).flatten(1) @ flat.T / len(tangents)
        found = covariance + wanted - mean
    return factor, own, trust


def leading(sheet: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (count,) of the sheet (P, rank) along its principal axes (rank, count), the greatest first."""
    centred = sheet - sheet.mean(0)
    shares, axes = torch.linalg.eigh(centred.T @ centred / len(sheet))
    count = min(MOST_AXES, len(shares))
    return shares.flip(0)[:count], axes.flip(1)[:, :count]


def deviations_of(frame: Frame, n: int, k: int) -> tuple[Tensor, Tensor]:
    """Standard deviations of the codes along the basis (rank,), and of each number outside of it.

    Where k codes cannot tell their covariance from a multiple of the identity, it is taken to be one: those of a prior
    seem to vary more along some directions than along others by chance alone. The shrinkage of Chen et al. (2010),
    "Shrinkage algorithms for MMSE covariance estimation", eq. 23 (OAS), says so where it is above one half.
    """
    variances = frame.variances.double().clamp(min=0)
    lost = frame.lost_variance * variances.sum() / max(1e-9, 1 - frame.lost_variance)
    left = max(1, n - frame.rank)
    trace, squares = variances.sum() + lost, variances.square().sum() + lost.square() / left
    shrinkage = ((1 - 2 / n) * squares + trace**2) / ((k + 1 - 2 / n) * (squares - trace**2 / n)).clamp(min=1e-300)
    if shrinkage > 0.5:
        same = (trace / n).sqrt()
        return same.expand(frame.rank).clone(), same
    return variances.sqrt(), (lost / left).sqrt()


def regression(shown: Tensor, codes: Tensor) -> Tensor:
    """Slopes (count,) of codes (m, count) on what the sheet shows of them; common ones of 1, 2, 4, 8, ... axes.

    The sheet is to be trusted along its first axes, and has learnt its codes by heart along the last ones.
    """
    weights = 1 / (codes - shown).square().mean(0).clamp(min=1e-300)
    products, squares = (shown * codes).sum(0) * weights, shown.square().sum(0) * weights
    octave = torch.arange(1, len(weights) + 1, device=weights.device).float().log2().floor().long()
    empty = products.new_zeros(int(octave.max()) + 1)
    both = [empty.index_add(0, octave, sums) for sums in (products, squares)]
    slopes: Tensor = (both[0] / both[1].clamp(min=1e-300)).clamp(0, MOST_TRUST)[octave]
    return slopes


def most_even(field: Detail, sheet: Tensor, waves: Tensor, frame: Tensor) -> Tensor:
    """Seeds in order: first those with which codes at the places come nearest to mean and covariance of given ones.

    Args:
        field: without an order.
        sheet: (P, rank) at the places, along the basis, less its mean.
        waves: (P, 2 m) of the field at the places.
        frame: (rank, rank); in its coordinates what changes images counts.
    """
    wanted = frame.T * field.spread.double().square() @ frame
    identity = torch.eye(len(frame)).to(field.spread)
    given = sheet @ frame
    both = torch.cat([given, waves], 1)
    means = both.mean(0)
    moments = (both - means).T @ (both - means) / len(both)
    r = len(frame)
    missed = []
    for seed in field.seeds.tolist():
        weights = field.coefficients(seed, identity).double() @ frame  # codes at the places: given + waves @ weights
        mean = means[:r] + means[r:] @ weights
        crossed = moments[:r, r:] @ weights
        covariance = moments[:r, :r] + crossed + crossed.T + weights.T @ moments[r:, r:] @ weights
        missed.append((covariance - wanted).norm() / wanted.trace() + mean.norm() / wanted.trace().sqrt())
    return torch.stack(missed).argsort()


def normality(x: Tensor) -> float:
    """Probability, by the energy test, of what is seen of codes (K, rank) if they are draws of a normal distribution.

    Along the axes along which images vary most: far more numbers would hide what these tell.
    """
    codes = x.double() - x.double().mean(0)
    variances, axes = torch.linalg.eigh(codes.T @ codes / len(codes))
    axes, deviations = axes[:, -TESTED:], variances[-TESTED:].clamp(min=0).sqrt()
    draws = torch.randn(len(codes), len(deviations), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return energy_test(codes @ axes, draws.to(codes) * deviations)[1]
