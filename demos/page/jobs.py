"""What a visitor sets going: load a decoder, gather codes, fit, load and publish maps; bounded, and stopped at a word.

Names come from strangers: only generators of the Hub and the bundled one are loaded, never a path of this machine.
"""

from __future__ import annotations

import math
import struct
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from latent_vizae import Directions, LatentMap, VizAE, certify, encode_images, fit, load_decoder
from latent_vizae.cli.files import read_codes
from latent_vizae.demos.page.maps import FittedMap, Maps, images_for_page, quality
from latent_vizae.inputs.images import FORMATS
from latent_vizae.maps.certificate import Certificate
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE
from latent_vizae.storage.hub import fetch_folder, is_repo_id, look_up, parse_reference

__all__ = [
    "Decoders", "as_digit", "fetch_named", "fit_map", "gather_codes", "load_map", "open_picture", "pack",
    "place_picture",
]  # fmt: skip

START = Path(__file__).parent / "start"
MOST_CODES, MOST_VALUES = 20_000, 2**26
MOST_PIXELS = 2**25
MOST_SIDE, MOST_FRAMES = 512, 16
MOST_BYTES = 2**31
"""To download at a time."""
DAMAGED = (OSError, SyntaxError, TypeError, struct.error, Image.DecompressionBombError)
"""What Pillow raises on a damaged picture, or on what a camera noted in it."""
SCHEMES = ("hub", "diffusers")


class Decoders:
    """Decoders by name, shared by all visitors; the last few stay loaded."""

    def __init__(self, bundled: dict[str, Any] | None = None, most: int = 3) -> None:
        self._bundled = bundled or {}
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._most, self._lock = most, threading.Lock()

    def get(self, name: Any, **options: Any) -> Any:
        """Load a decoder, or have it at once.

        Raises:
            ValueError: not the bundled one and not one of the Hub, or options for larger images than are made here.
            huggingface_hub.errors.HfHubHTTPError: the Hub does not give it to everybody.
        """
        name = _checked_name(name)
        if name in self._bundled:
            return self._bundled[name]
        _check_sizes(options)
        public = {}
        if name != "mnist":  # all visitors share it: not with our login
            name, public = _pinned(name), {"token": False, "most_bytes": MOST_BYTES}
        key = f"{name} {sorted(options.items())}"
        with self._lock:
            if key not in self._kept:
                self._kept[key] = load_decoder(name, **options, **public)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _checked_name(name: Any) -> str:
    """A decoder's name that leads nowhere on this machine."""
    text = name.strip() if isinstance(name, str) else ""
    if text == "mnist":
        return text
    scheme, _, reference = text.partition(":")
    if scheme not in SCHEMES:
        raise ValueError(f"A decoder is mnist, hub:user/name or diffusers:user/name, got {text[:80]!r}.")
    parse_reference(reference)
    if Path(reference).exists():
        raise ValueError(f"Decoders come from the Hub here; {reference!r} is a folder of this machine.")
    return text


def _check_sizes(options: dict[str, Any]) -> None:
    """Refuse what makes a decoder large before it is tried; a stranger's map has options, too."""
    for name, size, most in (
        ("image_size", max, MOST_SIDE), ("num_frames", max, MOST_FRAMES), ("latent_shape", math.prod, MOST_VALUES)
    ):  # fmt: skip
        value = options.get(name, 1)
        if size(value if isinstance(value, list) and value else [value]) > most:
            raise ValueError(f"{name} is at most {most:,} here, got {value}.")


def _check_amount(count: int, latent_shape: Any) -> None:
    """Refuse more codes than are mapped here."""
    if (values := count * math.prod(latent_shape)) > MOST_VALUES:
        raise ValueError(
            f"{count:,} codes of shape {tuple(latent_shape)} are {values:,} values; at most {MOST_VALUES:,} are "
            "mapped here: take fewer codes, or smaller images."
        )


def _pinned(name: str) -> str:
    """A decoder's name with the commit, which everybody may have now, whatever our cache holds."""
    scheme, _, reference = name.partition(":")
    repo, _, revision = parse_reference(reference)
    return f"{scheme}:{reference.partition('@')[0]}@{look_up(repo, revision, token=False).sha}"


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
    grey = np.asarray(picture.convert("L")).astype(np.float32)
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


def place_picture(maps: Maps, map_id: str, picture: Image.Image) -> dict[str, Any]:
    """Encode a picture and pin it on a map."""
    f_d = maps.get(map_id).latent_map.decoder
    code = encode_images(f_d, [as_digit(picture) if f_d is maps.start.latent_map.decoder else picture])
    pin = maps.pin(map_id, code)
    return {"id": pin.id, "point": pin.point, "image": images_for_page(f_d, code)}


def gather_codes(
    f_d: Any, source: str, *, labels: list[int] | None = None, count: int = 500, seed: int = 0, files: Any = None
) -> tuple[Tensor, Tensor | None]:
    """Codes, and labels where there are any.

    Args:
        f_d: the decoder.
        source: "examples" of the decoder, "prior", "codes" in a file, or "pictures".
        labels: of the examples; None or [] for all.
        count: at most 20,000.
        seed: of what is drawn.
        files: one file of codes, or pictures.

    Raises:
        ValueError: the decoder has none of these, the files are no such thing, or it is too much.
    """
    if not 1 <= count <= MOST_CODES:
        raise ValueError(f"Between 1 and {MOST_CODES:,} codes can be mapped here, got {count}.")
    if source == "examples":
        if not hasattr(f_d, "examples"):
            raise ValueError("This decoder brings no examples: take samples of its prior, or upload pictures.")
        codes, known = f_d.examples(seed=seed)
        wanted = torch.isin(known, torch.tensor(labels)) if labels else torch.ones(len(codes), dtype=torch.bool)
        codes, known = codes[wanted][:count], known[wanted][:count]
        if len(codes) == 0:
            raise ValueError("There are no examples with these labels.")
        return codes, known
    if source == "prior":
        if not hasattr(f_d, "sample"):
            raise ValueError("This decoder has no prior to draw from: upload pictures or codes.")
        _check_amount(count, f_d.latent_shape)
        return f_d.sample(count, seed), None
    files = [files] if isinstance(files, str | Path) else list(files or [])
    if not files:
        raise ValueError("Upload a file first.")
    if source == "codes":
        codes, known = read_codes(Path(files[0]))
        _check_amount(len(codes), codes.shape[1:])
        return codes[:count], None if known is None else known[:count]
    if source == "pictures":
        _check_amount(min(count, len(files)), f_d.latent_shape)
        return encode_images(f_d, (open_picture(file) for file in files[:count])), None
    raise ValueError(f"Codes are examples, prior, codes or pictures, got {source!r}.")


def fit_map(
    f_d: Any,
    codes: Tensor,
    labels: Tensor | None,
    dim: int,
    seed: int,
    told: Callable[[int, int, str], object],
    title: str,
) -> FittedMap:
    """Fit a map, telling how far it is; ``told`` raises KeyboardInterrupt to stop it, and the best so far comes."""
    v = fit(codes, f_d, dim, labels=labels, seed=seed, progress=told)
    stopped = " Stopped early: the best map so far." if v.report is not None and v.report.interrupted else ""
    return FittedMap(title, LatentMap(v, f_d), codes.cpu(), labels, quality(v) + stopped)


def load_map(decoders: Decoders, name: Any, token: str | bool = False) -> FittedMap:
    """A map of the Hub, with its decoder.

    Args:
        decoders: kept ones.
        name: ``user/name``.
        token: of the visitor; False for none. Never that of the one who runs the page.

    Raises:
        ValueError: ``name`` is no id of a repository, or what is there is no map with a decoder of the Hub, or it
            is too large.
    """
    text, folder = fetch_named(name, "A map of the Hub is", token)
    v = VizAE.from_pretrained(folder)
    if v.source is None:
        raise ValueError(f"The map {text} names no decoder, so it has no images.")
    _check_amount(len(v.points), v.latent_shape)
    f_d = decoders.get(v.source, **v.source_options)
    codes = v.decode(v.points)
    return FittedMap(text, LatentMap(v, f_d), codes, v.labels, quality(v) + " Its codes are as the map keeps them.")


def fetch_named(name: Any, what: str, token: str | bool) -> tuple[str, Path]:
    """What a visitor calls by name on the Hub, never a path of this machine: the name, and the folder of its files.

    Raises:
        ValueError: ``name`` is no id of a repository, or its files are too large.
        huggingface_hub.errors.HfHubHTTPError: the Hub does not give it to this visitor, whatever our cache holds.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not is_repo_id(text):
        raise ValueError(f"{what} called user/name, got {text[:80]!r}.")
    commit = look_up(text, token=token).sha
    return text, fetch_folder(text, [MODEL_FILE, CONFIG_FILE], commit, token, most_bytes=MOST_BYTES)[0]


def start_map(f_d: Any) -> FittedMap:
    """The map of the first page: 2,000 codes of all digits, fitted beforehand."""
    codes, labels = f_d.examples(count=2000, seed=0)
    v = VizAE.from_pretrained(START)
    return FittedMap("2,000 handwritten digits", LatentMap(v, f_d), codes, labels, quality(v))


def plain_words(certificate: Certificate) -> str:
    """A certificate as Markdown."""
    signs = {"holds": "✓", "does not hold": "✗", "cannot hold": "∅", "not known": "?"}
    return "\n".join(f"- {signs[verdict]} **{verdict}**: {text}" for verdict, text in certificate.statements())


def certified(fitted: FittedMap) -> str:
    """The certificate of a map, in plain words."""
    return plain_words(certify(fitted.latent_map.v, fitted.latent_map.decoder, fitted.codes[:1]))


def pack(
    fitted: FittedMap, selection: dict[str, Any], maps: Any, place: Path, directions: Directions | None = None
) -> list[str]:
    """Files of a map and of what is selected on it, in the folder ``place``: v, pictures, codes; and of directions."""
    made = [_zipped(fitted.latent_map.v.save_pretrained, place, "v")]
    if directions is not None:
        made.append(_zipped(directions.save_pretrained, place, "directions"))
    if selection.get("box"):
        samples = maps.grid_samples(fitted.id, {"box": selection["box"]})
        made += [samples.save(place / "grid.png"), samples.save(place / "grid-codes.safetensors")]
    if len(selection.get("corners") or []) > 1:
        samples = maps.path_samples(fitted.id, selection["corners"])
        made += [samples.save(place / "path.gif"), samples.save(place / "path-codes.safetensors")]
    return [str(path) for path in made]


def _zipped(save: Callable[[Path], object], place: Path, name: str) -> Path:
    """The zip ``place/name.zip`` of a folder that ``save`` fills."""
    save(place / name)
    archive = place / f"{name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in sorted((place / name).iterdir()):
            file.write(path, f"{name}/{path.name}")
    return archive
