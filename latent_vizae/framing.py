"""The frame that v works in: the subspace of the codes, scaled so that distances mean image change.

A code-space error is not an image error. With M = E[J^T J] of the decoder (the average pull-back metric, from a few
hundred Jacobian products), distances in ``x = (z - mean) @ basis @ M^(1/2)`` are image changes to first order, so
least squares in x is nearly least squares in images, at the price of a matrix product. Of few codes with large images
J is the linear map from these codes to their images: no slope is taken, and fewer images are made.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .decoder import decode_images, differentiable_images
from .geometry import jacobian, metric_samples
from .layout import FEW
from .rows import Rows, drawn

__all__ = ["Frame", "Subspace", "code_frame", "completed_frame", "subspace"]

LARGE_IMAGE = 2**12
"""With images of more numbers the frame of few codes is made without Jacobian products."""
LEAST, CLOSE = 1e-6, 1e-3
"""What directions count at least in which images do not change, where the mean is 1. The extent of few codes along a
direction, as a share of their greatest, below which their images do not tell what it changes."""
RANK, MAX_RANK, SPREAD = 256, 512, 200
"""Directions to keep: 256, with which clothes and photographs come back closer, and sooner, than with 512; but 512 of
codes whose effective number of directions, ``(sum of variances)^2 / sum of their squares``, is above 200, as of white
noise, where no direction is worth less than another."""
MAX_EXACT = 2048
ENOUGH = 0.999
GROWTH, MOST_SHARE = 1.75, 0.5
"""How many times the directions that count for images alone may count in the frame; the most that codes say in it."""
CODES_SHARE = 0.95
"""Of the squared distances that make neighbours: what codes say; the rest is what images say."""
MAX_DIRECTIONS = 64


@dataclass
class Frame:
    """``x = (z - mean) @ basis @ frame`` and back ``z = mean + x @ unframe @ basis.T``; float64, basis float32.

    ``images`` are those of all codes, in their order, where the frame was made from them.
    """

    mean: Tensor
    basis: Tensor
    frame: Tensor
    unframe: Tensor
    lost_variance: float
    variances: Tensor
    images: Tensor | None = None

    def __call__(self, codes: Tensor) -> Tensor:
        """Codes (B, n) to x (B, rank), float32."""
        inside = torch.zeros(len(codes), self.basis.shape[1], dtype=torch.float32, device=codes.device)
        for part in _columns(codes):
            inside += (codes[:, part] - self.mean[part].float()) @ self.basis[part]
        return (inside.double() @ self.frame).float()

    def for_neighbours(self, x: Tensor) -> Tensor:
        """Rows (B, rank), turned so that they lie apart as their codes do and a little as their images do.

        Codes alone (`CODES_SHARE` 1) say too little where they are spread evenly in many directions, as a GAN's are.
        """
        turned: Tensor = x @ self._neighbour_axes.to(x)
        return turned

    @cached_property
    def _neighbour_axes(self) -> Tensor:
        as_codes = (self.unframe @ self.unframe.T) * (len(self.variances) / self.variances.sum())
        square = CODES_SHARE * as_codes + (1 - CODES_SHARE) * torch.eye(len(as_codes)).to(as_codes)
        axes: Tensor = torch.linalg.cholesky(square).float()
        return axes

    def pca_fvu(self, dim: int) -> float:
        """1 - the first ``dim`` variances over all of them, what the frame lost among them."""
        total = self.variances.sum().item() / max(1e-300, 1 - self.lost_variance)
        return 1 - self.variances[:dim].sum().item() / total if total > 0 else 0.0


@dataclass
class Subspace:
    """Of codes: mean (n,) float64, orthonormal basis (n, r) float32, variances (r,), and the variance lost, 0 to 1."""

    mean: Tensor
    basis: Tensor
    variances: Tensor
    lost: float


WELL = 1e-7
"""Directions with at least so much of the greatest variance come out of a Gram matrix orthonormal to float32."""


def _columns(codes: Tensor) -> list[slice]:
    """Columns to work on at a time: few enough for a processor's cache."""
    size = 2**18 // len(codes) + 1
    return [slice(start, start + size) for start in range(0, codes.shape[1], size)]


def subspace(rows: Rows, generator: torch.Generator) -> Subspace:
    """Where the codes lie: exact if there are at most 2,048 of them, or of their numbers; else from 2,048 of them.

    At most 256 or 512 directions are kept, of 2,048 codes drawn at random those that explain 99.9 % of their variance.
    """
    k, n = len(rows), rows.n
    mean = torch.zeros(n, dtype=torch.float64, device=rows[:1].device)
    sample = None
    if min(k, n) <= MAX_EXACT and n > k:
        sample = rows[0:k].flatten(1)
        for columns in _columns(sample):
            mean[columns] = sample[:, columns].double().mean(0)
    else:
        for part in rows.parts():
            mean += part.sum(0, dtype=torch.float64)
        mean /= k
        if min(k, n) > MAX_EXACT:
            sample = rows.take(drawn(k, MAX_EXACT, generator))
    if sample is None:  # covariance
        second = torch.zeros(n, n, dtype=torch.float64, device=mean.device)
        for batch in rows.parts():
            centred = batch.double() - mean
            second += centred.T @ centred
    else:  # Gram matrix: cost follows k, not n
        second = torch.zeros(len(sample), len(sample), dtype=torch.float64, device=mean.device)
        for columns in _columns(sample):
            centred = sample[:, columns].double() - mean[columns]
            second += centred @ centred.T
    count = k if sample is None else len(sample)
    values, vectors = torch.linalg.eigh(second)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    total = values.sum()
    floor = max(1e-10 * values[0].item(), 1e-13 * (mean.square().sum().item() * count))
    most = RANK if total.square() <= SPREAD * values.square().sum() else MAX_RANK
    rank = min(int((values > floor).sum()), most)
    if count < k:
        rank = min(rank, int((values.cumsum(0) < ENOUGH * total).sum()) + 1)
    values, basis = values[:rank], vectors[:, :rank]
    if sample is not None:
        turn = basis / values.sqrt()
        basis = torch.empty(n, rank, dtype=torch.float32, device=mean.device)

        def across(columns: slice) -> Tensor:
            part: Tensor = (sample[:, columns].double() - mean[columns]).T @ turn
            return part

        if rank and values[-1] < WELL * values[0]:  # rounding shows: make them orthonormal once more
            square = torch.zeros(rank, rank, dtype=torch.float64, device=mean.device)
            for columns in _columns(sample):
                part = across(columns)
                square += part.T @ part
            lengths, axes = torch.linalg.eigh(square)
            turn = turn @ (axes / lengths.sqrt()) @ axes.T
        for columns in _columns(sample):
            basis[columns] = across(columns).float()
    lost = 1 - (values.sum() / total).item() if total > 0 else 0.0
    return Subspace(mean, basis.float(), values / count, max(0.0, lost))


def _gradients(
    decoder: Callable[[Tensor], Tensor],
    codes: Rows,
    pixels: int,
    rank: int,
    generator: torch.Generator,
) -> Tensor | None:
    """Samples g (N, n) with E[g g^T] = the average pull-back metric at the codes; None without gradients.

    Slopes that are infinite or NaN, as of a square root at 0, are left out. N follows the rank of the metric, and is
    bounded by what large images cost.
    """
    wanted = min(16 * rank, max(24, min(1024, 2**20 // pixels)))
    size = max(1, min(64, 2**15 // pixels))  # on every device, so that the same is drawn; few stay in caches
    probes = max(2, round(wanted / len(codes)))
    if 2 * len(codes) <= wanted:
        rows = codes[:].flatten(1)
    else:
        rows = codes.take(torch.randint(len(codes), (-(-wanted // probes),), generator=generator))

    def images_of(batch: Tensor) -> Tensor:
        return differentiable_images(decoder, batch.unflatten(1, codes.latent_shape))

    found = []
    for batch in rows.split(size):
        samples = metric_samples(images_of, batch, probes, generator)
        if samples is None:
            return None
        found.append(samples.to(rows))
    whole = torch.cat(found)
    finite = whole[torch.isfinite(whole).all(1)]
    if len(finite) < len(whole) / 2:
        warnings.warn(
            f"{len(whole) - len(finite)} of {len(whole)} slopes of this decoder are NaN or infinite, so fit goes by "
            "the codes alone. Is there a square root or a division by zero in it?",
            stacklevel=4,
        )
        return None
    return finite


def code_frame(
    rows: Rows, inside: Subspace, decoder: Callable[[Tensor], Tensor] | None, pixels: int, generator: torch.Generator
) -> Frame:
    """The frame of codes that vary in more directions than the map has; ``pixels`` are the numbers of an image."""
    mean, basis, variances, lost = inside.mean, inside.basis, inside.variances, inside.lost
    rank = basis.shape[1]
    root = torch.eye(rank, dtype=torch.float64, device=mean.device)
    metric, images = None, None
    if decoder is not None and rank:
        if len(rows) < FEW and pixels > LARGE_IMAGE:
            images = decode_images(decoder, rows[:])
            metric = _secant_metric(rows[:].flatten(1) - mean.float(), basis, images)
        else:
            gradients = _gradients(decoder, rows, pixels, rank, generator)
            if gradients is not None:
                slopes = gradients.double() @ basis.double()
                metric = slopes.T @ slopes / len(slopes)
    average = 0.0 if metric is None else metric.diagonal().mean().item()
    if metric is not None and average > 0:
        metric = metric / average
        share = _codes_share(metric, variances)
        values, vectors = torch.linalg.eigh((1 - share) * metric + share * root)
        root = (vectors * values.clamp(min=max(share / 2, LEAST)).sqrt()) @ vectors.T
    covariance = root @ torch.diag(variances) @ root
    scale = (rank / covariance.trace().clamp(min=1e-300)).sqrt() if rank else torch.ones(())
    return Frame(mean, basis, root * scale, torch.linalg.inv(root) / scale, lost, variances, images)


def _secant_metric(centred: Tensor, basis: Tensor, images: Tensor) -> Tensor:
    """J^T J in the basis (r, r), with J the linear map that takes codes (k, n) to images nearest in least squares.

    Of codes in general position, up to one more than directions, it takes all there exactly: then distances between
    these codes by this metric are those of their images. Directions in which codes differ by less than a thousandth of
    what they do in others are left at 0: rounding of the images would count there.
    """
    inside = torch.linalg.pinv((centred @ basis).double(), rtol=CLOSE)
    metric = torch.zeros(len(inside), len(inside)).to(inside)
    flat = images.flatten(1)
    for columns in _columns(flat):
        part = flat[:, columns].to(inside)
        slopes = inside @ (part - part.mean(0))
        metric += slopes @ slopes.T
    return metric


def _codes_share(metric: Tensor, variances: Tensor) -> float:
    """How much code distances count in the frame beside image changes, 0 to 1: s in (1 - s) metric + s I.

    An average metric tells little of images that are far apart; there codes tell more. But codes that are spread
    evenly in many directions, as a GAN's are, tell nothing but noise. So s is the largest, up to `MOST_SHARE`, with
    which the effective number of directions of the codes in the frame, ``(sum of variances)^2 / sum of their
    squares``, is at most `GROWTH` times what it is with s = 0.
    """
    seen = metric * variances  # metric @ covariance; traces of its powers give the sums for every s
    share = torch.linspace(0, MOST_SHARE, 51, dtype=metric.dtype, device=metric.device)
    total = (1 - share) * seen.trace() + share * variances.sum()
    squares = (1 - share) ** 2 * (seen * seen.T).sum() + share**2 * variances.square().sum()
    squares = squares + 2 * share * (1 - share) * (seen.diagonal() * variances).sum()
    count = total**2 / squares
    return float(share[count <= GROWTH * count[0]][-1])


IMAGE_CHANGE = 0.005
"""Mean square image change from the middle of a completed direction to its ends: visible, and still the same thing
(0.008 turns some MNIST digits into others)."""


def completed_frame(
    rows: Rows,
    inside: Subspace,
    dim: int,
    decoder: Callable[[Tensor], Tensor] | None,
    pixels: int,
    generator: torch.Generator,
) -> Frame:
    """The frame of codes that vary in at most ``dim`` directions, completed to exactly ``dim``.

    The missing directions are those in which the decoder changes the images of these codes most: the leading
    eigenvectors of the pull-back metric, without what the codes span. Each reaches so far that at the edge of the
    map the image has changed by 0.005 (mean square over pixels). Without a decoder they are random and
    reach as far as the codes lie apart (or half the norm of the only code, or 1 for a code of 0).
    """
    mean, basis, rank = inside.mean, inside.basis.double(), inside.basis.shape[1]
    reaches = [((part.double() - mean) @ basis).abs().amax(0) for part in rows.parts()]
    spread = torch.stack(reaches).amax(0)
    typical = spread.max() if rank else (mean.norm() / 2 if mean.norm() > 0 else torch.ones_like(mean[0]))
    more = _leading_directions(rows, basis, dim - rank, decoder, pixels, typical.item(), generator)
    reach = [_reach(decoder, mean, direction, typical, rows.latent_shape) for direction in more.T]
    half = torch.cat([spread, *(r.reshape(1) for r in reach)]) * (1 + 1e-6)
    basis = torch.cat([basis, more], 1).float()
    return Frame(mean, basis, torch.diag(1 / half), torch.diag(half), inside.lost, inside.variances)


def _leading_directions(
    rows: Rows,
    basis: Tensor,
    count: int,
    decoder: Callable[[Tensor], Tensor] | None,
    pixels: int,
    typical: float,
    generator: torch.Generator,
) -> Tensor:
    """Orthonormal directions (n, count), orthogonal to the basis, in which the images of the codes change most.

    The exact Jacobian inside a subspace of at most 64 dimensions: all of them, or, for longer codes, those that random
    Jacobian products point to (a randomised singular value decomposition), or random ones where a decoder has no
    gradients. Of large images and longer codes the products alone decide.
    """
    n = rows.n
    if count == 0:
        return basis[:, :0]
    if decoder is not None and n <= MAX_DIRECTIONS:
        candidates = torch.eye(n, dtype=torch.float64, device=basis.device)
    else:
        most = MAX_DIRECTIONS
        found = None if decoder is None else _gradients(decoder, rows, pixels, count, generator)
        if found is None or not found.any():
            found = torch.randn(most, n, generator=generator).to(basis)
        else:
            found, most = found.to(basis), min(most, max(8, 2**17 // pixels))
            _, values, axes = torch.linalg.svd(found - (found @ basis) @ basis.T, full_matrices=False)
            if pixels > LARGE_IMAGE and values[count - 1] > 1e-6 * found.norm():
                leading: Tensor = axes[:count].T
                return leading
        candidates = torch.linalg.svd(found, full_matrices=False)[2][:most].T
    candidates = candidates - basis @ (basis.T @ candidates)
    u, values, _ = torch.linalg.svd(candidates, full_matrices=False)
    kept: Tensor = u[:, : int((values > 1e-6 * values[0]).sum())]
    if decoder is None:
        first: Tensor = kept[:, :count]
        return first
    metric = torch.zeros(kept.shape[1], kept.shape[1], dtype=torch.float64, device=basis.device)
    for code in rows[: min(4, len(rows))].flatten(1):

        def images_of(moves: Tensor, code: Tensor = code) -> Tensor:
            moved = (code.double() + moves.double() @ kept.T).float()
            return decode_images(decoder, moved.unflatten(1, rows.latent_shape))

        jac = jacobian(images_of, torch.zeros(1, kept.shape[1], device=basis.device), 1e-2 * typical)[0].double()
        metric += (jac.T @ jac).to(metric)
    leading = kept @ torch.linalg.eigh(metric)[1].flip(1)[:, :count]
    return leading


def _reach(
    decoder: Callable[[Tensor], Tensor] | None,
    mean: Tensor,
    direction: Tensor,
    typical: Tensor,
    latent_shape: tuple[int, ...],
) -> Tensor:
    """How far to go from the mean until the image has changed by `IMAGE_CHANGE` on average of both ways."""
    if decoder is None:
        return typical
    middle = decode_images(decoder, mean.float().reshape(1, *latent_shape))
    distances: list[Tensor] = list(typical * torch.logspace(-3, 1, 41, dtype=torch.float64).to(mean))

    def share(index: int) -> float:
        codes = (mean + torch.stack([distances[index], -distances[index]]).unsqueeze(1) * direction).float()
        change = (decode_images(decoder, codes.unflatten(1, latent_shape)) - middle).square().mean()
        return change.item() / IMAGE_CHANGE

    # From a hundredth of the typical distance at most twice as far at a time, and only as far as it takes if the image
    # changes on in proportion: further out a decoder may break its contract.
    index = 10
    found = share(index)
    while found < 1 and index + 1 < len(distances):
        to_go = -5 * math.log10(max(found, 1e-9))  # ten distances are a factor of ten
        index = min(index + max(1, min(3, int(to_go))), len(distances) - 1)
        found = share(index)
    while index > 0 and share(index - 1) >= 1:
        index -= 1
    return distances[index]
