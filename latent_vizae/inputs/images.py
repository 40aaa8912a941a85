"""Pictures of any kind to tensors (C, H, W) in [0, 1]: files, folders, PIL images, arrays, rows of a dataset."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["FORMATS", "batches_of", "picture_of_row", "pictures_of"]


ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that Pillow reads itself; for EPS it runs Ghostscript."""

DAMAGED = (SyntaxError, TypeError, ValueError, struct.error)
"""Pillow's exceptions for damaged files, besides its own classes."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def pictures_of(images: Any, column: str | None) -> tuple[Iterable[Any], int | None]:
    """Pictures one by one, and their number if it is known."""
    if isinstance(images, str | Path):
        folder = Path(images)
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}. One picture is a list of one: [{str(images)!r}].")
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        if not files:
            raise ValueError(f"{folder} holds no pictures ({', '.join(ENDINGS)}).")
        return files, len(files)
    if isinstance(images, Tensor | np.ndarray):
        if images.ndim != 4:
            raise ValueError(f"images have the shape (B, C, H, W), got {tuple(images.shape)}.")
        rows = (torch.as_tensor(np.array(image)) if isinstance(image, np.ndarray) else image for image in images)
        return rows, int(images.shape[0])
    if not isinstance(images, Iterable) or isinstance(images, bytes | dict):
        raise TypeError(f"images is an array, a folder or an iterable of pictures, got {type(images).__name__}.")
    count = len(images) if isinstance(images, Sized) else None
    return (picture_of_row(item, column) if isinstance(item, dict) else item for item in images), count


def picture_of_row(row: dict[str, Any], column: str | None) -> Any:
    """The picture in a row of a dataset."""
    if column is not None:
        if column not in row:
            raise ValueError(f"The rows have no column {column!r}; they have {', '.join(map(str, row))}.")
        return row[column]
    for value in row.values():
        if isinstance(value, Image.Image):
            return value
    raise ValueError(f"No column of the rows holds a PIL image: pass column=, one of {', '.join(map(str, row))}.")


def _as_image(picture: Any, channels: int | None) -> Tensor:
    """One picture as a tensor (C, H, W) in [0, 1]."""
    if isinstance(picture, str | Path):
        try:
            with Image.open(picture, formats=FORMATS) as opened:
                picture = ImageOps.exif_transpose(opened)
                picture.load()
        except (*DAMAGED, UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{picture} cannot be read as a picture: {error}") from error
    elif isinstance(picture, Image.Image):
        picture = _upright(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3):
            raise TypeError(
                f"An array of one picture holds bytes, (H, W) or (H, W, C); got {picture.dtype} {picture.shape}. "
                "Floats come as a tensor (C, H, W) in [0, 1]."
            )
        try:
            picture = Image.fromarray(picture.squeeze(2) if picture.shape[2:] == (1,) else picture)
        except TypeError as error:
            raise TypeError(f"An array of shape {picture.shape} is not a picture: {error}") from error
    if isinstance(picture, Image.Image):
        mode = MODES.get(channels or 0) or ("L" if picture.mode in ("1", "L", "I;16") else "RGB")
        if picture.mode in ("I", "I;16", "F"):
            raise ValueError(f"A picture of mode {picture.mode} has no defined white value. Convert it to bytes.")
        pixels = np.array(picture.convert(mode))
        return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).movedim(2, 0).float() / 255
    if isinstance(picture, Tensor) and picture.dim() == 3:
        image = picture.detach().cpu()
        image = image.float() / 255 if image.dtype == torch.uint8 else image.float()
        low, high = (value.item() for value in image.aminmax())
        if not 0 <= low <= high <= 1:
            raise ValueError(f"Pictures of floats lie in [0, 1], got [{low:.4g}, {high:.4g}].")
        return image.expand(channels, -1, -1) if channels and len(image) == 1 else image
    kind = f"a tensor of shape {tuple(picture.shape)}" if isinstance(picture, Tensor) else type(picture).__name__
    raise TypeError(f"A picture is a PIL image, a file, an array (H, W, C) or a tensor (C, H, W); got {kind}.")


def _upright(picture: Image.Image) -> Image.Image:
    """A photograph rotated by its EXIF orientation, or unchanged if that is missing or invalid."""
    with contextlib.suppress(*DAMAGED):
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(picture)
    return picture


def _fitted(image: Tensor, image_shape: tuple[int, int, int] | None) -> Tensor:
    """Cropped to a decoder's aspect and scaled to its image size."""
    if image_shape is None or tuple(image.shape) == tuple(image_shape):
        return image
    channels, height, width = image_shape
    if len(image) != channels:
        raise ValueError(f"The decoder's pictures have {channels} channels, this one has {len(image)}.")
    rows = min(image.shape[1], max(1, round(image.shape[2] * height / width)))
    columns = min(image.shape[2], max(1, round(image.shape[1] * width / height)))
    top, left = (image.shape[1] - rows) // 2, (image.shape[2] - columns) // 2
    image = image[:, top : top + rows, left : left + columns]  # first: a strip scaled to the height may be very wide
    return interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)


def batches_of(
    pictures: Iterable[Any], image_shape: Any, size: int, first: torch.Size | None = None
) -> Iterator[Tensor]:
    """Batches of at most ``size`` images, all of one shape: that of the first, of this work or of all."""
    batch: list[Tensor] = []
    for number, picture in enumerate(pictures):
        image = _fitted(_as_image(picture, image_shape[0] if image_shape else None), image_shape)
        first = first or image.shape
        if image.shape != first:
            raise ValueError(
                f"Pictures of one size are needed, since this decoder has no image_shape: number {number} has the "
                f"shape {tuple(image.shape)}, the first {tuple(first)}."
            )
        batch.append(image)
        if len(batch) == size:
            yield torch.stack(batch)
            batch = []
    if batch:
        yield torch.stack(batch)
