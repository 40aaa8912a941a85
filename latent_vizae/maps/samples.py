"""Samples: points of a map with their codes and images, and their files."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from latent_vizae.storage.folder import atomic_file

__all__ = ["Samples", "to_uint8"]


MOST_GIF = 2**16 - 1


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (k, C, H, W) in [0, 1], C of 1, 3 or 4, to bytes (k, H, W, 3 or 4)."""
    channels = images.shape[1]
    if channels not in (1, 3, 4):
        raise ValueError(f"Pictures have 1, 3 or 4 channels, these images have {channels}; save as .safetensors.")
    array = (images.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return np.repeat(array, 3, axis=3) if channels == 1 else array


@dataclass(frozen=True)
class Samples:
    """Points of a map, their codes and their images, in one order.

    Attributes:
        points: (k, d).
        codes: (k, *latent_shape).
        images: (k, C, H, W) in [0, 1].
        rows: number of rows of a sheet of them; None for a nearly square one. Of a grid of a 2-D map, the first row is
            the top of the map.
        seconds_per_frame: duration of each image in an animation.

    Example:
        >>> import torch
        >>> from latent_vizae import LatentMap, fit
        >>> m = LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2))
        >>> len(m.grid(shape=(3, 3)))
        9
    """

    points: Tensor
    codes: Tensor
    images: Tensor
    rows: int | None = None
    seconds_per_frame: float = 0.08

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.points)

    def sheet(self, gap: int = 1) -> Image.Image:
        """All images side by side, row by row, as one picture.

        Args:
            gap: pixels between them, white.
        """
        images = to_uint8(self.images)
        count, height, width, channels = images.shape
        rows = self.rows or max(1, round(math.sqrt(count * width / height)))
        columns = math.ceil(count / rows)
        rows = math.ceil(count / columns)
        sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
        for index, image in enumerate(images):
            top, left = gap + index // columns * (height + gap), gap + index % columns * (width + gap)
            sheet[top : top + height, left : left + width] = image
        return Image.fromarray(sheet)

    def save(self, path: str | Path) -> Path:
        """Write the samples, whole or not at all, in the format of the path's ending.

        Args:
            path: ``.png`` (a sheet), ``.gif`` or ``.mp4`` (an animation; mp4 needs the extra ``plot``), or
                ``.safetensors`` (points, codes and images as they are). The folder must exist.

        Returns:
            The path.

        Raises:
            ValueError: another ending, no such folder, or a folder that cannot be written.
            ImportError: mp4 without the extra ``plot``.
        """
        path = Path(path)
        writers: dict[str, Callable[[Path], None]] = {
            ".png": lambda target: self.sheet().save(target),
            ".gif": self._save_gif,
            ".mp4": self._save_mp4,
            ".safetensors": self._save_tensors,
        }
        writer = writers.get(path.suffix.lower())
        if writer is None:
            raise ValueError(f"Samples are saved as {', '.join(writers)}; asked for {path.name!r}.")
        with atomic_file(path) as partial:
            writer(partial)
        return path

    def _frames(self) -> list[Image.Image]:
        """Frames enlarged by a whole number, to at most 224 pixels on the shorter and 4,096 on the longer side."""
        images = to_uint8(self.images)
        height, width = images.shape[1:3]
        factor = max(1, min(224 // min(height, width), 4096 // max(height, width)))
        return [Image.fromarray(image.repeat(factor, 0).repeat(factor, 1)) for image in images]

    def _save_gif(self, path: Path) -> None:
        first, *rest = self._frames()
        milliseconds = round(1000 * self.seconds_per_frame)
        if max(first.size) > MOST_GIF:
            raise ValueError(f"A GIF has at most {MOST_GIF} pixels a side, got {first.width} x {first.height}.")
        disposal = 2 if first.mode == "RGBA" else 0  # else what was drawn stays under what is transparent
        first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, disposal=disposal)

    def _save_mp4(self, path: Path) -> None:
        try:
            import imageio.v2 as imageio
            import imageio_ffmpeg  # noqa: F401 (imageio finds it by itself; without it the error is obscure)
        except ImportError as error:
            raise ImportError('Saving .mp4 needs: pip install "latent-vizae[plot]". Or save as .gif.') from error
        frames: list[Any] = [np.asarray(frame.convert("RGB")) for frame in self._frames()]
        imageio.mimsave(path, frames, fps=1 / self.seconds_per_frame, macro_block_size=2)
        if path.stat().st_size == 0:  # what ffmpeg refuses, imageio passes over
            height, width = frames[0].shape[:2]
            raise ValueError(f"ffmpeg cannot encode {width} x {height} pixels. Save as .gif or .png.")

    def _save_tensors(self, path: Path) -> None:
        tensors = {name: getattr(self, name).detach().cpu().contiguous() for name in ("points", "codes", "images")}
        path.write_bytes(save(tensors, {"format": "pt"}))
