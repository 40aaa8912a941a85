"""Call and check a decoder's encoder: the counterpart of `decode_images`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from latent_vizae.inputs.arrays import ArrayLike

from .contract import decoder_dtype_and_device, evaluating

__all__ = ["encoded"]


def encoded(decoder: Any, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Codes of batches of images, float32, on the decoder's device."""
    dtype, device = decoder_dtype_and_device(decoder)
    shape = torch.Size()
    for batch in batches:
        with evaluating(decoder):
            codes: ArrayLike = decoder.encode(batch.to(device=device, dtype=dtype, copy=True))  # it may work in place
        if not isinstance(codes, Tensor) or codes.dim() < 2 or len(codes) != len(batch):
            got = f"the shape {tuple(codes.shape)}" if isinstance(codes, Tensor) else type(codes).__name__
            raise ValueError(f"encode returns codes (B, *latent_shape); for {len(batch)} images it returned {got}.")
        shape = shape or codes.shape[1:]
        if codes.shape[1:] != shape:
            raise ValueError(f"encode returned codes of two shapes, {tuple(shape)} and {tuple(codes.shape[1:])}.")
        if not torch.isfinite(codes).all():
            raise ValueError("encode returned NaN or infinity.")
        yield codes.detach().float()
