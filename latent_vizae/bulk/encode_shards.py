"""Pictures to a folder of shards of codes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latent_vizae.decoders.encoder import encode_batches
from latent_vizae.decoders.load import decoder_name
from latent_vizae.inputs.images import batches_of, picture_of_row, pictures_of
from latent_vizae.storage.shards import Unit, digest, probes, run_units

__all__ = ["encode_shards"]


COMPARED = 8
"""Pictures of a shard that are encoded again, to recognise another encoder."""


@torch.no_grad()
def encode_shards(
    decoder: Any, images: Any, folder: Path, batch_size: int, column: str | None, **settings: Any
) -> Path:
    """See `latent_vizae.encode_images`. A resumed run may have another ``batch_size``."""
    picture, count, files = _indexed(images, column)
    image_shape = getattr(decoder, "image_shape", None)

    def codes(unit: Unit) -> Tensor:
        pictures = batches_of(map(picture, range(unit.start, unit.stop)), image_shape, batch_size, some[0].shape[1:])
        return torch.cat([part.cpu() for part in encode_batches(decoder, pictures)])

    def again(unit: Unit) -> Tensor:
        return codes(replace(unit, stop=min(unit.stop, unit.start + COMPARED)))

    some = [next(batches_of([picture(number)], image_shape, 1)) for number in probes(count)]
    work = {
        "task": "encode_images", "decoder": decoder_name(decoder), "column": column,
        "files": files, "some images": digest(some),
    }  # fmt: skip
    return run_units(folder, work, codes, again=again, tensor="codes", count=count, **settings)


def _indexed(images: Any, column: str | None) -> tuple[Callable[[int], Any], int, str | None]:
    """A function from number to picture, the count, and a hash of a folder's files or of an array, or None."""
    if isinstance(images, str | Path):
        files = list(pictures_of(images, column)[0])
        return files.__getitem__, len(files), _listed(files, Path(images))
    if not (hasattr(images, "__getitem__") and hasattr(images, "__len__")):
        if not isinstance(images, Iterable):
            raise TypeError(f"images is an array, a folder or a sequence of pictures, got {type(images).__name__}.")
        raise TypeError(
            "Shards need pictures that can be indexed, so that each shard can be made without the others; a "
            f"{type(images).__name__} can be read only once, in order. Give a folder, an array, a list or a map-style "
            "dataset, or write one file: out='codes.safetensors'."
        )
    if isinstance(images, Iterable):
        pictures_of(images, column)  # its checks
    count = len(images)
    if count == 0:
        raise ValueError("encode_images: there are no pictures; at least one is needed.")

    def picture(number: int) -> Any:
        item = images[number]
        if isinstance(images, np.ndarray):
            return torch.as_tensor(np.array(item))
        return picture_of_row(item, column) if isinstance(item, dict) else item

    return picture, count, digest(map(picture, range(count))) if isinstance(images, Tensor | np.ndarray) else None


def _listed(files: list[Path], folder: Path) -> str:
    """SHA-256 of names and sizes, without times, which a copy on another machine would not have."""
    lines = [f"{file.relative_to(folder).as_posix()} {file.stat().st_size}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
