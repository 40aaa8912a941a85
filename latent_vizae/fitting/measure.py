"""What a fitted v is worth: the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.inputs.sources import VALUES_PER_PART, CodeReader
from latent_vizae.measures.metrics import image_error, rounding, unexplained
from latent_vizae.model.report import FitReport
from latent_vizae.model.vizae import VizAE

from .budget import Decoding
from .detail import Realism
from .frame import VERY_LARGE_IMAGE, Frame
from .survey import Survey

__all__ = ["Originals", "images_wanted", "measure", "originals"]

MEASURED_CODES, MEASURED_VALUES = 2000, 2**25
"""Codes that are measured, and the most numbers in them."""

FEWEST_IMAGES, MOST_IMAGES, IMAGE_VALUES = 8, 100, 2**19
"""Images that are measured, and about the most numbers in them."""


def _square_sums(rows: Tensor) -> Tensor:
    sums: Tensor = torch.linalg.vector_norm(rows, dim=0, dtype=torch.float64).square()
    return sums


class Originals(NamedTuple):
    """Codes (m, *latent_shape) and what the decoder makes of them, (m, C, H, W)."""

    codes: Tensor
    images: Tensor


def images_wanted(pixels: int) -> int:
    """Codes of a set whose images are measured: at most 100, fewer where they have over 5,000 numbers, at least 8."""
    if pixels > VERY_LARGE_IMAGE:
        return FEWEST_IMAGES
    return max(FEWEST_IMAGES, min(MOST_IMAGES, IMAGE_VALUES // pixels))


def originals(
    reader: CodeReader,
    chosen: Tensor,
    decoder: Callable[[Tensor], Tensor] | None,
    count: int,
    frame: Frame,
) -> Originals | None:
    """The first of the chosen codes with their images, ``count`` of them; None where there are none.

    They are 8 of few codes with large images.
    """
    if decoder is None or len(chosen) == 0 or count == 0:
        return None
    if frame.images is not None:  # few codes, which come back: some tell of all
        count = min(count, FEWEST_IMAGES)
    codes = reader.take(chosen[:count]).unflatten(1, reader.latent_shape)
    return Originals(codes, decode_images(decoder, codes) if frame.images is None else frame.images[chosen[:count]])


def measure(
    v: VizAE,
    reader: CodeReader,
    trained: Tensor,
    held_out: Tensor,
    *,
    shown: tuple[Originals | None, Originals | None],
    frame: Frame,
    realism: Realism | None,
    steps: int,
    started: float,
    interrupted: bool,
    surveyed: Survey,
    rest: Survey,
    ignored: bool,
    asked: Decoding,
) -> FitReport:
    """The report: errors on at most 2,000 of the codes trained on and held out, image errors on `originals` of each.

    Of codes so long that these have more than 33 million numbers there are fewer. They come in the order of training.

    Args:
        v: fitted.
        reader: the codes that v was fitted to.
        trained: numbers of those trained on.
        held_out: numbers of the others.
        shown: some codes trained on and held out, with their images; None for no image errors.
        frame: of the fit.
        realism: what detail does.
        steps: of training.
        started: when the fit began, of `time.perf_counter`.
        interrupted: whether Ctrl-C stopped it.
        surveyed: of all codes.
        rest: of all but the outliers.
        ignored: whether ``reader`` lacks the outliers.
        asked: what was asked of the decoder.
    """

    def fvu_of(chosen: Tensor, mean: Tensor) -> float:
        error = variance = rounded = torch.zeros(reader.n, dtype=torch.float64, device=v.device)
        most = max(MOST_IMAGES, min(MEASURED_CODES, MEASURED_VALUES // reader.n))
        for part in chosen[:most].split(max(1, VALUES_PER_PART // reader.n)):
            codes = reader.take(part).to(v.device)
            rounded = rounded + rounding(codes)
            error = error + _square_sums(v(codes.unflatten(1, v.latent_shape)).flatten(1).sub_(codes))
            variance = variance + _square_sums(codes.sub_(mean))
        return unexplained(error, variance, rounded)

    def errors(chosen: Tensor, some: Originals | None) -> tuple[float | None, float | None]:
        if len(chosen) == 0:
            return None, None
        share = fvu_of(chosen, v.mean)
        if asked.decoder is None or some is None:
            return share, None
        return share, image_error(some.images, decode_images(asked.decoder, v(some.codes)))

    seconds = round(time.perf_counter() - started, 3)
    trained_fvu, trained_error = errors(trained, shown[0])
    held_fvu, held_error = errors(held_out, shown[1])
    fvu_of_rest = trained_fvu if ignored and len(surveyed.outliers) else None
    if len(surveyed.outliers) and not ignored:
        fvu_of_rest = fvu_of(trained[~torch.isin(trained, surveyed.outliers)], rest.mean.to(v.mean))
    norm_decoded = None
    if rest.norm is not None:
        some = reader.take(trained[:MOST_IMAGES]).unflatten(1, v.latent_shape)
        norm_decoded = v(some).flatten(1).norm(dim=1).mean().item()
    return FitReport(
        k=surveyed.count,
        n=reader.n,
        dim=v.dim,
        rank=frame.rank,
        lost_variance=frame.lost_variance,
        held_out=len(held_out),
        fvu=trained_fvu if trained_fvu is not None else 0.0,
        fvu_held_out=held_fvu,
        fvu_pca=frame.pca_fvu(v.dim),
        image_error=trained_error,
        image_error_held_out=held_error,
        steps=steps,
        seconds=seconds,
        interrupted=interrupted,
        guided_by=frame.guided_by,
        outliers=len(surveyed.outliers),
        outliers_ignored=ignored,
        farthest=surveyed.farthest,
        fvu_of_rest=fvu_of_rest,
        narrow_columns=rest.narrow,
        norm=rest.norm,
        norm_decoded=norm_decoded,
        images_decoded=asked.decoded,
        images_wanted=max(round(asked.wanted), asked.decoded) if asked.cut else asked.decoded,
        decoding_seconds=asked.seconds,
        **({} if realism is None else realism._asdict()),
    )
