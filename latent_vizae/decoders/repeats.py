"""Whether a decoder is deterministic: equal images for equal codes, decoded twice and in a batch.

Slopes, paths and the certificate are differences of images, which noise at each call makes meaningless. A map also
needs images that do not depend on the other codes of a batch.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latent_vizae.inputs.surroundings import warn_caller

from .contract import decode_images, decoder_dtype_and_device

__all__ = ["Repeats", "known_repeats", "notice_noise", "repeats_of"]


AGAIN, BESIDE = (1e-4, 2e-3), (2e-3, 2e-2)
"""Differences that rounding explains: of the same call, and beside another code; in float32 and in half precision."""

_LOCK = threading.Lock()
_LOOKED_AT: weakref.WeakKeyDictionary[Any, Repeats | None] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Repeats:
    """Differences between images of one code, root mean square over pixels.

    Attributes:
        again: of the code decoded alone, twice.
        beside: of the code decoded alone, and after another one.
        same: whether rounding can explain both.
    """

    again: float
    beside: float
    same: bool

    def __str__(self) -> str:
        """The result as a sentence."""
        if self.same:
            return (
                "a code gives the same image each time, alone and in a batch "
                f"(root mean square difference {max(self.again, self.beside):.2g})"
            )
        if self.again > 0.5 * self.beside:
            return f"two images of one code differ by {self.again:.2g} (root mean square), as if noise were drawn"
        return (
            f"images of one code, alone and in a batch, differ by {self.beside:.2g} (root mean square), as if they "
            "depended on the place in the batch or on the codes beside"
        )


@torch.no_grad()
def repeats_of(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Repeats:
    """Measure the first of the codes (k, *latent_shape), k >= 1: four decodes."""
    code, other = codes[:1], codes[1:2] if len(codes) > 1 else 0.9 * codes
    alone, _, beside = decode_images(decoder, torch.cat([code, other, code]), afresh=True)
    again = decode_images(decoder, code, afresh=True)[0]
    half = decoder_dtype_and_device(decoder)[0] in (torch.float16, torch.bfloat16)
    first, second = ((image - alone).square().mean().sqrt().item() for image in (again, beside))
    return Repeats(first, second, same=first <= AGAIN[half] and second <= BESIDE[half])


def known_repeats(decoder: Any) -> Repeats | None:
    """What `notice_noise` found for a decoder, if it looked."""
    with _LOCK, contextlib.suppress(TypeError):
        return _LOOKED_AT.get(decoder)
    return None


def notice_noise(decoder: Callable[[Tensor], Tensor], codes: Tensor, known: Repeats | None = None) -> None:
    """Warn, once for a decoder, if it does not make the same image of a code each time.

    Args:
        decoder: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].
        codes: (k, *latent_shape), k >= 1, for the measurement, which is done once for a decoder.
        known: the result of `repeats_of`, if it is known.
    """
    try:
        with _LOCK:
            if decoder in _LOOKED_AT:
                return
            _LOOKED_AT[decoder] = known
    except TypeError:  # cannot be remembered: a method, or an object without a hash
        pass
    if known is None:
        known = repeats_of(decoder, codes)
        with _LOCK, contextlib.suppress(TypeError):
            _LOOKED_AT[decoder] = known
    if not known.same:
        warn_caller(
            f"This decoder is not deterministic: {known}. All measures of its images have that error. Use the same "
            "noise for every code and call, or none."
        )
