"""What the page asks for: maps, points, regions and paths of visitors, as plain numbers and bytes.

No Gradio here: pure handlers over `LatentMap`. Everything that comes in is a stranger's: checked, bounded, answered
with a sentence. Maps are shared and only read; a visitor knows his own by an id that nobody can guess.
"""

from __future__ import annotations

import base64
import binascii
import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from latent_vizae.decoders.contract import is_slow
from latent_vizae.demos.page.checks import checked_points, is_finite, whole_number
from latent_vizae.demos.page.columns import column_list
from latent_vizae.demos.page.first_look import start_of
from latent_vizae.demos.page.fitted import FittedMap, image_shape_of, shown_rows
from latent_vizae.demos.page.kept import Kept
from latent_vizae.demos.page.layers import layer, layer_names
from latent_vizae.demos.page.pacing import LOOKED_AT, NotYet, Pacing
from latent_vizae.demos.page.pen import can_draw
from latent_vizae.demos.page.pictures import packed_images
from latent_vizae.demos.page.plans import SECONDS, Plan, draws_plan, grid_plan, pace_of, path_plan
from latent_vizae.sharing.described import as_base64

__all__ = ["Maps", "Pin"]

MOST_MAPS, MOST_PINS = 64, 2000
MOST_POINTS = 64
NO_MAP = (
    "This map is no longer here: the server was started again since it was fitted, or has made room for the maps of "
    "others. Fit it again, or go on with the first map."
)
NO_PIN = "This pin is no longer on the map. Place the picture again."
MOST_VARIANTS = 2**31
MAPS_BYTES, PINS_BYTES = 2**32, 2**28
"""Memory for kept maps, their decoders included, and for pins."""


@dataclass
class Pin:
    """A sample of one's own on a map: its code, whose residual stays."""

    map_id: str
    code: Tensor
    point: list[float]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))


class Maps:
    """Maps and pins by id; the least recently used ones go first, the maps that the page brings along stay."""

    def __init__(self, start: FittedMap, others: Iterable[FittedMap] = ()) -> None:
        self.start = start
        self._brought = {fitted.id: fitted for fitted in (start, *others)}
        self._maps: Kept[FittedMap] = Kept(MOST_MAPS, MAPS_BYTES, NO_MAP)
        self._pins: Kept[Pin] = Kept(MOST_PINS, PINS_BYTES, NO_PIN)

    def add(self, fitted: FittedMap) -> str:
        """Keep a map; its id."""
        return self._maps.add(fitted.id, fitted)

    def get(self, map_id: Any) -> FittedMap:
        """The map of that id.

        Raises:
            GoneError: there is none.
        """
        brought = self._brought.get(map_id) if isinstance(map_id, str) else None
        return self._maps.get(map_id) if brought is None else brought

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

    def added(self, fitted: FittedMap, pin_id: Any, detail: Any) -> dict[str, Any]:
        """What is added to decoded codes, as keywords of `VizAE.decode`: a pin's residual, or else detail.

        Args:
            fitted: the map.
            pin_id: or None.
            detail: ``[amount, variant]``; None for the map's own.
        """
        if pin_id is not None:
            return {"residual_of": self._code_of(fitted, pin_id)}
        if detail is None:
            return {}
        if not isinstance(detail, list) or len(detail) != 2 or not is_finite(detail[0]) or not 0 <= detail[0] <= 1:
            raise ValueError("Detail is an amount from 0 to 1 and the number of a variant.")
        return {"detail": float(detail[0]), "variant": whole_number(detail[1], "variant", 0, MOST_VARIANTS)}

    def code_at(self, map_id: Any, start: Any) -> Tensor:
        """A code (1, *latent_shape): of a ``{"point"}``, of a ``{"pin"}``, or the one in a ``{"row"}`` of the map."""
        fitted = self.get(map_id)
        ((kind, value),) = start.items() if isinstance(start, dict) and len(start) == 1 else [(None, None)]
        if kind == "pin" and value is not None:
            return self._code_of(fitted, value)
        if kind == "row":
            shown = shown_rows(len(fitted.latent_map.v.points))
            return fitted.codes_at(shown[[whole_number(value, "number of a code", 0, len(shown) - 1)]])
        if kind != "point":
            raise ValueError("A move starts at a point, a pin or a row.")
        return fitted.latent_map.v.decode(checked_points([value], fitted.latent_map.v.dim, 1, 1))

    # What the page asks for.

    def describe(self, map_id: Any) -> dict[str, Any]:
        """A map as the page draws it: at most `MOST_DRAWN` of its points, drawn evenly."""
        fitted = self.get(map_id)
        v = fitted.latent_map.v
        rows = shown_rows(len(v.points))
        kinds = ranks = None
        if fitted.labels is not None:
            kinds, ranks = fitted.labels[rows].cpu().unique(return_inverse=True)
            kinds = kinds.tolist()
        image, names = image_shape_of(fitted), v.label_names if fitted.names is None else fitted.names
        return {
            "id": fitted.id,
            "address": fitted.name or fitted.id,
            "title": fitted.title,
            "text": fitted.text,
            "dim": v.dim,
            "k": len(v.points),
            "rows": None if len(rows) == len(v.points) else as_base64(rows.numpy().astype("<u4")),
            "own_codes": fitted.codes is not None,
            "columns": column_list(fitted),
            "points": as_base64(v.points[rows].float().cpu().numpy().astype("<f4")),
            "kinds": kinds,  # of labels; a list of a million numbers would take Gradio ten seconds
            "labels": None if ranks is None else as_base64(ranks.numpy().astype("<u4")),
            "names": {str(label): names.get(label, str(label)) for label in kinds or []},
            "start": start_of(fitted),
            "image": dict(zip(("channels", "height", "width"), image, strict=True)),
            "detail": v.detail if v.field is not None else None,
            "can": {
                "layers": layer_names(fitted), "support": True, "ground": v.dim == 2, "detail": v.field is not None,
                "place": callable(getattr(fitted.latent_map.decoder, "encode", None)), "draw": can_draw(fitted),
                "live": not is_slow(fitted.latent_map.decoder),
            },
        }  # fmt: skip

    def render(self, map_id: Any, points: Any, pin: Any = None, detail: Any = None) -> dict[str, Any]:
        """Images and support of at most 64 points."""
        where, support, images = self.images_at(map_id, points, pin, detail)
        return {"points": where.tolist(), "support": support.tolist(), "images": packed_images(images)}

    def images_at(
        self, map_id: Any, points: Any, pin: Any = None, detail: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """At most 64 points (P, d) brought within reach, their support (P,) and images (P, C, H, W)."""
        fitted = self.get(map_id)
        where = checked_points(points, fitted.latent_map.v.dim, 1, MOST_POINTS)
        images = fitted.latent_map.render(where, **self.added(fitted, pin, detail))
        return where, fitted.latent_map.support(where), images

    def grid_plan(
        self, map_id: Any, region: Any, rows: Any = 10, columns: Any = 10, pin: Any = None, detail: Any = None
    ) -> Plan:
        """Samples of interest: a region."""
        fitted = self.get(map_id)
        return grid_plan(fitted, region, rows, columns, self.added(fitted, pin, detail))

    def grid(
        self,
        map_id: Any,
        region: Any,
        rows: Any = 10,
        columns: Any = 10,
        pin: Any = None,
        detail: Any = None,
        first: Any = None,
    ) -> dict[str, Any]:
        """Samples of interest for the page; from number ``first`` on, those that are soon made."""
        return self.grid_plan(map_id, region, rows, columns, pin, detail).part(first)

    def draws_plan(self, map_id: Any, point: Any, seed: Any = 0) -> Plan:
        """Draws from what the map leaves open at a point."""
        return draws_plan(self.get(map_id), point, whole_number(seed, "seed", 0, MOST_VARIANTS))

    def draws(self, map_id: Any, point: Any, seed: Any = 0, first: Any = None) -> dict[str, Any]:
        """More samples like the one at a point, for the page; from number ``first`` on, those that are soon made."""
        return self.draws_plan(map_id, point, seed).part(first)

    def path_plan(
        self,
        map_id: Any,
        corners: Any,
        frames: Any = 24,
        pin: Any = None,
        detail: Any = None,
        pace: Any = "constant",
        asked: Pacing | None = None,
    ) -> Plan:
        """A transformation along a polyline; ``asked`` as in `plans.path_plan`."""
        fitted = self.get(map_id)
        return path_plan(fitted, corners, frames, self.added(fitted, pin, detail), pace, asked)

    def path(
        self,
        map_id: Any,
        corners: Any,
        frames: Any = 24,
        pin: Any = None,
        detail: Any = None,
        pace: Any = None,
        first: Any = None,
    ) -> dict[str, Any]:
        """A transformation for the page, at the pace that its decoder allows; ``first`` as in `grid`.

        Before the first frame of a constant pace, a part may have no images, but how many are ``done`` ``of`` those
        that are looked at.
        """
        fitted = self.get(map_id)
        pace = pace_of(fitted, frames) if pace is None else pace
        way, asked, key = (map_id, corners, frames, pin, detail, pace), None, str((corners, frames, pin, detail))
        looked = fitted.paths.find(key) or {}
        if first is not None and pace == "constant":
            asked = Pacing(fitted.latent_map.decoder, looked, SECONDS)
        try:
            answer = self.path_plan(*way, asked).part(first)
        except NotYet:
            most = LOOKED_AT * frames + 1
            answer = {"points": [], "images": None, "done": min(len(looked), most), "of": most}
            answer["seconds"] = asked.seconds if asked else 0.0
        if asked is not None:
            fitted.paths.add(key, looked)
        return {**answer, "pace": pace}

    def pins_plan(self, map_id: Any, pins: Any) -> Plan:
        """Pinned pictures.

        Args:
            map_id: of a map.
            pins: of the map at a ``{"point"}``, perhaps with ``"detail"``; of one's own, the ``"pin"``; or of those
                ``"drawn"`` at a point with a seed, the one of a number.
        """
        fitted = self.get(map_id)
        if not isinstance(pins, list) or not 1 <= len(pins) <= MOST_POINTS or not all(type(p) is dict for p in pins):
            raise ValueError(f"Between 1 and {MOST_POINTS} pins are kept.")
        where = checked_points([pin.get("point") for pin in pins], fitted.latent_map.v.dim, 1, MOST_POINTS)
        codes = torch.cat(
            [self._pinned_code(fitted, pin, point) for pin, point in zip(pins, where.split(1), strict=True)]
        )
        return Plan(fitted.latent_map.decoder, where, codes, 1)

    def _pinned_code(self, fitted: FittedMap, pin: dict[str, Any], point: Tensor) -> Tensor:
        v = fitted.latent_map.v
        if (code := self._code_of(fitted, pin.get("pin"))) is not None:
            return code.to(v.device)
        if isinstance(drawn := pin.get("drawn"), list) and len(drawn) == 3:
            codes = self.draws_plan(fitted.id, *drawn[:2]).codes
            return codes[[whole_number(drawn[2], "number of a draw", 0, len(codes) - 1)]].to(v.device)
        return v.decode(point, **self.added(fitted, None, pin.get("detail")))

    def layer(self, map_id: Any, name: Any, part: Any = False) -> dict[str, Any]:
        """A heat map of a 2-D map, which is kept; as a part, as far as it is soon measured."""
        fitted = self.get(map_id)
        if fitted.latent_map.v.dim != 2:
            return {"side": 0, "values": None, "low": 0.0, "high": 0.0, "text": "Layers are drawn on 2-D maps."}
        names = layer_names(fitted)
        if not isinstance(name, str) or name not in names:
            raise ValueError(f"The layers are {', '.join(names)} on this map.")
        return layer(fitted, name, SECONDS if part else math.inf)

    def thumbs(self, map_id: Any, rows: Any, first: Any = None) -> dict[str, Any]:
        """Images of at most 64 of the codes themselves; from number ``first`` on, those that are soon made."""
        fitted = self.get(map_id)
        v, f_d = fitted.latent_map.v, fitted.latent_map.decoder
        shown = shown_rows(len(v.points))
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_POINTS:
            raise ValueError(f"Between 1 and {MOST_POINTS} codes are asked for at a time.")
        chosen = shown[[whole_number(row, "number of a code", 0, len(shown) - 1) for row in rows]]
        plan = Plan(f_d, v.points[chosen], fitted.codes_at(chosen), 1)
        if first is None or not is_slow(f_d):
            return plan.part(first)
        return plan.part(first, fitted.thumbs, [str(row) for row in chosen.tolist()])

    def drawing(self, map_id: Any, drawing: Any) -> Image.Image:
        """A picture drawn by hand: ``{"width", "height", "pixels": base64 of grey bytes}``."""
        channels, height, width = image_shape_of(self.get(map_id))
        try:
            pixels = base64.b64decode(str(drawing["pixels"])[: 2 * height * width + 8], validate=True)
        except (TypeError, KeyError, binascii.Error, ValueError):
            pixels = b""
        if channels != 1 or len(pixels) != height * width:
            raise ValueError(f"A drawing for this map has {width} x {height} grey pixels.")
        return Image.frombytes("L", (width, height), pixels)
