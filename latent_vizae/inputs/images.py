"""Pictures in folders, arrays, datasets and loaders, to batches of images of one size."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

from .picture_files import ENDINGS, class_of, picture_files
from .pixels import CHANNELS, Notes, as_colour, as_image

__all__ = ["Pictures"]


class Pictures:
    """Pictures one by one, or by number, as ``(name, picture)``; what is known of them; batches of images.

    Args:
        images: a folder, an array (B, C, H, W) or (B, H, W, C), or an iterable: pictures, files, pairs of a picture
            and a label, rows of a dataset, batches of a loader.
        column: of a row of a dataset, with its picture.
        labels: "folder" or None.
        background: colour under transparent parts.

    Attributes:
        count: of pictures, or None.
        files: their files, or None.
        columns: what a manifest says of each picture, by name: ``files`` and, with labels, ``labels``.
        notes: what should be said of them.

    Raises:
        TypeError: not pictures.
        ValueError: no pictures, no such labels, no such colour.
        FileNotFoundError: no such folder.
    """

    def __init__(
        self, images: Any, column: str | None = None, labels: str | None = None, background: Any = "black"
    ) -> None:
        self.images, self.column, self.notes = images, column, Notes(as_colour(background))
        self.files: list[Path] | None = None
        self.folder: Path | None = None
        self.columns: dict[str, list[str]] = {}
        if isinstance(images, str | Path):
            self.folder = Path(images)
            self.images = self.files = picture_files(self.folder)
            self.columns["files"] = [path.relative_to(self.folder).as_posix() for path in self.files]
        elif isinstance(images, list | tuple) and images and all(isinstance(item, str | Path) for item in images):
            self.files = [Path(item) for item in images]
            self.columns["files"] = [str(item) for item in images]
        elif isinstance(images, Tensor | np.ndarray):
            if images.ndim != 4:
                raise ValueError(f"images have the shape (B, C, H, W), got {tuple(images.shape)}.")
            if images.shape[1] not in CHANNELS and images.shape[3] in CHANNELS:
                self.images = images.movedim(3, 1) if isinstance(images, Tensor) else np.moveaxis(images, 3, 1)
        elif isinstance(images, bytes | dict) or not (isinstance(images, Iterable) or self.is_indexed):
            raise TypeError(f"images is an array, a folder or an iterable of pictures, got {type(images).__name__}.")
        if labels not in (None, "folder"):
            raise ValueError(f"labels is 'folder', for a class per subfolder, or None, got {labels!r}.")
        if labels == "folder":
            if self.files is None:
                raise ValueError(
                    "labels='folder' needs pictures in files: a folder of subfolders, or a list of files."
                )
            self.columns["labels"] = [class_of(path, self.folder) for path in self.files]
        is_loader = isinstance(self.images, DataLoader)  # whose length is that of its batches
        self.count = len(self.images) if isinstance(self.images, Sized) and not is_loader else None

    @property
    def is_indexed(self) -> bool:
        """Whether each picture can be read without the others."""
        return hasattr(self.images, "__getitem__") and hasattr(self.images, "__len__")

    def name(self, number: int) -> str:
        """What to call a picture in a sentence."""
        return self.columns["files"][number] if self.files else f"number {number}"

    def __getitem__(self, number: int) -> tuple[str, Any]:
        found = self._inside(self.images[number])
        if len(found) != 1:
            raise ValueError(f"Number {number} is a batch of {len(found)} pictures; one is needed.")
        return self.name(number), found[0]

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        if isinstance(self.images, Iterable):
            items: Iterable[Any] = self.images
        else:  # a dataset of torch
            items = (self.images[number] for number in range(len(self.images)))
        for number, picture in enumerate(itertools.chain.from_iterable(map(self._inside, items))):
            yield self.name(number), picture

    def _inside(self, item: Any) -> list[Any]:
        """The pictures of an item."""
        if isinstance(self.images, np.ndarray):
            return [torch.as_tensor(np.array(item))]
        return _pictures_in(item, self.column, isinstance(self.images, DataLoader))

    def batches(
        self, image_shape: Any, size: int, numbers: Iterable[int] | None = None, first: torch.Size | None = None
    ) -> Iterator[Tensor]:
        """Batches of at most ``size`` images, all of one shape: that of a decoder, of ``first`` or of the first one.

        Args:
            image_shape: (C, H, W) of the decoder, or None.
            size: of a batch.
            numbers: of the pictures; None for all in order.
            first: shape of images before these.
        """
        batch: list[Tensor] = []
        for name, picture in self if numbers is None else map(self.__getitem__, numbers):
            image = as_image(picture, image_shape[0] if image_shape else None, self.notes, name)
            image = _fitted(image, image_shape)
            first = first or image.shape
            if image.shape != first:
                raise ValueError(
                    f"Pictures of one size are needed, since this decoder has no image_shape: {name} has the shape "
                    f"{tuple(image.shape)}, the first {tuple(first)}."
                )
            batch.append(image)
            if len(batch) == size:
                yield torch.stack(batch)
                batch = []
        if batch:
            yield torch.stack(batch)


def _pictures_in(item: Any, column: str | None, is_batch: bool) -> list[Any]:
    """The pictures of an item: itself, that of a row or of a pair, or those of a batch of any of these."""
    if isinstance(item, dict):
        item = _picture_of_row(item, column)
    elif isinstance(item, list | tuple) and item:
        images = [part for part in item if _is_picture(part)]
        if is_batch and len(images) == len(item) and not _is_stacked(item[0]):
            return list(item)
        if len(images) > 1:
            raise ValueError(
                f"An item of images holds {len(images)} pictures; which one? Give (item[0] for item in images)."
            )
        item = images[0] if images and images[0] is item[0] else item
    if _is_stacked(item):
        if item.shape[1] not in CHANNELS and item.shape[3] in CHANNELS:
            item = item.movedim(3, 1) if isinstance(item, Tensor) else np.moveaxis(item, 3, 1)
        return [torch.as_tensor(np.array(image)) if isinstance(image, np.ndarray) else image for image in item]
    return [item]


def _is_stacked(item: Any) -> bool:
    return isinstance(item, Tensor | np.ndarray) and item.ndim == 4


def _is_picture(item: Any) -> bool:
    if isinstance(item, str | Path):  # and no word for its class
        return Path(item).suffix.lower() in ENDINGS
    return isinstance(item, Image.Image) or (isinstance(item, Tensor | np.ndarray) and item.ndim >= 2)


def _picture_of_row(row: dict[str, Any], column: str | None) -> Any:
    """The picture in a row of a dataset."""
    if column is not None:
        if column not in row:
            raise ValueError(f"The rows have no column {column!r}; they have {', '.join(map(str, row))}.")
        return row[column]
    for value in row.values():
        if isinstance(value, Image.Image) or (isinstance(value, Tensor | np.ndarray) and value.ndim >= 3):
            return value
    raise ValueError(f"No column of the rows holds a PIL image: pass column=, one of {', '.join(map(str, row))}.")


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
