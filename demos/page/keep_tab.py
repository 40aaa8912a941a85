"""The tab of what one takes along: files of a map and of what is shown beside it, maps from and to the Hub."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from latent_vizae import Directions
from latent_vizae.demos.page.api import kindly
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.jobs import Progress, pack
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import Steering
from latent_vizae.demos.page.stops import Stops

__all__ = ["add_keep_tab"]

TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{1,4096}")


def add_keep_tab(
    maps: Maps,
    steering: Steering,
    queues: Queues,
    of_hub: Callable[[str, gr.OAuthToken | None], Awaitable[FittedMap]],
    shown: list[gr.components.Component],
    map_id: gr.State,
    selection: gr.State,
    found_id: gr.State,
) -> None:
    """Fill the tab being built.

    Args:
        maps: of the page.
        steering: of the page.
        queues: of the page.
        of_hub: loads and keeps a map of the Hub.
        shown: the map, its id, its report and its certificate.
        map_id: id of the visitor's map.
        selection: the map's last event.
        found_id: id of the visitor's directions.
    """
    stops = Stops()

    def packed(
        fitted: FittedMap, selection: dict[str, Any], directions: Directions | None, progress: Progress
    ) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            files = pack(fitted, selection, maps, Path(folder), directions, progress)
            return [save_file_to_cache(file, get_upload_folder()) for file in files]  # whence Gradio removes them

    @kindly
    async def pack_(
        map_id: str,
        selection: dict[str, Any],
        found_id: str,
        request: gr.Request,
        bar: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio's own way to hand it in)
    ) -> list[str]:
        directions = steering.kept(found_id).directions if found_id else None
        with stops.progress(request, bar) as progress:
            fitted = maps.get(map_id)
            asked = fitted, selection or {}, directions, progress
            files: list[str] = await queues.run("work", fitted.latent_map.decoder, packed, *asked)
        return files

    @kindly
    async def push_(map_id: str, repo: str, private: bool, token: str, login: gr.OAuthToken | None) -> tuple[str, str]:
        token = token.strip() or (login.token if login is not None else "")
        if not token:
            raise ValueError(
                "A token of yours is needed to push (or log in, on a Space); it is used once and not kept."
            )
        if not TOKEN.fullmatch(token):  # or the client would complain of the header, with the token in its words
            raise ValueError("A token is one word of letters, digits and _, as hf_...; this one is not.")
        push = partial(maps.get(map_id).latent_map.push_to_hub, repo.strip(), private=private, token=token)
        address = await queues.run("hub", repo.strip(), push)
        return f"Done: [{repo.strip()}]({address})", ""

    @kindly
    async def load_(name: str, login: gr.OAuthToken | None) -> tuple[Any, ...]:
        fitted = await of_hub(name.strip(), login)
        words = f"**{fitted.title}**\n\n{fitted.text}"
        return {"id": fitted.id, "pin": None}, fitted.id, words, "*Measured in a moment ...*"

    gr.Markdown("The map v as a folder, pictures, animation and codes of what is selected on it, and directions.")
    with gr.Row():
        prepare = gr.Button("Prepare files", elem_id="lv-prepare")
        stop = gr.Button("Cancel, keep what is ready", elem_id="lv-prepare-cancel")
        stop.click(stops.stop, queue=False, api_visibility="private")
    kept = gr.File(label="Files", file_count="multiple", interactive=False, height=150, elem_id="lv-files")
    prepare.click(pack_, [map_id, selection, found_id], kept, api_visibility="private")
    with gr.Row():
        name = gr.Textbox(label="Load a map of the Hub", placeholder="user/name", elem_id="lv-name")
        load = gr.Button("Load", elem_id="lv-load")
    load.click(load_, name, shown, api_visibility="private")
    with gr.Row():
        repo = gr.Textbox(label="Push this map to the Hub", placeholder="user/name", elem_id="lv-repo")
        token = gr.Textbox(label="Your token", type="password", info="used once, not kept", elem_id="lv-token")
        private = gr.Checkbox(True, label="private", elem_id="lv-private")
        push = gr.Button("Push", elem_id="lv-push")
        if "OAUTH_CLIENT_ID" in os.environ:  # a Space with hf_oauth in its front matter
            gr.LoginButton(elem_id="lv-login")
    pushed = gr.Markdown(elem_id="lv-pushed")
    push.click(push_, [map_id, repo, private, token], [pushed, token], api_visibility="private")
