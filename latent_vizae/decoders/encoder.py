"""A decoder's encoder, called and checked: the twin of contract.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from latent_vizae.inputs.surroundings import callers_surroundings

from .contract import decoder_dtype_and_device, evaluating

__all__ = ["call_encoder", "encode_batches", "require_encoder"]


def require_encoder(decoder: Any) -> None:
    """Check, before anything is computed, that a decoder has an encoder.

    Raises:
        ValueError: it has no method ``encode``.
    """
    if not callable(getattr(decoder, "encode", None)):
        raise ValueError(
            "This decoder has no encode(images): pictures have no codes. Codes can be placed: v.encode(codes)."
        )


def call_encoder(decoder: Any, images: Tensor) -> Tensor:
    """One checked call, images (B, C, H, W) in [0, 1] -> codes (B, *latent_shape) float32, on the decoder's device.

    Raises:
        ValueError: ``encode`` raised, or returned something that is not a batch of finite codes.
    """
    dtype, device = decoder_dtype_and_device(decoder)
    try:
        with evaluating(decoder), callers_surroundings():
            codes: Any = decoder.encode(images.to(device=device, dtype=dtype, copy=True))  # it may work in place
    except Exception as error:
        raise ValueError(
            f"The decoder's encode raised {type(error).__name__} on images of shape {tuple(images.shape)}: {error}. "
            "It takes images (B, C, H, W) in [0, 1] and returns codes (B, *latent_shape)."
        ) from error
    if not isinstance(codes, Tensor) or codes.dim() < 2 or len(codes) != len(images) or codes.numel() == 0:
        got = f"the shape {tuple(codes.shape)}" if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(f"encode returns codes (B, *latent_shape); for {len(images)} images it returned {got}.")
    shape = getattr(decoder, "latent_shape", None)
    if shape is not None and tuple(shape) != tuple(codes.shape[1:]):
        raise ValueError(
            f"encode returned codes of shape {tuple(codes.shape[1:])}; this decoder's latent_shape is {tuple(shape)}."
        )
    if codes.is_complex() or not torch.isfinite(codes).all():
        raise ValueError("encode returns finite real numbers; it returned NaN, infinity or complex numbers.")
    return codes.detach().float()


@torch.no_grad()
def encode_batches(decoder: Any, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Codes of batches of images, batch by batch.

    Args:
        decoder: with a method ``encode``, images (B, C, H, W) in [0, 1] -> codes (B, *latent_shape).
        batches: of images, one shape each.

    Yields:
        Codes (B, *latent_shape), float32 and finite, on the decoder's device.

    Raises:
        ValueError: ``encode`` raised, or returned something that is not a batch of finite codes, or codes of two
            shapes.
    """
    shape = None
    for batch in batches:
        codes = call_encoder(decoder, batch)
        if shape is not None and codes.shape[1:] != shape:
            raise ValueError(f"encode returned codes of two shapes, {tuple(shape)} and {tuple(codes.shape[1:])}.")
        shape = codes.shape[1:]
        yield codes
