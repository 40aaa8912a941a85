"""One picture, a PIL image, a file, an array or a tensor, to a tensor (C, H, W) in [0, 1]."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageColor, ImageOps
from torch import Tensor

from .surroundings import warn_caller

__all__ = ["CHANNELS", "DAMAGED", "FORMATS", "Notes", "as_colour", "as_image", "on_background", "upright"]


FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that Pillow reads itself; for EPS it runs Ghostscript."""

DAMAGED = (
    SyntaxError, TypeError, ValueError, LookupError, OverflowError, EOFError, OSError, AttributeError, RuntimeError,
    struct.error, zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning, ImageCms.PyCMSError,
)  # fmt: skip
"""What Pillow raises for damaged files, and for those that say that they are too large (UnidentifiedImageError is an
OSError)."""

CHANNELS = (1, 3, 4)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SIXTEEN = ("I;16", "I;16B", "I;16L", "I;16N")
WHITE = 65535

TRANSPARENT, VANISHED = "transparent", "vanished"
DEEP, FRAMES = "16 bits", "frames"


class Notes:
    """What a reader of pictures should know of them: how many are transparent, animated or of 16 bits, and which."""

    def __init__(self, background: tuple[int, int, int]) -> None:
        self.background = background
        self.names: dict[str, dict[str, None]] = {}

    def add(self, kind: str, name: str) -> None:
        """Note one picture."""
        self.names.setdefault(kind, {})[name] = None

    def warn(self) -> None:
        """Say all in one UserWarning, if there is something to say."""
        colour = "#{:02x}{:02x}{:02x}".format(*self.background)
        said = {
            TRANSPARENT: f"have transparent parts, which are put on {colour} (background=)",
            VANISHED: f"show nothing but {colour} then: choose another background=",
            DEEP: f"have 16 bits, of which {WHITE} is taken as white",
            FRAMES: "have several frames, of which the first is taken",
        }
        sentences = [f"{_listed(list(self.names[kind]))} {text}" for kind, text in said.items() if kind in self.names]
        if sentences:
            warn_caller(f"Of the pictures, {'; '.join(sentences)}.")


def _listed(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def as_colour(colour: Any) -> tuple[int, int, int]:
    """A colour from its name or ``#rrggbb``, from bytes (r, g, b), or from one byte of grey.

    Raises:
        ValueError: none of these.
    """
    try:
        values = ImageColor.getrgb(colour)[:3] if isinstance(colour, str) else np.broadcast_to(colour, 3).tolist()
        if all(value == int(value) and 0 <= value <= 255 for value in values):
            red, green, blue = (int(value) for value in values)
            return red, green, blue
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"background is the name of a colour ('white', '#808080') or bytes (r, g, b) from 0 to 255, got {colour!r}."
    )


def as_image(picture: Any, channels: int | None, notes: Notes, name: str) -> Tensor:
    """One picture as a tensor (C, H, W) in [0, 1].

    A file's first frame is taken; a photograph stands upright as its EXIF says. CMYK is converted by the colour
    profile in it, or else as Pillow does; other profiles are not looked at. Transparent parts get the colour of the
    background, unless there are 4 channels.

    Args:
        picture: a PIL image, a path, an array (H, W) or (H, W, C) of 8 or 16 bits, a tensor (C, H, W).
        channels: 1, 3 or 4; None keeps grey grey and makes RGB of the rest.
        notes: gets what should be said of it.
        name: of the picture, for errors and notes.

    Raises:
        TypeError: not a picture.
        ValueError: one that cannot be read, has no defined white, or floats outside of [0, 1].
    """
    if isinstance(picture, str | Path):
        return _of_file(picture, channels, notes, name)
    if isinstance(picture, np.ndarray):
        if picture.dtype not in (np.uint8, np.uint16) or picture.ndim not in (2, 3):
            raise TypeError(
                f"An array of one picture holds bytes (or 16 bits), (H, W) or (H, W, C); {name} is {picture.dtype} "
                f"{picture.shape}. Floats come as a tensor (C, H, W) in [0, 1]."
            )
        if picture.dtype == np.uint16:
            pixels = picture if picture.ndim == 3 else picture[..., None]
            picture = torch.from_numpy(pixels.astype(np.int32)).movedim(2, 0).to(torch.uint16)
        else:
            try:
                picture = Image.fromarray(picture.squeeze(2) if picture.shape[2:] == (1,) else picture)
            except TypeError as error:
                raise TypeError(f"An array of shape {picture.shape} is not a picture: {error}") from error
    if isinstance(picture, Image.Image):
        return _of_pil(picture, channels, notes, name)
    if isinstance(picture, Tensor) and picture.dim() == 3:
        return _of_tensor(picture.detach().cpu(), channels, notes, name)
    kind = f"a tensor of shape {tuple(picture.shape)}" if isinstance(picture, Tensor) else type(picture).__name__
    raise TypeError(f"A picture is a PIL image, a file, an array (H, W, C) or a tensor (C, H, W); {name}: got {kind}.")


def _of_file(path: str | Path, channels: int | None, notes: Notes, name: str) -> Tensor:
    try:
        # By name, Pillow 12 maps turned TIFF files with their sides exchanged.
        with Path(path).open("rb") as file, Image.open(file, formats=FORMATS) as opened:
            if opened.format in ("GIF", "PNG", "WEBP", "TIFF") and getattr(opened, "is_animated", False):
                notes.add(FRAMES, name)
            return _of_pil(opened, channels, notes, name)
    except DAMAGED as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def upright(picture: Image.Image) -> Image.Image:
    """A photograph rotated by its EXIF orientation, or unchanged if that is missing or invalid."""
    with contextlib.suppress(*DAMAGED):
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(picture)
    return picture


def on_background(picture: Image.Image, background: tuple[int, int, int]) -> tuple[Image.Image, Image.Image | None]:
    """A picture without transparency, and its alpha, or None where nothing was transparent."""
    palette = picture.palette.mode if picture.mode == "P" and picture.palette else ""
    if (picture.mode + palette)[-1] not in "Aa" and "transparency" not in picture.info:
        return picture, None
    if picture.mode == "La":  # which Pillow converts to this only
        picture = picture.convert("LA")
    seen = picture.convert("RGBA")
    alpha = seen.getchannel("A")
    whole = Image.new("RGBA", seen.size, (*background, 255))
    whole.alpha_composite(seen)
    grey = picture.mode in ("1", "L", "LA") and len(set(background)) == 1
    return whole.convert("L" if grey else "RGB"), alpha if np.asarray(alpha).min(initial=255) < 255 else None


def _of_pil(picture: Image.Image, channels: int | None, notes: Notes, name: str) -> Tensor:
    try:
        picture.load()
    except DAMAGED as error:  # opened elsewhere, and read only now
        raise ValueError(f"{name} cannot be read as a picture: {error}") from error
    is_deep = picture.mode in SIXTEEN or (picture.mode == "I" and picture.format == "PNG")  # in an older Pillow
    bits = (getattr(picture, "tag_v2", {}).get(ExifTags.Base.BitsPerSample) or (16,))[0]
    picture = upright(picture)
    if is_deep:
        values, white = np.array(picture).astype(np.int32), 2**bits - 1
        if (through := picture.info.get("transparency")) is not None:
            values[values == through] = round(sum(notes.background) / 3 / 255 * white)
            notes.add(TRANSPARENT, name)
        if bits == 16:
            notes.add(DEEP, name)
        return _spread(torch.from_numpy(values)[None].float() / white, channels)
    if picture.mode in ("I", "F"):
        raise ValueError(f"A picture of mode {picture.mode} has no defined white value: {name}. Convert it to bytes.")
    if picture.mode in ("CMYK", "LAB"):
        picture = _in_rgb(picture)
    if channels != 4:
        picture, alpha = on_background(picture, notes.background)
        if alpha is not None:
            notes.add(TRANSPARENT, name)
            shown = np.asarray(picture.convert("RGB")).astype(int) - notes.background
            if np.asarray(alpha).any() and abs(shown).max() < 2:
                notes.add(VANISHED, name)
    mode = MODES.get(channels or 0) or ("L" if picture.mode in ("1", "L") else "RGB")
    pixels = np.array(picture.convert(mode))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).movedim(2, 0).float() / 255


def _in_rgb(picture: Image.Image) -> Image.Image:
    """CMYK by the profile in it, or else as Pillow does; CIE L*a*b* by its definition."""
    profile: bytes = picture.info.get("icc_profile") or b""
    with contextlib.suppress(*DAMAGED):  # what is no profile is passed over, as browsers do
        if picture.mode == "LAB" or profile:
            lab: Any = ImageCms.createProfile("LAB")
            source = lab if picture.mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target: Any = ImageCms.createProfile("sRGB")
            found = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
            if found is not None:
                return found
    return picture.convert("RGB")


def _of_tensor(image: Tensor, channels: int | None, notes: Notes, name: str) -> Tensor:
    if image.shape[0] not in (*CHANNELS, channels) and image.shape[2] in CHANNELS:  # (H, W, C)
        image = image.movedim(2, 0)
    if image.dtype == torch.uint16:
        notes.add(DEEP, name)
    image = image.float() / {torch.uint8: 255, torch.uint16: WHITE}.get(image.dtype, 1)
    if image.numel() == 0:
        raise ValueError(f"A picture has at least one pixel; {name} has the shape {tuple(image.shape)}.")
    low, high = (value.item() for value in image.aminmax())
    if not 0 <= low <= high <= 1:
        raise ValueError(f"Pictures of floats lie in [0, 1], got [{low:.4g}, {high:.4g}] ({name}).")
    return _spread(image, channels)


def _spread(image: Tensor, channels: int | None) -> Tensor:
    """Grey in as many channels as there are to be, and opaque."""
    if len(image) != 1 or channels in (None, 1):
        return image
    if channels == 4:
        return torch.cat([image.expand(3, -1, -1), torch.ones_like(image)])
    return image.expand(channels or 1, -1, -1)
