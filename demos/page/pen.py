"""Whether what a pen draws is among the images of a decoder: digits are, clothes are not."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw

from latent_vizae import encode_images
from latent_vizae.decoders.contract import decode_images, is_slow
from latent_vizae.demos.page.fitted import FittedMap, image_shape_of

__all__ = ["can_draw"]

STROKES = (
    [(0.5, 0.2), (0.5, 0.8)],
    [(0.32, 0.25), (0.68, 0.25), (0.45, 0.8)],
    [(0.35, 0.3), (0.45, 0.22), (0.6, 0.25), (0.64, 0.38), (0.36, 0.76), (0.68, 0.76)],
)
"""A bar, a corner, a hook; each in the unit square, as the pad's pen draws it."""
PAD, PEN, LARGEST = 280, 24, 64
MOST_LOST = 0.5
"""Of the variance of a stroke that is encoded and decoded: of digits 0.05 to 0.29 is lost, of clothes 0.79 to 0.99."""


def can_draw(fitted: FittedMap) -> bool:
    """Whether a pad to draw on is of use: small square grey images, and an encoder and a decoder that keep strokes.

    A slow decoder is not asked. Found once.
    """
    if fitted.takes_strokes is None:
        fitted.takes_strokes = _keeps_strokes(fitted)
    return fitted.takes_strokes


@torch.no_grad()
def _keeps_strokes(fitted: FittedMap) -> bool:
    decoder = fitted.latent_map.decoder
    channels, height, width = image_shape_of(fitted)
    if not hasattr(decoder, "encode") or channels != 1 or height != width or width > LARGEST or is_slow(decoder):
        return False
    drawn = np.stack([np.asarray(_stroke(corners).resize((width, height))) for corners in STROKES])
    given = torch.from_numpy(drawn).float().div(255).unsqueeze(1)
    try:
        kept = decode_images(decoder, encode_images(decoder, given)).float().cpu()
    except (ValueError, TypeError, RuntimeError):  # an encoder that cannot be used; to place a picture says why
        return False
    lost = (kept - given).square().flatten(1).mean(1) / given.flatten(1).var(1)
    return lost.median().item() < MOST_LOST


def _stroke(corners: list[tuple[float, float]]) -> Image.Image:
    pad = Image.new("L", (PAD, PAD))
    ImageDraw.Draw(pad).line([(PAD * x, PAD * y) for x, y in corners], fill=255, width=PEN, joint="curve")
    return pad
