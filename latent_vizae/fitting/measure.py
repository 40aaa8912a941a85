"""What a fitted v is worth: the report."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.inputs.sources import VALUES_PER_PART, CodeReader
from latent_vizae.measures.metrics import image_error
from latent_vizae.model.report import FitReport
from latent_vizae.model.vizae import VizAE

from .frame import Frame

__all__ = ["measure"]

MEASURED_CODES, MEASURED_VALUES = 2000, 2**25
"""Codes that are measured, and the most numbers in them."""

FEWEST_IMAGES, MOST_IMAGES, IMAGE_VALUES = 8, 100, 2**19
"""Images that are measured, and about the most numbers in them."""


def _square_sum(rows: Tensor) -> float:
    return float(torch.linalg.vector_norm(rows, dtype=torch.float64).square())


def measure(
    v: VizAE,
    reader: CodeReader,
    trained: Tensor,
    held_out: Tensor,
    decoder: Callable[[Tensor], Tensor] | None,
    pixels: int,
    frame: Frame,
    *,
    steps: int,
    seconds: float,
    interrupted: bool,
) -> FitReport:
    """The report: errors on at most 2,000 of the codes trained on and held out, image errors on at most 100 of each.

    Of codes so long that these have more than 33 million numbers there are fewer, and of images of more than 5,000
    numbers as well, but at least 8, and 8 of few codes with large images. They come in the order of training.
    """

    def errors(chosen: Tensor) -> tuple[float | None, float | None]:
        if len(chosen) == 0:
            return None, None
        error = variance = size = 0.0
        most = max(MOST_IMAGES, min(MEASURED_CODES, MEASURED_VALUES // reader.n))
        for part in chosen[:most].split(max(1, VALUES_PER_PART // reader.n)):
            codes = reader.take(part)
            size += _square_sum(codes)
            error += _square_sum(v(codes.unflatten(1, v.latent_shape)).flatten(1).sub_(codes))
            variance += _square_sum(codes.sub_(v.mean))
        rounding = 1e-12 * size  # codes without variance come back, or do not
        unexplained = error / variance if variance > rounding else 0.0 if error <= rounding else float("inf")
        if decoder is None:
            return unexplained, None
        count = max(FEWEST_IMAGES, min(MOST_IMAGES, IMAGE_VALUES // pixels))
        if frame.images is not None:  # few codes, which come back: some tell of all
            count = FEWEST_IMAGES
        codes = reader.take(chosen[:count]).unflatten(1, v.latent_shape)
        images = decode_images(decoder, codes) if frame.images is None else frame.images[chosen[:count]]
        return unexplained, image_error(images, decode_images(decoder, v(codes)))

    trained_fvu, trained_error = errors(trained)
    held_fvu, held_error = errors(held_out)
    return FitReport(
        k=len(reader),
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
        seconds=round(seconds, 3),
        interrupted=interrupted,
        guided_by=frame.guided_by,
    )
