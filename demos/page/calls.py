"""What the map in the browser asks for; each question waits in the queue of its map's decoder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any

from latent_vizae.demos.page.ground import Ground
from latent_vizae.demos.page.jobs import place_picture
from latent_vizae.demos.page.kept import GoneError
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.selecting import Selecting
from latent_vizae.demos.page.steering import Steering

__all__ = ["map_calls"]

QUICK = ("describe", "render", "directions", "moved", "column", "find")
"""One image or none, so they come with the pictures under pointers."""


def map_calls(
    maps: Maps, queues: Queues, steering: Steering | None = None
) -> list[Callable[[Any], Awaitable[dict[str, Any]]]]:
    """Functions for `gr.HTML`: the first argument of each is the id of a map.

    Args:
        maps: of the page.
        queues: of the page.
        steering: of a page on which directions are found.
    """

    def drawn(map_id: Any, drawing: Any) -> dict[str, Any]:
        return {"pin": place_picture(maps, map_id, maps.drawing(map_id, drawing))}

    selecting = Selecting(maps)
    functions: list[Callable[..., Any]] = [
        selecting.column, selecting.find, selecting.chosen, Ground(maps).tiles,
        maps.describe, maps.render, maps.grid, maps.draws, maps.path, maps.layer, maps.thumbs, drawn,
    ]  # fmt: skip
    if steering is not None:
        functions += [steering.directions, steering.arrows, steering.moved, steering.traverse]
    return [_plainly(function, maps, queues) for function in functions]


def _plainly(function: Callable[..., Any], maps: Maps, queues: Queues) -> Callable[[Any], Awaitable[dict[str, Any]]]:
    """Gradio hands several arguments over as one list; an error becomes a sentence."""
    name = function.__name__
    kind = "picture" if name in QUICK else name if name in ("layer", "tiles") else "work"
    needed = [parameter.default is parameter.empty for parameter in signature(function).parameters.values()]

    async def answer(data: Any) -> dict[str, Any]:
        arguments = data if isinstance(data, list) else [data]
        try:
            if not sum(needed) <= len(arguments) <= len(needed):
                raise ValueError(f"{name} takes {sum(needed)} to {len(needed)} values, got {len(arguments)}.")
            try:
                f_d = maps.get(arguments[0]).latent_map.decoder
            except GoneError as error:
                return {"error": str(error), "gone": True}
            result: dict[str, Any] = await queues.run(kind, f_d, function, *arguments)
            return result
        except (ValueError, TypeError) as error:
            return {"error": str(error)}

    answer.__name__ = name
    return answer
