"""The layout of the page, and its events: thin functions around maps.py and jobs.py."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from latent_vizae import load_decoder
from latent_vizae.demos.page.api import MENDABLE, add_endpoints, in_words, kindly
from latent_vizae.demos.page.calls import map_calls
from latent_vizae.demos.page.directions_tab import add_directions_tab
from latent_vizae.demos.page.firsts import first_maps
from latent_vizae.demos.page.fit_tab import add_fit_tab
from latent_vizae.demos.page.fitted import FittedMap, plain
from latent_vizae.demos.page.guide import guide_routes
from latent_vizae.demos.page.hub import BUNDLED, Decoders
from latent_vizae.demos.page.jobs import load_map, trust_in_words
from latent_vizae.demos.page.keep_tab import add_keep_tab
from latent_vizae.demos.page.live import live_route
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.picture_tab import add_picture_tab
from latent_vizae.demos.page.preview import LinkPreview, picture_route
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import Steering
from latent_vizae.demos.page.stops import Stops
from latent_vizae.demos.page.workers import Workers
from latent_vizae.sharing.modules import joined
from latent_vizae.storage.hub import is_repo_id

__all__ = ["TITLE", "build", "frame", "launch", "map_element"]

HERE = Path(__file__).parent / "map"
TITLE = "latent_vizae: a map one can touch"
WORDS = (
    "Every place of the map is an image. Move over it; drag a region to see samples of it; click a path to see one "
    "thing turn into another."
)
HOUR, DAY = 3600, 86400
"""How often files are looked over, and how old those are that go: uploads, and what was prepared."""
MOST_EVENTS = 256
"""Of Gradio's own, at a time; nearly all of them wait in `Queues`."""


def script() -> str:
    """All JavaScript of the map."""
    return joined(HERE / "start.js")


def build(first: FittedMap | str = "digits", local: dict[str, Any] | None = None) -> gr.Blocks:
    """The page.

    Args:
        first: the map that is there at once, or the name of one of `FIRSTS`; the others of these are one click away.
        local: decoders by name that the Fit tab offers besides; by default that of the first map, as "own".
    """
    bundled = {name: load_decoder(name) for name in BUNDLED}
    offered = first_maps(bundled) if isinstance(first, str) else {}
    own = offered[first] if isinstance(first, str) else first
    if local is None and not any(own.latent_map.decoder is f_d for f_d in bundled.values()):
        local = {"own": own.latent_map.decoder}
    maps, decoders = Maps(own, offered.values()), Decoders(bundled, local)
    steering, queues, workers = Steering(maps), Queues(), Workers(decoders)
    measuring = Stops()
    start = maps.start

    @kindly
    async def measure_(
        map_id: str,
        request: gr.Request,
        bar: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio's own way to hand it in)
    ) -> tuple[str, str]:
        fitted = maps.get(map_id)
        with measuring.progress(request, bar) as progress:
            found = await queues.run("trust", fitted.latent_map.decoder, workers.trust, fitted, progress)
        return map_id, "*Stopped; nothing was measured.*" if found is None else trust_in_words(found)

    async def open_(event: gr.EventData, login: gr.OAuthToken | None) -> tuple[Any, ...]:
        """The map that an address names: kept here, or of the Hub."""
        asked = selected(event)
        name, serial = asked.get("map"), asked.get("serial")
        try:
            fitted = await found(name, login)
        except MENDABLE as error:
            return {"id": None, "gone": html.unescape(in_words(error)), "serial": serial}, *[gr.skip()] * 3
        words = f"**{plain(fitted.title)}**\n\n{fitted.latent_map.v.report}"
        return {"id": fitted.id, "pin": None, "serial": serial}, fitted.id, words, "*Measured when asked for.*"

    async def found(name: Any, login: gr.OAuthToken | None) -> FittedMap:
        return await of_hub(name, login) if isinstance(name, str) and is_repo_id(name) else maps.get(name)

    async def of_hub(name: str, login: gr.OAuthToken | None) -> FittedMap:
        token = False if login is None else login.token
        fitted = await queues.run("hub", name, load_map, decoders, name, token)
        maps.add(fitted)
        return fitted

    def offer(fitted: FittedMap) -> tuple[Any, ...]:
        words = f"**{plain(fitted.title)}**\n\n{fitted.latent_map.v.report}"
        return {"id": fitted.id, "pin": None}, fitted.id, words, "*Measured in a moment ...*"

    def still_shown(map_id: str, measured_id: str, words: str) -> Any:
        """A certificate, unless another map has come meanwhile."""
        return words if map_id == measured_id else gr.skip()

    def selected(event: gr.EventData) -> dict[str, Any]:
        data = getattr(event, "_data", None)
        return data if isinstance(data, dict) else {}

    with frame(TITLE) as demo:
        gr.HTML(
            f"<h1>A map of a generator's latent space</h1><p><span>{WORDS} </span>"
            "<a href='latent-map/guide/README.md' target='_blank'>Guide</a></p>",
            elem_classes="lv-head",
        )
        with gr.Row(visible=bool(offered), elem_id="lv-firsts"):
            buttons = {
                name: gr.Button(name.capitalize(), size="sm", scale=0, min_width=70, elem_id=f"lv-first-{name}")
                for name in offered
            }
        touched = map_element({"id": start.id, "pin": None}, map_calls(maps, queues, steering))
        map_id, selection = gr.State(start.id), gr.State({})
        measured_id, measured_words = gr.State(""), gr.State("")
        touched.select(selected, None, selection, queue=False, show_progress="hidden", api_visibility="private")

        with gr.Tabs():
            with gr.Tab("Trust"):
                report = gr.Markdown(f"**{plain(start.title)}**\n\n{start.latent_map.v.report}", elem_id="lv-report")
                certificate = gr.Markdown("*Measured when asked for.*", elem_id="lv-certificate")
                with gr.Row():
                    measure = gr.Button("Measure", size="sm", elem_id="lv-measure")
                    stop = gr.Button("Cancel", size="sm", elem_id="lv-measure-cancel")
                    stop.click(measuring.stop, queue=False, api_visibility="private")
                shown = [touched, map_id, report, certificate]
                touched.submit(open_, None, shown, show_progress="hidden", api_visibility="private")
                for name, button in buttons.items():
                    button.click(partial(offer, offered[name]), None, shown, api_visibility="private")
            with gr.Tab("Own picture"):
                add_picture_tab(maps, queues, touched, map_id)
            with gr.Tab("Fit a map"):
                add_fit_tab(maps, decoders, queues, workers, shown)
            with gr.Tab("Directions"):
                found_id = add_directions_tab(steering, queues, workers, touched, map_id)
            with gr.Tab("Keep"):
                add_keep_tab(maps, steering, queues, of_hub, shown, map_id, selection, found_id)
        for trigger in (measure.click, map_id.change):  # of a new map it comes by itself, later
            measured = trigger(
                measure_,
                map_id,
                [measured_id, measured_words],
                show_progress_on=certificate,
                api_visibility="private",
            )
            measured.success(
                still_shown,
                [map_id, measured_id, measured_words],
                certificate,
                queue=False,
                show_progress="hidden",
                api_visibility="private",
            )
        add_endpoints(maps, decoders, steering, queues, workers)
    demo.queue(max_size=MOST_EVENTS, default_concurrency_limit=None)
    demo.workers = workers
    add_routes(demo, steering, queues, start, WORDS)
    return demo


def add_routes(demo: gr.Blocks, steering: Steering, queues: Queues, start: FittedMap, words: str) -> None:
    """Serve more than the page itself: the pointer's pictures, what a link to it shows, the guide."""
    demo.routes = [live_route(steering, queues), picture_route(start, queues), *guide_routes()]
    demo.preview = Middleware(LinkPreview, title=TITLE, text=f"{words} {start.title}. {start.text}")


def frame(title: str) -> gr.Blocks:
    """A page that is being built."""
    return gr.Blocks(title=title, fill_width=True, analytics_enabled=False, delete_cache=(HOUR, DAY))


def map_element(value: dict[str, Any], calls: list[Callable[..., Any]], name: str = "lv") -> gr.HTML:
    """A map on a page being built.

    Args:
        value: its ``id``, perhaps with what to open on it.
        calls: what it asks, see `map_calls`.
        name: of the element.
    """
    return gr.HTML(
        value=value,
        html_template=(HERE / "map.html").read_text(encoding="utf-8"),
        css_template=(HERE / "map.css").read_text(encoding="utf-8"),
        js_on_load=script(),
        server_functions=calls,
        apply_default_css=False,
        elem_id=name,
    )


def launch(demo: gr.Blocks, port: int | None = None, share: bool = False, **options: Any) -> Any:
    """Serve the page."""
    demo.workers.warm()
    return demo.launch(
        max_threads=MOST_EVENTS,
        server_port=port,
        share=share,
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        max_file_size="64mb",
        show_error=True,
        app_kwargs={"routes": demo.routes, "middleware": [demo.preview]},
        **options,
    )
