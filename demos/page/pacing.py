"""Paths of constant pace, part by part: many images are looked at before the first frame is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images

__all__ = ["LOOKED_AT", "NotYet", "Pacing"]

LOOKED_AT = 15
"""Images for a frame, at most: 8 of the line, and 6 corrections."""
PART = 0.1
"""Seconds of one call of the decoder."""


class NotYet(BaseException):
    """More images have to be looked at. No Exception: it passes through what names the errors of a decoder."""


class Pacing:
    """A decoder as a path of constant pace asks it: for no image twice, and for some time.

    Args:
        decoder: f_d.
        images: by code, those of earlier questions about this path; more are added.
        seconds: after which `NotYet` is raised, where an image has been made.
        told: called with the number of images that were made.
    """

    def __init__(
        self,
        decoder: Callable[[Tensor], Tensor],
        images: dict[bytes, Tensor],
        seconds: float = math.inf,
        told: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._decoder, self._images, self._told = decoder, images, told
        self._begun, self._seconds, self._made = time.perf_counter(), seconds, 0

    @property
    def seconds(self) -> float:
        """That an image has taken."""
        return (time.perf_counter() - self._begun) / max(1, self._made)

    def __call__(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of codes."""
        keys = [row.tobytes() for row in codes.detach().flatten(1).cpu().numpy()]
        new = [row for row, key in enumerate(keys) if key not in self._images]
        while new:
            if self._made and time.perf_counter() - self._begun > self._seconds:
                raise NotYet
            count = max(1, int(PART / self.seconds)) if self._made else 1
            now, new = new[:count], new[count:]
            for row, image in zip(now, decode_images(self._decoder, codes[now]).cpu(), strict=True):
                self._images[keys[row]] = image.clone()
            self._made += len(now)
            self._told(len(now))
        return torch.stack([self._images[key] for key in keys])
