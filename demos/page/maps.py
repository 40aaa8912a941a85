"""What the page asks for: maps, points, regions and paths of visitors, as plain numbers and bytes.

No Gradio here: pure handlers over `LatentMap`. Everything that comes in is a stranger's: checked, bounded, answered
with a sentence. Maps are shared and only read; a visitor knows his own by an id that nobody can guess.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latent_vizae import LatentMap, VizAE
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.page.kept import Kept
from latent_vizae.maps.samples import Samples, to_uint8

__all__ = [
    "FittedMap", "Maps", "Pin", "as_base64", "checked_points", "encoded_images", "images_for_page", "is_finite",
    "packed_images", "quality", "whole_number",
]  # fmt: skip

MOST_MAPS, MOST_PINS = 64, 2000
MOST_POINTS, MOST_DRAWN = 64, 20_000
MOST_FRAMES, MOST_CORNERS, MOST_SIDE = 64, 32, 20
NO_PIN = "This pin is no longer on the map. Place the picture again."
SMALL = 64 * 64
"""Pictures of at most so many pixels go as bytes, larger ones as JPEG."""
MOST_AT_ONCE = 4
"""Regions and paths decoded at a time, of all visitors: each takes tens of megabytes."""
REACH = 1.5
"""How far beyond the map one may go."""
LAYERS = {
    "support": "How far to trust a place: bright among the codes, dark where there are none and the map extrapolates.",
    "stretch": "How fast the image changes there per step on the map (root mean square, on a logarithmic scale).",
    "error": "How much the image of a code there differs from what the map makes of it (mean square).",
}
LAYER_SECONDS = 30
"""About how long a layer may take; a slow decoder's is coarser."""
SIDES = {"support": 48, "stretch": 21, "error": 48}


@dataclass
class FittedMap:
    """A map with what the page shows of it."""

    title: str
    latent_map: LatentMap
    codes: Tensor
    labels: Tensor | None
    text: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    classifier: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Pin:
    """A sample of one's own on a map: its code, whose residual stays."""

    map_id: str
    code: Tensor
    point: list[float]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))


class Maps:
    """Maps and pins by id; the least recently used ones go first, one map stays."""

    def __init__(self, start: FittedMap) -> None:
        self.start = start
        self._maps: Kept[FittedMap] = Kept(MOST_MAPS, "This map is no longer here. Fit it again, or reload the page.")
        self._pins: Kept[Pin] = Kept(MOST_PINS, NO_PIN)
        self._many = threading.BoundedSemaphore(MOST_AT_ONCE)

    def add(self, fitted: FittedMap) -> str:
        """Keep a map; its id."""
        return self._maps.add(fitted.id, fitted)

    def get(self, map_id: Any) -> FittedMap:
        """The map of that id.

        Raises:
            ValueError: there is none.
        """
        return self.start if map_id == self.start.id else self._maps.get(map_id)

    def pin(self, map_id: str, code: Tensor) -> Pin:
        """Pin a code (1, *latent_shape) on a map."""
        fitted = self.get(map_id)
        pin = Pin(fitted.id, code.cpu(), fitted.latent_map.v.encode(code)[0].tolist())
        self._pins.add(pin.id, pin)
        return pin

    def _code_of(self, fitted: FittedMap, pin_id: Any) -> Tensor | None:
        """The code whose residual is kept, or None."""
        if pin_id is None:
            return None
        pin = self._pins.get(pin_id)
        if pin.map_id != fitted.id:
            raise ValueError(NO_PIN)
        return pin.code

    def code_at(self, map_id: Any, start: Any) -> Tensor:
        """A code (1, *latent_shape): of a ``{"point"}``, of a ``{"pin"}``, or the one in a ``{"row"}`` of the map."""
        fitted = self.get(map_id)
        ((kind, value),) = start.items() if isinstance(start, dict) and len(start) == 1 else [(None, None)]
        if kind == "pin" and value is not None:
            return self._code_of(fitted, value)
        if kind == "row":
            shown = shown_rows(len(fitted.codes))
            return fitted.codes[shown[[whole_number(value, "number of a code", 0, len(shown) - 1)]]]
        if kind != "point":
            raise ValueError("A move starts at a point, a pin or a row.")
        return fitted.latent_map.v.decode(checked_points([value], fitted.latent_map.v.dim, 1, 1))

    # What the page asks for.

    def describe(self, map_id: Any) -> dict[str, Any]:
        """A map as the page draws it: at most 20,000 of its points, drawn evenly."""
        fitted = self.get(map_id)
        v = fitted.latent_map.v
        rows = shown_rows(len(v.points))
        labels = None if fitted.labels is None else fitted.labels[rows].tolist()
        image = _picture_of(fitted)
        return {
            "id": fitted.id,
            "title": fitted.title,
            "text": fitted.text,
            "dim": v.dim,
            "k": len(v.points),
            "points": as_base64(v.points[rows].float().cpu().numpy().astype("<f4")),
            "labels": labels,
            "names": {str(label): str(label) for label in sorted(set(labels or []))},
            "image": dict(zip(("channels", "height", "width"), image, strict=True)),
            "has_encoder": hasattr(fitted.latent_map.decoder, "encode"),
        }

    def render(self, map_id: Any, points: Any, pin: Any = None) -> dict[str, Any]:
        """Images and support of at most 64 points."""
        where, support, images = self.images_at(map_id, points, pin)
        return {"points": where.tolist(), "support": support.tolist(), "images": packed_images(images)}

    def images_at(self, map_id: Any, points: Any, pin: Any = None) -> tuple[Tensor, Tensor, Tensor]:
        """At most 64 points (P, d) brought within reach, their support (P,) and images (P, C, H, W)."""
        fitted = self.get(map_id)
        where = checked_points(points, fitted.latent_map.v.dim, 1, MOST_POINTS)
        images = fitted.latent_map.render(where, self._code_of(fitted, pin))
        return where, fitted.latent_map.support(where), images

    def grid_samples(self, map_id: Any, region: Any, rows: Any = 10, columns: Any = 10, pin: Any = None) -> Samples:
        """A box as a grid, or a polygon evenly covered; of large pictures fewer."""
        fitted = self.get(map_id)
        m, dim = fitted.latent_map, fitted.latent_map.v.dim
        rows, columns = whole_number(rows, "rows", 1, MOST_SIDE), whole_number(columns, "columns", 1, MOST_SIDE)
        most = max(2, math.isqrt(max(4, 2**22 // math.prod(_picture_of(fitted)))))
        rows, columns = min(rows, most), min(columns, most)
        code = self._code_of(fitted, pin)
        if not isinstance(region, dict) or len(region) != 1 or not set(region) <= {"box", "polygon"}:
            raise ValueError("A region is a box or a polygon.")
        if "polygon" in region:
            if dim != 2:
                raise ValueError("Polygons are for maps of two dimensions; draw a box.")
            corners = checked_points(region["polygon"], 2, 3, MOST_CORNERS)
            samples = m.region(polygon=corners, count=rows * columns, residual_of=code)
            return Samples(samples.points, samples.codes, samples.images, rows=rows)
        low, high = checked_points(region["box"], dim, 2, 2)
        low, high = torch.minimum(low, high), torch.maximum(low, high)
        if not (high - low > 1e-6).any():
            raise ValueError("This box is a single point: drag a larger one.")
        if dim == 1:
            where = torch.linspace(low[0].item(), high[0].item(), rows * columns).unsqueeze(1)
        else:  # a box of a 3-D map lies on a plane: its two longest sides are the picture's
            first, second = sorted((high - low).topk(2).indices.tolist())
            where = ((low + high) / 2).repeat(rows * columns, 1)
            across = torch.linspace(low[first].item(), high[first].item(), columns)
            down = torch.linspace(high[second].item(), low[second].item(), rows)
            where[:, first], where[:, second] = across.repeat(rows), down.repeat_interleave(columns)
        codes = m.v.decode(where, code)
        return Samples(where, codes, decode_images(m.decoder, codes), rows=rows)

    def grid(self, map_id: Any, region: Any, rows: Any = 10, columns: Any = 10, pin: Any = None) -> dict[str, Any]:
        """Samples of interest: `grid_samples` for the page."""
        with self._many:
            samples = self.grid_samples(map_id, region, rows, columns, pin)
        count = samples.rows or 1
        return {
            "rows": count,
            "cols": len(samples) // count,
            "points": samples.points.tolist(),
            "images": packed_images(samples.images),
        }

    def path_samples(self, map_id: Any, corners: Any, frames: Any = 24, pin: Any = None) -> Samples:
        """A transformation along a polyline, at constant pace."""
        fitted = self.get(map_id)
        where = checked_points(corners, fitted.latent_map.v.dim, 2, MOST_CORNERS)
        frames = whole_number(frames, "frames", 2, MOST_FRAMES)
        code = self._code_of(fitted, pin)
        samples = fitted.latent_map.path(where, frames=frames)
        if code is None:
            return samples
        codes = fitted.latent_map.v.decode(samples.points, code)
        return Samples(samples.points, codes, decode_images(fitted.latent_map.decoder, codes), rows=1)

    def path(self, map_id: Any, corners: Any, frames: Any = 24, pin: Any = None) -> dict[str, Any]:
        """A transformation: `path_samples` for the page."""
        with self._many:
            samples = self.path_samples(map_id, corners, frames, pin)
        return {"points": samples.points.tolist(), "images": packed_images(samples.images)}

    def layer(self, map_id: Any, name: Any) -> dict[str, Any]:
        """A heat map of a 2-D map; computed once."""
        fitted = self.get(map_id)
        if not isinstance(name, str) or name not in LAYERS:
            raise ValueError(f"The layers are {', '.join(LAYERS)}.")
        if fitted.latent_map.v.dim != 2:
            return {"side": 0, "values": None, "low": 0.0, "high": 0.0, "text": "Layers are drawn on 2-D maps."}
        with fitted.lock:
            if name not in fitted.layers:
                fitted.layers[name] = _layer(fitted, name)
            return fitted.layers[name]

    def thumbs(self, map_id: Any, rows: Any) -> dict[str, Any]:
        """Images of at most 64 of the codes themselves."""
        fitted = self.get(map_id)
        shown = shown_rows(len(fitted.codes))
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_POINTS:
            raise ValueError(f"Between 1 and {MOST_POINTS} codes are asked for at a time.")
        chosen = [whole_number(row, "number of a code", 0, len(shown) - 1) for row in rows]
        return {"images": packed_images(decode_images(fitted.latent_map.decoder, fitted.codes[shown[chosen]]))}

    def drawing(self, map_id: Any, drawing: Any) -> Image.Image:
        """A picture drawn by hand: ``{"width", "height", "pixels": base64 of grey bytes}``."""
        channels, height, width = _picture_of(self.get(map_id))
        try:
            pixels = base64.b64decode(str(drawing["pixels"])[: 2 * height * width + 8], validate=True)
        except (TypeError, KeyError, binascii.Error, ValueError):
            pixels = b""
        if channels != 1 or len(pixels) != height * width:
            raise ValueError(f"A drawing for this map has {width} x {height} grey pixels.")
        return Image.frombytes("L", (width, height), pixels)


def shown_rows(count: int) -> Tensor:
    """The rows of a map that the page shows: all, or 20,000 drawn evenly; ascending."""
    if count <= MOST_DRAWN:
        return torch.arange(count)
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:MOST_DRAWN]
    return chosen.sort().values


def _picture_of(fitted: FittedMap) -> tuple[int, int, int]:
    shape = getattr(fitted.latent_map.decoder, "image_shape", None)
    if shape is None:
        shape = tuple(decode_images(fitted.latent_map.decoder, fitted.codes[:1]).shape[1:])
    return int(shape[0]), int(shape[1]), int(shape[2])


def images_for_page(decoder: Any, codes: Tensor) -> dict[str, Any]:
    """Images of codes, as the page takes them."""
    return packed_images(decode_images(decoder, codes))


def _affordable(fitted: FittedMap, most: int) -> int:
    """How many images a layer may decode: all it wants, or fewer of a slow decoder."""
    started = time.perf_counter()
    decode_images(fitted.latent_map.decoder, fitted.codes[:1])
    return max(64, min(most, int(LAYER_SECONDS / (time.perf_counter() - started + 1e-6))))


def _layer(fitted: FittedMap, name: str) -> dict[str, Any]:
    m, side = fitted.latent_map, SIDES[name]
    if name == "stretch":  # four images a place
        side = min(side, math.isqrt(_affordable(fitted, 4 * side * side) // 4))
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    points = torch.stack([x, y], -1).reshape(-1, 2)
    if name == "support":
        values = m.support(points)
    elif name == "stretch":
        values = m.stretch(points)[:, 1].clamp(min=1e-6).log10()
    else:
        rows = shown_rows(len(fitted.codes))[: _affordable(fitted, 2000) // 2]
        made = decode_images(m.decoder, m.v.decode(m.v.points[rows]))
        errors = (decode_images(m.decoder, fitted.codes[rows]) - made).square().flatten(1).mean(1)
        near = torch.softmax(-torch.cdist(points, m.v.points[rows].cpu()).square() / (2 * 0.06**2), 1)
        values = near @ errors.cpu()
    low, high = values.min().item(), values.max().item()
    scaled = (255 * (values - low) / max(high - low, 1e-12)).round().byte().numpy()
    shown = (10**low, 10**high) if name == "stretch" else (low, high)
    return {"side": side, "values": as_base64(scaled), "low": shown[0], "high": shown[1], "text": LAYERS[name]}


def checked_points(values: Any, dim: int, least: int, most: int) -> Tensor:
    """Points (P, dim) from a stranger, within reach of the map."""
    if not isinstance(values, list) or not least <= len(values) <= most:
        count = len(values) if isinstance(values, list) else type(values).__name__
        raise ValueError(f"Between {least} and {most} points are taken, got {count}.")
    rows = [value if isinstance(value, list) else [value] for value in values]
    for row in rows:
        plain = all(is_finite(number) for number in row)
        if len(row) != dim or not plain:
            raise ValueError(f"A point of this map is {dim} finite numbers.")
    return torch.tensor(rows, dtype=torch.float64).clamp(-REACH, REACH).float()


def is_finite(value: Any) -> bool:
    """A number that a float holds; a bool is none, and integers may have thousands of digits."""
    return type(value) in (int, float) and -1e300 < value < 1e300


def whole_number(value: Any, what: str, least: int, most: int) -> int:
    if not is_finite(value) or value != int(value):
        raise ValueError(f"The {what} is a whole number, got {str(value)[:40]!r}.")
    if not least <= value <= most:
        raise ValueError(f"The {what} is between {least} and {most}, got {int(value)}.")
    return int(value)


def as_base64(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def encoded_images(images: Tensor) -> tuple[str, list[bytes]]:
    """Images as bytes: small ones "raw" (height, width, channels), large ones "jpeg"."""
    if math.prod(images.shape[2:]) <= SMALL:
        pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return "raw", [np.ascontiguousarray(image).tobytes() for image in pixels]
    encoded = []
    for array in to_uint8(images):
        buffer = io.BytesIO()
        Image.fromarray(array).convert("RGB").save(buffer, "JPEG", quality=88)
        encoded.append(buffer.getvalue())
    return "jpeg", encoded


def packed_images(images: Tensor) -> dict[str, Any]:
    """Images as the page takes them: all bytes in one, or JPEG one by one."""
    count, channels, height, width = images.shape
    shape = {"count": count, "height": height, "width": width, "channels": channels}
    kind, encoded = encoded_images(images)
    if kind == "raw":
        return {**shape, "raw": base64.b64encode(b"".join(encoded)).decode()}
    return {**shape, "jpeg": [base64.b64encode(one).decode() for one in encoded]}


def quality(v: VizAE) -> str:
    """One sentence on how much of its codes a map shows."""
    if v.report is None:
        return f"{len(v.points)} codes."
    error = v.report.image_error if v.report.image_error_held_out is None else v.report.image_error_held_out
    kind = "" if v.report.image_error_held_out is None else " on codes it has not seen"
    figure = "" if error is None else f"{error:.4f}" if error >= 0.0001 else "below 0.0001"
    measured = "" if error is None else f"; image error{kind} {figure} (mean square)"
    return f"{v.report.k:,} codes of {v.report.n:,} numbers on {v.dim} dimension{'s' * (v.dim > 1)}{measured}."
