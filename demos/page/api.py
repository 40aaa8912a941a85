"""Named endpoints for gradio_client (and, with gradio's extra mcp, for agents): typed, described, bounded."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_in_or_equal
from huggingface_hub.utils import httpx

from latent_vizae.demos.page.hub import Decoders
from latent_vizae.demos.page.jobs import place_picture
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pictures import open_picture
from latent_vizae.demos.page.plans import Plan
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import Steering
from latent_vizae.demos.page.workers import Workers

__all__ = ["MENDABLE", "add_endpoints", "in_words", "kindly"]

MENDABLE = (ValueError, TypeError, ImportError, OSError, httpx.TransportError)
"""Errors that a person can mend; others are ours."""


FOLDERS = re.compile(r"(?<![\w:/.])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\":]+[/\\])+(?=[^/\\\s'\":])")
"""Of this machine, before the name of a file; addresses are none."""


def _shown(plan: Plan) -> dict[str, Any]:
    """Points, and the images on a sheet."""
    samples, buffer = plan.samples(), io.BytesIO()
    samples.sheet().save(buffer, "PNG")
    sheet = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"points": samples.points.tolist(), "sheet": sheet}


def kindly(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """For events and endpoints: what a person can mend becomes a message, and what is on the page stays."""

    @wraps(function)
    async def run(*arguments: Any, **keywords: Any) -> Any:
        try:
            return await function(*arguments, **keywords)
        except MENDABLE as error:
            raise gr.Error(in_words(error), duration=8, print_exception=False) from error

    return run


def in_words(error: BaseException) -> str:
    """What the page says of an error: a sentence, as text and not as HTML, without paths of this machine."""
    if isinstance(error, httpx.TransportError):
        return "The Hub cannot be reached; try again later."
    return html.escape(FOLDERS.sub("", str(error).strip()), quote=False)


def _uploaded(picture: Any) -> Path:
    """Where a visitor's upload lies; Gradio lets endpoints have any path that a stranger writes."""
    given = picture.get("path") if isinstance(picture, dict) else getattr(picture, "path", None)
    path = Path(given if isinstance(given, str) else "")
    if not is_in_or_equal(path, get_upload_folder()) or not path.is_file():
        raise ValueError(f"A picture is a file that was uploaded here; upload it first. Got {str(given)[:80]!r}.")
    return path


def add_endpoints(maps: Maps, decoders: Decoders, steering: Steering, queues: Queues, workers: Workers) -> None:
    """Add /fit, /render, /grid, /path, /place, /certify, /directions and /traverse to the page being built."""

    def known(map_id: str) -> str:
        return map_id or maps.start.id

    def in_turn(kind: str, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """What asks a map's decoder, in the queue of that decoder."""

        @wraps(function)
        async def run(*arguments: Any, **keywords: Any) -> Any:
            given = signature(function).bind(*arguments, **keywords).arguments
            f_d = maps.get(known(given.get("map_id", ""))).latent_map.decoder
            return await queues.run(kind, f_d, partial(function, **given))

        return run

    async def fit(
        decoder: str = "mnist", labels: list[int] | None = None, count: int = 200, dim: int = 2, seed: int = 0
    ) -> dict[str, Any]:
        """Fit a map of a decoder's example codes (or, where it has none, of samples of its prior).

        Args:
            decoder: mnist, emoji, hub:user/name or diffusers:user/name.
            labels: of the examples; none for all.
            count: number of codes, at most 20000.
            dim: dimensions of the map, 1 to 3.
            seed: of the draw and of the fit.

        Returns:
            map: the id that the other endpoints take; report: what was measured.
        """
        f_d = await decoders.in_turn(queues, decoder)
        source = "examples" if hasattr(f_d, "examples") else "prior"
        codes = {"source": source, "name": decoder, "labels": labels, "count": count, "seed": seed}
        fitted = await queues.run("fit", f_d, workers.fit, f_d, codes, dim, seed, lambda *_: None)
        maps.add(fitted)
        report = fitted.latent_map.v.report
        return {"map": fitted.id, "report": None if report is None else report.to_dict()}

    def render(points: list[list[float]], map_id: str = "") -> dict[str, Any]:
        """Decode points of a map.

        Args:
            points: up to 64 points, each as many numbers in [-1, 1] as the map has dimensions.
            map_id: id from /fit; by default the map of the first page.

        Returns:
            points, support (how far to trust each, 0 to 1), and images: count, height, width, channels and raw,
            base64 bytes (count, height, width, channels), or jpeg for large ones.
        """
        return maps.render(known(map_id), points)

    def grid(
        box: list[list[float]] | None = None, rows: int = 10, columns: int = 10, map_id: str = ""
    ) -> dict[str, Any]:
        """Decode a grid over a box of a map: samples of interest.

        Args:
            box: two corners; by default the whole map.
            rows: 1 to 20.
            columns: 1 to 20.
            map_id: id from /fit; by default the map of the first page.

        Returns:
            points, and sheet: a picture of all, as a PNG data URL.
        """
        dim = maps.get(known(map_id)).latent_map.v.dim
        return _shown(maps.grid_plan(known(map_id), {"box": box or [[-1.0] * dim, [1.0] * dim]}, rows, columns))

    def path(corners: list[list[float]], frames: int = 24, map_id: str = "") -> dict[str, Any]:
        """Decode a path at constant pace: the transformation between samples.

        Args:
            corners: 2 to 32 points.
            frames: 2 to 64.
            map_id: id from /fit; by default the map of the first page.

        Returns:
            points, and sheet: the frames side by side, as a PNG data URL.
        """
        return _shown(maps.path_plan(known(map_id), corners, frames))

    def place(picture: gr.FileData, map_id: str = "") -> dict[str, Any]:
        """Put a picture on a map.

        Args:
            picture: a file with a picture of at most 32 megapixels.
            map_id: id from /fit; by default the map of the first page.

        Returns:
            id of the pin, point, and image: what the decoder makes of its code.
        """
        return place_picture(maps, known(map_id), open_picture(_uploaded(picture)))

    def certify(map_id: str = "") -> dict[str, Any]:
        """Measure whether a map is one-to-one and locally smooth.

        Args:
            map_id: id from /fit; by default the map of the first page.

        Returns:
            statements (verdict and text) and the round-trip errors.
        """
        return workers.trust(maps.get(known(map_id)), lambda *_: None) or {}

    def directions(
        method: str = "metric",
        n_directions: int = 3,
        by_class: bool = False,
        steps: int = 1000,
        seed: int = 0,
        map_id: str = "",
    ) -> dict[str, Any]:
        """Find semantic directions of the latent space that a map shows.

        Args:
            method: metric (along which images change most), codes (along which codes vary most), or trained.
            n_directions: in each set.
            by_class: whether each label of the codes gets a set of its own.
            steps: of training, 1 to 3000; for trained alone.
            seed: of everything random.
            map_id: id from /fit; by default the map of the first page.

        Returns:
            directions: the id that /traverse takes; names of all of them; report: what was measured.
        """
        fitted = maps.get(known(map_id))
        asked = {"method": method, "count": n_directions, "by_class": by_class, "steps": steps, "seed": seed}
        found = workers.directions(fitted, lambda *_: None, **asked)
        steering.add(found)
        return {"directions": found.id, "names": found.names(), "report": found.directions.report.to_dict()}

    def traverse(
        directions_id: str,
        number: int = 0,
        label: int | None = None,
        point: list[float] | None = None,
        map_id: str = "",
    ) -> dict[str, Any]:
        """Move a sample along one direction: 13 images from 3 steps back to 3 steps on, the 7th unchanged.

        Args:
            directions_id: id from /directions.
            number: of the direction in its set, from 0 on.
            label: of the class whose set it is; none for the global set.
            point: of the map, where the sample lies; by default its middle.
            map_id: id from /fit; by default the map of the first page.

        Returns:
            points, where the moved codes lie on the map, and sheet: the images side by side, as a PNG data URL.
        """
        middle = [0.0] * maps.get(known(map_id)).latent_map.v.dim
        start = {"point": middle if point is None else point}
        return _shown(steering.walk(known(map_id), directions_id, label, number, start))

    gr.api(kindly(fit), api_name="fit")
    kinds = {"certify": "trust", "directions": "fit"}
    for function in (render, grid, path, place, certify, directions, traverse):
        kind = kinds.get(function.__name__, "work")
        gr.api(kindly(in_turn(kind, function)), api_name=function.__name__)
