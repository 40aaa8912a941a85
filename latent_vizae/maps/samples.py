"""Samples: points of a map with their codes and images, and their files."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from latent_vizae.storage.folder import atomic_file

__all__ = ["Sample", "Samples", "to_uint8"]


MOST_GIF = 2**16 - 1

SHOWN_IMAGES, SHOWN_PIXELS, SHOWN_FRAMES = 400, 2**24, 64
"""Bounds of what a notebook shows, and keeps in its file: images and pixels of a sheet, frames of an animation."""


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (k, C, H, W) in [0, 1], C of 1, 3 or 4, to bytes (k, H, W, 3 or 4)."""
    channels = images.shape[1]
    if channels not in (1, 3, 4):
        raise ValueError(f"Pictures have 1, 3 or 4 channels, these images have {channels}; save as .safetensors.")
    array = (images.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return np.repeat(array, 3, axis=3) if channels == 1 else array


class Sample(NamedTuple):
    """One of `Samples`: point (d,), code (*latent_shape), image (C, H, W)."""

    point: Tensor
    code: Tensor
    image: Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """Points of a map, their codes and their images, in one order.

    Iteration and ``samples[3]`` give a `Sample`; a slice, a list of numbers or a mask gives Samples. A notebook shows
    a sheet of them, or an animation where they are one row (a path).

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
        >>> point, code, image = m.grid(shape=(3, 3))[4]
        >>> point
        tensor([0., 0.])
        >>> m.grid(shape=(3, 3))[:2]
        Samples(2 samples: points (2, 2), codes (2, 4), images (2, 1, 2, 2))
    """

    points: Tensor
    codes: Tensor
    images: Tensor
    rows: int | None = None
    seconds_per_frame: float = 0.08

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.points)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(getattr(self, name).shape)}" for name in ("points", "codes", "images"))
        return f"Samples({len(self)} sample{'' if len(self) == 1 else 's'}: {shapes})"

    def __iter__(self) -> Iterator[Sample]:
        """One `Sample` after the other."""
        return map(Sample, self.points, self.codes, self.images)

    @overload
    def __getitem__(self, which: int) -> Sample: ...
    @overload
    def __getitem__(self, which: slice | Sequence[int] | Tensor | np.ndarray[Any, Any]) -> Samples: ...
    def __getitem__(self, which: Any) -> Sample | Samples:
        """One `Sample` by its number, negative ones from the end; Samples by a slice, numbers or a mask.

        Raises:
            IndexError: no such sample, or a mask of another length.
            TypeError: not numbers.
        """
        if hasattr(which, "__index__") and getattr(which, "ndim", 0) == 0 and not isinstance(which, bool):
            number = int(which)
            if not -len(self) <= number < len(self):
                raise IndexError(f"There are {len(self)} samples, numbered from 0; asked for {number}.")
            return Sample(self.points[number], self.codes[number], self.images[number])
        numbers = np.arange(len(self))
        if isinstance(which, slice):
            chosen = numbers[which]
        else:
            given = which.detach().cpu().numpy() if isinstance(which, Tensor) else np.asarray(which)
            given = given.astype(np.int64) if given.size == 0 else given
            if given.ndim != 1 or given.dtype.kind not in "iub":
                raise TypeError(f"Samples are chosen by a number, a slice, numbers or a mask, got {which!r:.80}.")
            chosen = numbers[given]
        rows = self.rows if self.rows == 1 else None
        at = torch.from_numpy(chosen)
        points, codes, images = (part[at.to(part.device)] for part in (self.points, self.codes, self.images))
        return Samples(points, codes, images, rows, self.seconds_per_frame)

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
        first.save(path, **_animated([first, *rest], milliseconds))

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

    # In a notebook.

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: a sheet, and of one row an animation; of images that are no picture, the text.

        Both are bounded, whatever the number and the size of the images: what is left out is said under the picture.
        """
        bundle, text = {"text/plain": repr(self)}, repr(self)
        if len(self) == 0 or self.images.shape[1] not in (1, 3, 4):
            return bundle
        count = max(1, min(len(self), SHOWN_IMAGES, SHOWN_PIXELS // self.images[0, 0].numel()))
        shown = self._first(count)
        if len(shown) < len(self):
            text += f", the first {len(shown)} of them shown"
        sheet = shown.sheet()
        sheet.thumbnail((1200, 1200))
        sheet = sheet.resize([side * max(1, 280 // max(sheet.size)) for side in sheet.size], Image.Resampling.NEAREST)
        bundle["image/png"] = _base64(sheet, "PNG")
        if self.rows != 1 or len(self) == 1:
            return bundle | {"text/html": _as_html(bundle["image/png"], "image/png", text)}
        frames = self[np.linspace(0, len(self) - 1, min(len(self), SHOWN_FRAMES)).round().astype(int)]._frames()
        for frame in frames:
            frame.thumbnail((320, 320))
        milliseconds = round(1000 * self.seconds_per_frame * len(self) / len(frames))
        animation = _base64(frames[0], "GIF", **_animated(frames, milliseconds))
        return bundle | {"image/gif": animation, "text/html": _as_html(animation, "image/gif", repr(self))}

    def _first(self, count: int) -> Samples:
        """The first samples, of a sheet with rows whole ones."""
        if count >= len(self):
            return self
        if self.rows is None or self.rows == 1:
            return self[:count]
        columns = math.ceil(len(self) / self.rows)
        rows = max(1, count // columns)
        first = self[: rows * columns]
        return Samples(first.points, first.codes, first.images, rows)


def _animated(frames: list[Image.Image], milliseconds: int) -> dict[str, Any]:
    """How Pillow saves frames as an animation."""
    disposal = 2 if frames[0].mode == "RGBA" else 0  # else what was drawn stays under what is transparent
    return {
        "save_all": True, "append_images": frames[1:], "duration": milliseconds, "loop": 0, "disposal": disposal,
    }  # fmt: skip


def _base64(picture: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def _as_html(picture: str, kind: str, text: str) -> str:
    return f'<img alt="{text}" src="data:{kind};base64,{picture}"><div><small>{text}</small></div>'
