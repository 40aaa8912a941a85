"""The tab where directions are found and loaded; what is done with them happens on the map."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from latent_vizae.demos.page.api import kindly
from latent_vizae.demos.page.finding import (
    METHODS,
    METHODS_IN_WORDS,
    MOST_DIRECTIONS,
    MOST_STEPS,
    directions_in_words,
    load_directions,
)
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import FoundDirections, Steering
from latent_vizae.demos.page.stops import Stops
from latent_vizae.demos.page.workers import Workers

__all__ = ["add_directions_tab"]


def add_directions_tab(
    steering: Steering, queues: Queues, workers: Workers, touched: gr.HTML, map_id: gr.State
) -> gr.State:
    """Fill the tab being built.

    Args:
        steering: keeps what is found.
        queues: of the page.
        workers: of the page.
        touched: the map, whose value names the directions that it offers.
        map_id: id of the visitor's map.

    Returns:
        Id of the visitor's directions.
    """
    stops = Stops()

    def shown(map_id: str, found: FoundDirections) -> tuple[Any, ...]:
        steering.add(found)
        return {"id": map_id, "pin": None, "directions": found.id}, found.id, directions_in_words(found)

    @kindly
    async def find_(
        map_id: str,
        method: str,
        count: float,
        by_class: bool,
        steps: float,
        seed: float,
        request: gr.Request,
        bar: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio's own way to hand it in)
    ) -> tuple[Any, ...]:
        bar(0, desc="find directions")
        fitted = steering.maps.get(map_id)
        with stops.progress(request, bar) as progress:
            asked = {"method": method, "count": count, "by_class": by_class, "steps": steps, "seed": seed}
            search = partial(workers.directions, fitted, progress, **asked)
            found = await queues.run("fit", fitted.latent_map.decoder, search)
        return shown(map_id, found)

    @kindly
    async def load_(map_id: str, name: str, login: gr.OAuthToken | None) -> tuple[Any, ...]:
        token = False if login is None else login.token
        fitted = steering.maps.get(map_id)
        return shown(map_id, await queues.run("hub", name.strip(), load_directions, fitted, name, token))

    gr.Markdown(
        "Directions of the latent space along each of which pictures change in one way. Sliders beside the map move a "
        "sample along them; the layer of arrows shows where they lead."
    )
    method = gr.Radio(METHODS, value="metric", label="Method", info=METHODS_IN_WORDS, elem_id="lv-method")
    by_class = gr.Checkbox(
        False,
        label="A set for each class too",
        info="where the codes have labels; takes longer",
        elem_id="lv-by-class",
    )
    with gr.Row():
        count = gr.Number(
            3, label="Directions in a set", minimum=1, maximum=MOST_DIRECTIONS, precision=0, elem_id="lv-set-size"
        )
        steps = gr.Number(
            1000, label="Steps", info="of training", minimum=1, maximum=MOST_STEPS, precision=0, elem_id="lv-training"
        )
        seed = gr.Number(0, label="Seed", minimum=0, precision=0)
    with gr.Row():
        go = gr.Button("Find directions", variant="primary", elem_id="lv-find")
        cancel = gr.Button("Cancel, keep the best so far", elem_id="lv-find-cancel")
    words, found_id = gr.Markdown(min_height=64, elem_id="lv-found"), gr.State("")
    with gr.Row():
        name = gr.Textbox(label="Load directions of the Hub", placeholder="user/name", elem_id="lv-directions-name")
        load = gr.Button("Load", elem_id="lv-directions-load")

    given = [touched, found_id, words]
    go.click(
        find_,
        [map_id, method, count, by_class, steps, seed],
        given,
        show_progress_on=words,  # the map stays in use
        api_visibility="private",
    )
    cancel.click(stops.stop, queue=False, api_visibility="private")
    load.click(load_, [map_id, name], given, api_visibility="private")
    map_id.change(lambda: ("", ""), None, [found_id, words], show_progress="hidden", api_visibility="private")
    return found_id
