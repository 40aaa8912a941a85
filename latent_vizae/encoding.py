"""Own pictures to codes: ``encode_images(f_d, "holiday/")``, streamed, to memory, a file or a folder of shards."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate
from tqdm import tqdm

from .codes import ArrayLike, as_whole
from .decoder import decoder_dtype_and_device, evaluating
from .saving import atomic_file

__all__ = ["FORMATS", "batches_of", "encode_images", "encoded", "picture_of_row", "pictures_of"]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Those that Pillow reads by itself: EPS it would hand to Ghostscript."""
DAMAGED = (SyntaxError, TypeError, ValueError, struct.error)
"""What Pillow raises besides its own errors."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
FILES = (".npy", ".npz", ".pt", ".pth", ".bin", ".ckpt", ".h5", ".csv", ".json", ".parquet", ".zip")
HEADER_BYTES = 1024
UNIT_SIZE = 1000


@torch.no_grad()
def encode_images(
    decoder: Any,
    images: Any,
    batch_size: int = 32,
    *,
    column: str | None = None,
    out: str | Path | None = None,
    unit_size: int | None = None,
    processes: int | None = None,
    progress: bool = False,
) -> Any:
    """Codes of one's own pictures, by the decoder's ``encode``.

    Pictures are brought to the decoder's number of channels and to its image size (``decoder.image_shape``, where it
    has one): cropped to its aspect around the middle, and scaled. Only one batch is in memory at a time.

    Args:
        decoder: with a method ``encode(images)``.
        images: an array or tensor (B, C, H, W), bytes or floats in [0, 1]; a folder of pictures, read with its
            subfolders in the order of their names; or any iterable of pictures: PIL images, files, arrays of bytes
            (H, W) or (H, W, C), tensors (C, H, W), rows of a 🤗 dataset.
        batch_size: pictures per call of ``encode``.
        column: which column of a dataset's rows holds the picture; by default the first that is one.
        out: for when there are many. A ``.safetensors`` file for the codes (a tensor ``codes``) is written as the
            work goes, and appears when it is whole. Any other name is a folder: it gets shards,
            ``codes-00000-of-00010.safetensors``, ..., and ``manifest.json``; finished shards stay where a run is cut
            short, and the next run does the rest. Under ``torchrun`` the processes share the work (extra
            `distributed`). The pictures are then a folder, an array or something else that can be indexed. A folder
            of another work is refused. Works are told apart by 16 pictures, the names and sizes of all files, or all
            of an array; and by the decoder's name, its weights, and a few codes of the first and of the last finished
            shard, made again.
        unit_size: pictures a shard, 1000 by default; so many codes are in memory.
        processes: how many should work on a folder; refused where there are others.
        progress: show a bar on stderr.

    Returns:
        Codes (B, *latent_shape) float32 on the CPU; with ``out``, its path.

    Raises:
        TypeError: something that is no picture, or shards of pictures that can be read only once.
        ValueError: no pictures, one that cannot be read, floats outside of [0, 1], a decoder without ``encode``, an
            ``out`` that cannot be written or holds another work, the wrong number of processes.
        ImportError: several processes without Accelerate.
        FileNotFoundError: no such folder.

    Example:
        >>> from latent_vizae import load_decoder
        >>> f_d = load_decoder("mnist")
        >>> encode_images(f_d, np.zeros((5, 1, 28, 28), np.uint8)).shape
        torch.Size([5, 10])
    """
    if not callable(getattr(decoder, "encode", None)):
        raise ValueError("This decoder has no encode(images), so pictures have no codes. Choose one with an encoder.")
    size = as_whole(batch_size, "batch_size", 1)
    image_shape = getattr(decoder, "image_shape", None)
    path = None if out is None else Path(out)
    if path is not None and path.suffix != ".safetensors":
        if path.suffix.lower() in FILES:
            raise ValueError(f"out is a folder or a .safetensors file, got {path.name}.")
        settings = {"unit_size": UNIT_SIZE if unit_size is None else unit_size, "processes": processes}
        from .encoding_shards import encode_shards  # which knows this module

        return encode_shards(decoder, images, path, size, column, progress=progress, **settings)
    if unit_size is not None or processes is not None:
        raise ValueError("unit_size and processes are for an out that is a folder.")
    pictures, count = pictures_of(images, column)
    batches = encoded(decoder, batches_of(pictures, image_shape, size))
    bar = tqdm(total=count, desc="encode", unit="image", disable=not progress, leave=False)
    with bar:
        if path is None:
            found = []
            for codes in batches:
                found.append(codes.cpu())
                bar.update(len(codes))
            if not found:
                raise ValueError("encode_images: there are no pictures; at least one is needed.")
            return torch.cat(found)
        with atomic_file(path) as partial, partial.open("wb") as file:
            _write_codes(file, batches, bar)
        return path


def _write_codes(file: BinaryIO, batches: Iterator[Tensor], bar: Any) -> None:
    """A safetensors file of one tensor, ``codes``, whose length is known only at the end: its header comes last."""
    file.write(bytes(8 + HEADER_BYTES))
    total, shape = 0, torch.Size()
    for codes in batches:
        values: np.ndarray[Any, Any] = codes.cpu().numpy()
        file.write(np.ascontiguousarray(values, "<f4").tobytes())
        total, shape = total + len(codes), codes.shape[1:]
        bar.update(len(codes))
    if total == 0:
        raise ValueError("encode_images: there are no pictures; at least one is needed.")
    described = {"codes": {"dtype": "F32", "shape": [total, *shape], "data_offsets": [0, 4 * total * shape.numel()]}}
    header = json.dumps(described).encode().ljust(HEADER_BYTES)
    file.seek(0)
    file.write(HEADER_BYTES.to_bytes(8, "little") + header)


def pictures_of(images: Any, column: str | None) -> tuple[Iterable[Any], int | None]:
    """Pictures one by one, and how many there are, where that is known."""
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
    raise ValueError(f"No column of the rows holds a PIL image: say column=, one of {', '.join(map(str, row))}.")


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
            raise TypeError(f"An array of shape {picture.shape} is no picture: {error}") from error
    if isinstance(picture, Image.Image):
        mode = MODES.get(channels or 0) or ("L" if picture.mode in ("1", "L", "I;16") else "RGB")
        if picture.mode in ("I", "I;16", "F"):
            raise ValueError(f"A picture of mode {picture.mode} has no known white; convert it to bytes.")
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
    """A photograph as it was taken; as it is where nothing, or nonsense, says how."""
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
                f"Pictures of one size are needed, since this decoder does not say its image_shape: number {number} "
                f"has the shape {tuple(image.shape)}, the first {tuple(first)}."
            )
        batch.append(image)
        if len(batch) == size:
            yield torch.stack(batch)
            batch = []
    if batch:
        yield torch.stack(batch)


def encoded(decoder: Any, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Codes of batches of images, float32, on the decoder's device."""
    dtype, device = decoder_dtype_and_device(decoder)
    shape = torch.Size()
    for batch in batches:
        with evaluating(decoder):
            codes: ArrayLike = decoder.encode(batch.to(device=device, dtype=dtype, copy=True))  # it may work in place
        if not isinstance(codes, Tensor) or codes.dim() < 2 or len(codes) != len(batch):
            got = f"the shape {tuple(codes.shape)}" if isinstance(codes, Tensor) else type(codes).__name__
            raise ValueError(f"encode returns codes (B, *latent_shape), for {len(batch)} images it gave {got}.")
        shape = shape or codes.shape[1:]
        if codes.shape[1:] != shape:
            raise ValueError(f"encode returned codes of two shapes, {tuple(shape)} and {tuple(codes.shape[1:])}.")
        if not torch.isfinite(codes).all():
            raise ValueError("encode returned NaN or infinity.")
        yield codes.detach().float()
