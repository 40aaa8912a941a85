"""The tab where one's own picture is placed on the map, where its generator has an encoder."""

from __future__ import annotations

from typing import Any

import gradio as gr

from latent_vizae.demos.page.api import kindly
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.jobs import place_picture
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pictures import open_picture
from latent_vizae.demos.page.queues import Queues

__all__ = ["add_picture_tab"]

TAKEN = (
    "A picture is encoded and pinned on the map. Select its pin: moving over the map, it keeps what the map does not "
    "show of it."
)
NOT_TAKEN = (
    "The generator of this map has no encoder: it makes pictures of codes, and no codes of pictures. So none can be "
    "placed on this map. A decoder with a method `encode(images)` takes them."
)


def add_picture_tab(maps: Maps, queues: Queues, touched: gr.HTML, map_id: gr.State) -> None:
    """Fill the tab being built.

    Args:
        maps: of the page.
        queues: of the page.
        touched: the map.
        map_id: id of the visitor's map.
    """

    @kindly
    async def place_(map_id: str, file: Any) -> dict[str, Any]:
        if not file:
            raise ValueError("Upload a picture first.")
        picture, f_d = open_picture(file), maps.get(map_id).latent_map.decoder
        return {"id": map_id, "pin": await queues.run("work", f_d, place_picture, maps, map_id, picture)}

    def offer(map_id: str) -> tuple[Any, ...]:
        takes = _takes(maps.get(map_id))
        return TAKEN if takes else NOT_TAKEN, gr.update(visible=takes), gr.update(visible=takes)

    takes = _takes(maps.start)
    words = gr.Markdown(TAKEN if takes else NOT_TAKEN)
    picture = gr.File(label="Picture", file_types=["image"], type="filepath", visible=takes, elem_id="lv-picture")
    place = gr.Button("Place it on the map", visible=takes, elem_id="lv-place")
    place.click(place_, [map_id, picture], touched, api_visibility="private")
    map_id.change(
        offer, map_id, [words, picture, place], queue=False, show_progress="hidden", api_visibility="private"
    )


def _takes(fitted: FittedMap) -> bool:
    return callable(getattr(fitted.latent_map.decoder, "encode", None))
