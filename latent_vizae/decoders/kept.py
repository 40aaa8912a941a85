"""Images of slow decoders, kept by their codes: what was waited for once is not waited for again.

A decoder may change meanwhile: a module is trained on, a function closes over one. So before kept images are used, one
of them is decoded again; if it is another one now, all go.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Kept", "kept_of"]

MOST_BYTES = 2**28
"""Of the images of one decoder: 1,300 of 128 pixels in colour. The oldest go first."""
SAME = 1e-4
"""Root mean square difference that rounding explains."""

_LOCK = threading.RLock()
_KEPT: weakref.WeakKeyDictionary[Any, Kept] = weakref.WeakKeyDictionary()


class Kept:
    """Images of one decoder by code, on the CPU."""

    def __init__(self) -> None:
        self._images: OrderedDict[bytes, tuple[Tensor, Tensor]] = OrderedDict()
        self._bytes = 0

    def look_up(self, codes: Tensor) -> dict[int, Tensor]:
        """Images (C, H, W) that are known, by the number of the code (k, *latent_shape)."""
        with _LOCK:
            if not self._images:
                return {}
            found = {}
            for number, key in enumerate(_keys(codes)):
                if key in self._images:
                    self._images.move_to_end(key)
                    found[number] = self._images[key][1]
            return found

    def keep(self, codes: Tensor, images: Tensor) -> None:
        """Remember what a decoder made of codes."""
        with _LOCK:
            for key, code, image in zip(_keys(codes), codes, images, strict=True):
                if key not in self._images and image.numel() * 4 <= MOST_BYTES // 8:
                    entry = code.detach().cpu().clone(), image.detach().cpu().clone()
                    self._images[key] = entry
                    self._bytes += sum(part.numel() * part.element_size() for part in entry)
            while self._bytes > MOST_BYTES:
                _, entry = self._images.popitem(last=False)
                self._bytes -= sum(part.numel() * part.element_size() for part in entry)

    def still_hold(self, decode: Callable[[Tensor], Tensor], number_of: dict[int, Tensor], codes: Tensor) -> bool:
        """Whether the decoder still makes the first of the known images; if not, all go."""
        number = min(number_of)
        with torch.no_grad():
            again = decode(codes[number : number + 1])[0].cpu()
        known = number_of[number]
        same = again.shape == known.shape and bool((again - known).square().mean().sqrt() <= SAME)
        if not same:
            with _LOCK:
                self._images.clear()
                self._bytes = 0
        return same


def kept_of(decoder: Any) -> Kept | None:
    """The kept images of a decoder; None of one that cannot be referred to, such as a method."""
    with _LOCK:
        try:
            return _KEPT.setdefault(decoder, Kept())
        except TypeError:
            return None


def _keys(codes: Tensor) -> list[bytes]:
    rows = codes.detach().float().flatten(1).cpu().contiguous().numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
