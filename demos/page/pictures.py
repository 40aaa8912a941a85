"""Pictures that visitors send, and images as the page takes them."""

from __future__ import annotations

import base64
import io
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.inputs.pixels import FORMATS, on_background
from latent_vizae.maps.samples import to_uint8

__all__ = ["as_digit", "encoded_images", "images_for_page", "open_picture", "packed_images"]

MOST_PIXELS = 2**25
SMALL = 64 * 64
"""Pictures of at most so many pixels go as bytes, larger ones as JPEG."""
DAMAGED = (OSError, SyntaxError, TypeError, struct.error, Image.DecompressionBombError)
"""What Pillow raises on a damaged picture, or on what a camera noted in it."""


def open_picture(file: str | Path) -> Image.Image:
    """A picture that a visitor uploaded, upright, its size looked at before its pixels.

    Raises:
        ValueError: no picture, a damaged one, or one of more than 32 megapixels.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise ValueError(f"This picture has {width} x {height} pixels; at most {MOST_PIXELS:,} are taken.")
            picture.load()
            return ImageOps.exif_transpose(picture)
    except DAMAGED as error:
        raise ValueError(f"This file cannot be read as a picture ({', '.join(FORMATS)}); is it whole?") from error


def as_digit(picture: Image.Image) -> Image.Image:
    """A digit as MNIST has them: white on black, 20 pixels large, its centre of mass in the middle of 28 x 28.

    Raises:
        ValueError: there is nothing on the picture.
    """
    shown, alpha = on_background(picture, (0, 0, 0))
    if alpha is not None and np.asarray(shown.convert("L")).max() < 128:  # dark ink on nothing
        shown, _ = on_background(picture, (255, 255, 255))
    grey = np.asarray(shown.convert("L")).astype(np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 255 - grey if np.median(border) > 127 else grey
    ink = np.clip(ink - np.median(255 - border if np.median(border) > 127 else border), 0, None)
    if ink.max() < 25:
        raise ValueError("There is nothing on this picture: draw a digit, light on dark or dark on light.")
    ink *= 255 / ink.max()
    rows, columns = np.nonzero(ink > 50)
    cut = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = 20 / max(cut.shape)
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    small = np.asarray(Image.fromarray(cut.astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)).astype(np.float32)
    y, x = (np.arange(length) for length in small.shape)
    top = int(np.clip(round(14 - (small.sum(1) * y).sum() / small.sum()), 0, 28 - small.shape[0]))
    left = int(np.clip(round(14 - (small.sum(0) * x).sum() / small.sum()), 0, 28 - small.shape[1]))
    sheet = np.zeros((28, 28), np.uint8)
    sheet[top : top + small.shape[0], left : left + small.shape[1]] = small.clip(0, 255)
    return Image.fromarray(sheet)


def encoded_images(images: Tensor) -> tuple[str, list[bytes]]:
    """Images as bytes: small ones "raw" (height, width, channels), large ones "jpeg"."""
    if math.prod(images.shape[2:]) <= SMALL:
        pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return "raw", [np.ascontiguousarray(image).tobytes() for image in pixels]
    encoded = []
    for array in to_uint8(images):
        buffer = io.BytesIO()
        Image.fromarray(array).convert("RGB").save(buffer, "JPEG", quality=88)
        encoded.append(buffer.getvalue())
    return "jpeg", encoded


def packed_images(images: Tensor) -> dict[str, Any]:
    """Images as the page takes them: all bytes in one, or JPEG one by one."""
    count, channels, height, width = images.shape
    shape = {"count": count, "height": height, "width": width, "channels": channels}
    kind, encoded = encoded_images(images)
    if kind == "raw":
        return {**shape, "raw": base64.b64encode(b"".join(encoded)).decode()}
    return {**shape, "jpeg": [base64.b64encode(one).decode() for one in encoded]}


def images_for_page(decoder: Any, codes: Tensor) -> dict[str, Any]:
    """Images of codes, as the page takes them."""
    return packed_images(decode_images(decoder, codes))
