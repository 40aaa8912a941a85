"""Pictures to codes: ``encode_images(f_d, "holiday/")``, streamed, to memory, a file or a folder of shards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latent_vizae.decoders.encoder import encode_batches, require_encoder
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.images import Pictures
from latent_vizae.inputs.surroundings import own_surroundings
from latent_vizae.storage.folder import atomic_file
from latent_vizae.training.progress import Progress, Reporting

from .encode_shards import encode_shards

__all__ = ["encode_images"]


FILES = (".npy", ".npz", ".pt", ".pth", ".bin", ".ckpt", ".h5", ".csv", ".json", ".parquet", ".zip")

HEADER_BYTES = 1024

UNIT_SIZE = 1000


@torch.no_grad()
@own_surroundings()
def encode_images(
    decoder: Any,
    images: Any,
    batch_size: int = 32,
    *,
    column: str | None = None,
    labels: str | None = None,
    background: str | int | tuple[int, int, int] = "black",
    out: str | Path | None = None,
    unit_size: int | None = None,
    processes: int | None = None,
    progress: Reporting = False,
) -> Any:
    """Encode pictures by the decoder's ``encode``.

    Pictures are converted to the decoder's channels and image size (``decoder.image_shape``, if it has one): cropped
    to its aspect ratio around the middle, and scaled. One batch is in memory at a time. What is transparent gets the
    colour of the background; of a palette, 16 bits or CMYK, the colours are those that a viewer shows (CMYK by the
    profile in it; other profiles are not looked at). Photographs stand upright as their EXIF says. Of an animation the
    first frame is taken. A warning at the end says how many pictures were transparent, animated or of 16 bits.

    Args:
        decoder: with a method ``encode(images)``.
        images: an array or tensor (B, C, H, W) or (B, H, W, C), bytes, 16 bits or floats in [0, 1]; a folder of
            pictures, read with its subfolders in the order of their names; or any iterable: PIL images, files, arrays
            of bytes (H, W) or (H, W, C), tensors (C, H, W), rows of a 🤗 dataset, a dataset of torch with pairs
            ``(image, label)``, its DataLoader. Of a folder, hidden files are passed over (a Mac's ``._x.png``), and
            so are other files than pictures, with a warning.
        batch_size: pictures per call of ``encode``.
        column: the column of a dataset's rows with the picture; by default the first with PIL images.
        labels: "folder" for the names of the subfolders of pictures as their classes.
        background: colour under transparent parts: a name that Pillow knows, ``#rrggbb``, or bytes (r, g, b).
        out: a ``.safetensors`` file for the codes (a tensor ``codes``), or a folder for shards,
            ``codes-00000-of-00010.safetensors``, ..., and ``manifest.json``. A file appears when it is complete. Of an
            interrupted run the finished shards stay, and the next run makes the others; under ``torchrun`` the
            processes share them. The manifest has the names of pictures in files (``files`` of each unit) and
            their ``labels``; a single file has both in its header (metadata). `fit` takes ``labels=out`` then. Shards
            need pictures that can be indexed: a folder, an array or a sequence. A folder with shards of other pictures
            or of another decoder is refused. These are recognised by 16 pictures, the names and sizes of all files or
            the values of an array, the decoder's name and weights, and some codes of the first and the last finished
            shard, which are encoded again.
        unit_size: pictures a shard, by default 1000, whose codes are in memory.
        processes: the expected number of processes; another number is an error.
        progress: True for a bar on stderr, or a function ``(step, steps, title)`` that is called as the work goes on;
            ``steps`` is 0 where the number of pictures is not known.

    Returns:
        Codes (B, *latent_shape) float32 on the CPU, with ``labels`` a pair of codes and class names; with ``out``,
        its path.

    Raises:
        TypeError: an object that is not a picture, or shards of pictures that can be read only once.
        ValueError: no pictures, one that cannot be read, floats outside of [0, 1], a decoder without ``encode``,
            ``labels`` of pictures that lie in no subfolder, an ``out`` that cannot be written or holds other work, the
            wrong number of processes.
        ConnectionError: another process ended early.
        FileNotFoundError: no such folder.

    Example:
        >>> from latent_vizae import load_decoder
        >>> f_d = load_decoder("mnist")
        >>> encode_images(f_d, np.zeros((5, 1, 28, 28), np.uint8)).shape
        torch.Size([5, 10])
    """
    require_encoder(decoder)
    size = as_whole(batch_size, "batch_size", 1)
    path = None if out is None else Path(out)
    to_folder = path is not None and path.suffix != ".safetensors"
    if path is not None and to_folder and path.suffix.lower() in FILES:
        raise ValueError(f"out is a folder or a .safetensors file, got {path.name}.")
    if not to_folder and (unit_size is not None or processes is not None):
        raise ValueError("unit_size and processes are for an out that is a folder.")
    pictures = Pictures(images, column, labels, background)
    with Progress(progress, "encode", unit="image") as shown:
        if path is not None and to_folder:
            settings = {"unit_size": UNIT_SIZE if unit_size is None else unit_size, "processes": processes}
            found: Any = encode_shards(decoder, pictures, path, size, report=shown, **settings)
        else:
            batches = encode_batches(decoder, pictures.batches(getattr(decoder, "image_shape", None), size))
            batches = _reported(batches, shown, pictures.count or 0)
            found = _gathered(batches) if path is None else _written(path, batches, pictures.columns)
    pictures.notes.warn()
    return found if path is not None or labels is None else (found, pictures.columns["labels"])


def _reported(batches: Iterator[Tensor], shown: Progress, count: int) -> Iterator[Tensor]:
    done = 0
    for codes in batches:
        done += len(codes)
        yield codes
        shown(done, count)


def _gathered(batches: Iterator[Tensor]) -> Tensor:
    parts = [codes.cpu() for codes in batches]
    if not parts:
        raise ValueError("encode_images: there are no pictures; at least one is needed.")
    return torch.cat(parts)


def _written(path: Path, batches: Iterator[Tensor], columns: dict[str, list[str]]) -> Path:
    """A safetensors file of one tensor, ``codes``, whose length is known only at the end: its header comes last."""
    described = {name: json.dumps(values) for name, values in columns.items()}
    reserved = HEADER_BYTES + len(json.dumps(described))
    with atomic_file(path) as partial, partial.open("wb") as file:
        file.write(bytes(8 + reserved))
        total, shape = 0, torch.Size()
        for codes in batches:
            values: np.ndarray[Any, Any] = codes.cpu().numpy()
            file.write(np.ascontiguousarray(values, "<f4").tobytes())
            total, shape = total + len(codes), codes.shape[1:]
        if total == 0:
            raise ValueError("encode_images: there are no pictures; at least one is needed.")
        tensor = {"dtype": "F32", "shape": [total, *shape], "data_offsets": [0, 4 * total * shape.numel()]}
        header = {"codes": tensor} | ({"__metadata__": described} if described else {})
        file.seek(0)
        file.write(reserved.to_bytes(8, "little") + json.dumps(header).encode().ljust(reserved))
    return path
