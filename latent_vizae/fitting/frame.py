"""The frame that v works in: the subspace of the codes, scaled so that distances mean image change.

A code-space error is not an image error. With M = E[J^T J] of the decoder (the average pull-back metric, from a few
hundred Jacobian products), distances in ``x = (z - mean) @ basis @ M^(1/2)`` are image changes to first order, so
least squares in x is nearly least squares in images, at the price of a matrix product. Of few codes with large images
J is the linear map from these codes to their images: no slope is taken, and fewer images are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from latent_vizae.decoders.contract import call_decoder, decode_images, decoder_threads, is_slow, within_a_second
from latent_vizae.decoders.kept import kept_of
from latent_vizae.decoders.spending import BACKWARD, note_work
from latent_vizae.inputs.sources import CodeReader
from latent_vizae.inputs.surroundings import warn_caller
from latent_vizae.measures.geometry import metric_samples
from latent_vizae.model.coordinates import Coordinates, columns_of

from .few import FEW
from .settings import Settings
from .subspace import Subspace

__all__ = ["Frame", "code_frame", "cost_of_slopes", "slopes_wanted"]


LARGE_IMAGE = 2**12
"""With images of more numbers the frame of few codes is made without Jacobian products."""

VERY_LARGE_IMAGE = 2**15
"""With images of more numbers (104 pixels in colour) slopes are taken at fewer codes, three each, and images that were
made for them are measured."""

LEAST, CLOSE = 1e-6, 1e-3
"""What directions count at least in which images do not change, where the mean is 1. The extent of few codes along a
direction, as a share of their greatest, below which their images do not tell what it changes."""

FEWEST_SAMPLED = 4
"""Codes whose slopes are sampled, at least: those of fewer say more of these codes than of all."""

GROWTH, MOST_SHARE = 1.75, 0.5
"""How many times the directions that count for images alone may count in the frame; the most that codes say in it."""


class Slopes(NamedTuple):
    """Samples (N, n) of the pull-back metric, and the numbers of the codes that they were taken at."""

    samples: Tensor
    rows: Tensor


@dataclass
class Frame:
    """Coordinates of the codes in which distances mean image change, and what is known of the codes there.

    Attributes:
        coordinates: float32.
        variances: (rank,) of the codes in the basis, the largest first.
        lost_variance: share of the codes' variance outside of the basis.
        images: of all codes, in their order, where the frame was made from them.
        sampled: numbers of the codes whose slopes it was made from; none where it was made otherwise.
        guided_by: what the frame was made from: "codes", "images" or "slopes" (`FitReport`).
    """

    coordinates: Coordinates
    variances: Tensor
    lost_variance: float
    images: Tensor | None = None
    sampled: Tensor | None = None
    guided_by: str = "codes"

    @property
    def rank(self) -> int:
        """Number of coordinates."""
        return self.coordinates.basis.shape[1]

    def for_neighbours(self, x: Tensor) -> Tensor:
        """Coordinates x (B, rank) as coordinates in the basis (B, rank), in which distances are those of codes."""
        return x @ self.coordinates.unframe

    def pca_fvu(self, dim: int) -> float:
        """1 - the first ``dim`` variances over all of them, what the frame lost among them."""
        if self.lost_variance == 1:
            return 1.0
        total = self.variances.sum().item() / max(1e-300, 1 - self.lost_variance)
        return 1 - self.variances[:dim].sum().item() / total if total > 0 else 0.0


def sampled_gradients(
    decoder: Callable[[Tensor], Tensor],
    codes: CodeReader,
    pixels: int,
    rank: int,
    generator: torch.Generator,
    most: float = math.inf,
) -> Slopes | None:
    """Samples g (N, n) with E[g g^T] = the average pull-back metric at the codes; None, and a warning, without slopes.

    Slopes that are infinite or NaN, as of a square root at 0, are left out. N follows the rank of the metric, and is
    bounded by what large images cost, and by ``most``, the images that may be asked for: then codes are left out, and
    with fewer than `FEWEST_SAMPLED` of them there are none.
    """
    count, probes = slopes_wanted(len(codes), pixels, rank)
    size = max(1, min(64, 2**15 // pixels))  # on every device, so that the same is drawn; few stay in caches
    numbers = torch.arange(count) if count == len(codes) else torch.randint(len(codes), (count,), generator=generator)
    if count * cost_of_slopes(probes) > most:
        probes = min(probes, 2)
        count = min(count, int(most // cost_of_slopes(probes)))
        if count < min(FEWEST_SAMPLED, len(numbers)):
            return None
        numbers = numbers[:: len(numbers) // count][:count]
    rows = codes[:].flatten(1) if len(numbers) == len(codes) else codes.take(numbers)

    try:
        with decoder_threads(pixels):
            found = _finite_slopes(decoder, rows.split(size), codes.latent_shape, probes, generator)
            return Slopes(found, numbers)
    except _NoSlopesError as error:
        if getattr(decoder, "differentiable", True):
            warn_caller(
                f"{error}: fit does without, and does not know which changes of a code change its image. A decoder "
                "has slopes where it computes in torch, without no_grad and detach. Where it cannot, "
                "decoder.differentiable = False says so and ends this warning."
            )
        return None


def slopes_wanted(count: int, pixels: int, rank: int) -> tuple[int, int]:
    """Of so many codes: how many have their slopes sampled, all or some of them, and how often each."""
    wanted = min(16 * rank, max(24, min(1024, 2**20 // pixels)))
    probes = max(3 if pixels > VERY_LARGE_IMAGE else 2, round(wanted / count))
    return (count if 2 * count <= wanted else -(-wanted // probes)), probes


def cost_of_slopes(probes: int) -> float:
    """Images that the slopes of one code cost."""
    return 1 + BACKWARD * probes


class _NoSlopesError(Exception):
    """A decoder gives no slopes; the message says why."""


def _finite_slopes(
    decoder: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
    latent_shape: tuple[int, ...],
    probes: int,
    generator: torch.Generator,
) -> Tensor:
    """`metric_samples` of batches (B, n) of codes, those without NaN and infinity; raises `_NoSlopesError`."""
    kept = kept_of(decoder) if is_slow(decoder) else None

    def images_of(batch: Tensor) -> Tensor:
        images = call_decoder(decoder, batch.unflatten(1, latent_shape))
        if kept is not None:
            kept.keep(batch.unflatten(1, latent_shape), images.detach().clamp(0, 1))
        return images

    def note(count: int, seconds: float) -> None:
        note_work(count * cost_of_slopes(probes), seconds)

    found = []
    for batch in batches:
        try:
            size = min(len(batch), within_a_second(decoder))
            samples = metric_samples(images_of, batch, probes, generator, size, note)
        except Exception as error:  # of somebody else's backward pass: any
            decode_images(decoder, batch[:1].unflatten(1, latent_shape))  # fails too where slopes are not to blame
            raise _NoSlopesError(f"This decoder fails where codes carry gradients ({_short(error)})") from error
        if samples is None:
            raise _NoSlopesError("The images of this decoder carry no gradients")
        found.append(samples.to(batch))
    whole = torch.cat(found)
    finite = whole[torch.isfinite(whole).all(1)]
    if len(finite) < len(whole) / 2:
        raise _NoSlopesError(
            f"{len(whole) - len(finite)} of {len(whole)} slopes of this decoder are NaN or infinite, as of a square "
            "root or a division by zero"
        )
    if not finite.any():
        raise _NoSlopesError("The slopes of this decoder are 0, as of rounding or of a part that is detached")
    return finite


def _short(error: Exception) -> str:
    """What was raised, in one line, by its first cause."""
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0][:200]}"


def code_frame(
    rows: CodeReader,
    inside: Subspace,
    decoder: Callable[[Tensor], Tensor] | None,
    pixels: int,
    generator: torch.Generator,
    settings: Settings,
    most: float = math.inf,
) -> Frame:
    """The frame of codes that vary in more directions than the map has.

    ``pixels`` are the numbers of an image, ``most`` is the number of images that may be asked for.
    """
    mean, basis, variances, lost = inside.mean, inside.basis, inside.variances, inside.lost
    rank = basis.shape[1]
    root = torch.eye(rank, dtype=torch.float64, device=mean.device)
    metric, images, sampled, guided_by = None, None, None, "codes"
    if decoder is not None and settings.metric:
        if len(rows) < FEW and pixels > LARGE_IMAGE and len(rows) > most:
            pass
        elif len(rows) < FEW and pixels > LARGE_IMAGE:
            images = decode_images(decoder, rows[:])
            metric, guided_by = _secant_metric(rows[:].flatten(1) - mean.float(), basis, images), "images"
        else:
            found = sampled_gradients(decoder, rows, pixels, rank, generator, most)
            if found is not None:
                slopes, sampled = found.samples.double() @ basis.double(), found.rows
                metric, guided_by = slopes.T @ slopes / len(slopes), "slopes"
    average = 0.0 if metric is None else metric.diagonal().mean().item()
    if average == 0:
        guided_by = "codes"
    if metric is not None and average > 0:
        metric = metric / average
        share = _code_share(metric, variances) if settings.code_share else 0.0
        values, vectors = torch.linalg.eigh((1 - share) * metric + share * root)
        root = (vectors * values.clamp(min=max(share / 2, LEAST)).sqrt()) @ vectors.T
    covariance = root @ torch.diag(variances) @ root
    scale = (rank / covariance.trace().clamp(min=1e-300)).sqrt()
    coordinates = Coordinates(
        *(part.float().contiguous() for part in (mean, basis, root * scale, torch.linalg.inv(root) / scale))
    )
    return Frame(coordinates, variances, lost, images, sampled, guided_by)


def _secant_metric(centred: Tensor, basis: Tensor, images: Tensor) -> Tensor:
    """J^T J in the basis (r, r), with J the linear map that takes codes (k, n) to images nearest in least squares.

    Of codes in general position, up to one more than directions, it takes all there exactly: then distances between
    these codes by this metric are those of their images. Directions in which codes differ by less than a thousandth of
    what they do in others are left at 0: rounding of the images would count there.
    """
    inside = torch.linalg.pinv((centred @ basis).double(), rtol=CLOSE)
    metric = torch.zeros(len(inside), len(inside)).to(inside)
    flat = images.flatten(1)
    for columns in columns_of(flat):
        part = flat[:, columns].to(inside)
        slopes = inside @ (part - part.mean(0))
        metric += slopes @ slopes.T
    return metric


def _code_share(metric: Tensor, variances: Tensor) -> float:
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
