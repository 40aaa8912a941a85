"""Pictures to a folder of shards of codes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latent_vizae.decoders.encoder import encode_batches
from latent_vizae.decoders.load import decoder_name
from latent_vizae.inputs.images import Pictures
from latent_vizae.storage.shards import Unit, digest, probes, run_units

__all__ = ["encode_shards"]


COMPARED = 8
"""Pictures of a shard that are encoded again, to recognise another encoder."""


@torch.no_grad()
def encode_shards(decoder: Any, pictures: Pictures, folder: Path, batch_size: int, **settings: Any) -> Path:
    """See `latent_vizae.encode_images`. A resumed run may have another ``batch_size``."""
    if not pictures.is_indexed:
        raise TypeError(
            "Shards need pictures that can be indexed, so that each shard can be made without the others; a "
            f"{type(pictures.images).__name__} can be read only once, in order. Give a folder, an array, a list or a "
            "map-style dataset, or write one file: out='codes.safetensors'."
        )
    count = len(pictures.images)
    if count == 0:
        raise ValueError("encode_images: there are no pictures; at least one is needed.")
    image_shape = getattr(decoder, "image_shape", None)

    def codes(unit: Unit) -> Tensor:
        batches = pictures.batches(image_shape, batch_size, range(unit.start, unit.stop), some[0].shape[1:])
        return torch.cat([part.cpu() for part in encode_batches(decoder, batches)])

    def again(unit: Unit) -> Tensor:
        return codes(replace(unit, stop=min(unit.stop, unit.start + COMPARED)))

    some = [next(pictures.batches(image_shape, 1, [number])) for number in probes(count)]
    work = {
        "task": "encode_images", "decoder": decoder_name(decoder), "column": pictures.column,
        "files": _identity(pictures), "some images": digest(some),
    }  # fmt: skip
    return run_units(
        folder, work, codes, again=again, tensor="codes", count=count, columns=pictures.columns, **settings
    )


def _identity(pictures: Pictures) -> str | None:
    """A hash of a folder's files or of an array, or None."""
    if pictures.folder is not None and pictures.files is not None:
        return _listed(pictures.files, pictures.folder)
    if isinstance(pictures.images, Tensor | np.ndarray):
        return digest(pictures[number][1] for number in range(len(pictures.images)))
    return None


def _listed(files: list[Path], folder: Path) -> str:
    """SHA-256 of names and sizes, without times, which a copy on another machine would not have."""
    lines = [f"{file.relative_to(folder).as_posix()} {file.stat().st_size}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
