"""The tab where a map is fitted; it says there how far it is, and what went wrong."""

from __future__ import annotations

from typing import Any

import gradio as gr

from latent_vizae.demos.page.api import MENDABLE, in_words
from latent_vizae.demos.page.fitted import plain
from latent_vizae.demos.page.gathering import MOST_CODES
from latent_vizae.demos.page.hub import BUNDLED, MOST_SIDE, Decoders
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.saved import open_saved
from latent_vizae.demos.page.stops import Stops
from latent_vizae.demos.page.workers import Workers

__all__ = ["add_fit_tab"]

SOURCES = [
    ("examples that come with the decoder", "examples"),
    ("samples of its prior", "prior"),
    ("codes in a file (.npy, .safetensors)", "codes"),
    ("pictures", "pictures"),
    ("a saved map (v.zip, or its files)", "saved"),
]


def _first_source(f_d: Any) -> str:
    """What codes a decoder brings: examples (as the bundled one does), a prior, or none."""
    return "examples" if f_d is None or hasattr(f_d, "examples") else "prior" if hasattr(f_d, "sample") else "codes"


def add_fit_tab(
    maps: Maps, decoders: Decoders, queues: Queues, workers: Workers, shown: list[gr.components.Component]
) -> None:
    """Fill the tab being built.

    Args:
        maps: keep what is fitted.
        decoders: by name.
        queues: of the page.
        workers: of the page.
        shown: the map, its id, its report and its certificate.
    """
    stops = Stops()

    async def fit_(
        decoder: str,
        image_size: float,
        source: str,
        labels: list[int],
        count: float,
        files: Any,
        dim: int,
        seed: float,
        request: gr.Request,
        bar: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio's own way to hand it in)
    ) -> tuple[Any, ...]:
        name = decoder.strip()
        codes = {
            "source": source, "name": name, "labels": [int(label) for label in labels],
            "count": int(count), "seed": int(seed), "files": files,
        }  # fmt: skip
        try:
            with stops.progress(request, bar) as progress:
                bar(0, desc="load the decoder")
                options = {"image_size": int(image_size)} if name.startswith("diffusers:") and image_size else {}
                f_d = await decoders.in_turn(queues, decoder, **options)
                bar(0, desc="wait for other fits")
                if source == "saved":
                    fitted = await queues.run("fit", f_d, open_saved, f_d, name, files)
                else:
                    fitted = await queues.run("fit", f_d, workers.fit, f_d, codes, int(dim), int(seed), progress)
        except MENDABLE as error:  # said here: an error of Gradio's own would lie on the map
            return *[gr.skip()] * len(shown), f"**No map was fitted.** {in_words(error)}"
        maps.add(fitted)
        report = f"**{plain(fitted.title)}**\n\n{fitted.latent_map.v.report}"
        value = {"id": fitted.id, "pin": None}
        return value, fitted.id, report, "*Measured in a moment ...*", f"**{plain(fitted.title)}**: the map is above."

    with gr.Row():
        known = [*decoders.local, *BUNDLED]
        decoder = gr.Textbox(
            known[0], label="Decoder", info=f"{', '.join(known)}, diffusers:user/name or hub:user/name",
            elem_id="lv-decoder",
        )  # fmt: skip
        image_size = gr.Number(
            64, label="Image size", info="of a diffusers autoencoder", minimum=0, maximum=MOST_SIDE, precision=0,
            visible=False, elem_id="lv-size",
        )  # fmt: skip
        dim = gr.Radio([1, 2, 3], value=2, label="Dimensions of the map", elem_id="lv-dim")
    with gr.Row():
        kind = _first_source(decoders.local.get(known[0]))
        source = gr.Dropdown(SOURCES, value=kind, label="Codes", elem_id="lv-source")
        labels = gr.Dropdown(
            list(range(10)), value=[5] if known[0] == "mnist" else [], multiselect=True, allow_custom_value=False,
            label="Labels", info="none for all", visible=kind == "examples", elem_id="lv-labels",
        )  # fmt: skip
        count = gr.Number(200, label="How many", minimum=1, maximum=MOST_CODES, precision=0, elem_id="lv-count")
        seed = gr.Number(0, label="Seed", minimum=0, precision=0)
    files = gr.File(
        label="Files", file_count="multiple", type="filepath", height=150, visible=kind == "codes",
        elem_id="lv-codes",
    )  # fmt: skip
    with gr.Row():
        go = gr.Button("Fit", variant="primary", elem_id="lv-fit")
        cancel = gr.Button("Cancel, keep the best so far", interactive=False, elem_id="lv-cancel")
    words = gr.Markdown(min_height=64, elem_id="lv-fitted")

    quietly: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    decoder.change(
        lambda name: gr.update(visible=name.strip().startswith("diffusers:")), decoder, image_size, **quietly
    )
    source.change(
        lambda kind: (
            gr.update(visible=kind == "examples"), gr.update(visible=kind in ("codes", "pictures", "saved")),
            *[gr.update(visible=kind != "saved")] * 3,
        ),
        source, [labels, files, count, seed, dim], **quietly,
    )  # fmt: skip
    busy = go.click(
        lambda: (gr.update(interactive=False, value="Fitting ..."), gr.update(interactive=True), ""),
        None, [go, cancel, words], **quietly,
    )  # fmt: skip
    fitted = busy.then(
        fit_,
        [decoder, image_size, source, labels, count, files, dim, seed],
        [*shown, words],
        show_progress_on=words,  # the map stays in use
        api_visibility="private",
    )
    fitted.then(
        lambda: (gr.update(interactive=True, value="Fit"), gr.update(interactive=False)),
        None, [go, cancel], **quietly,
    )  # fmt: skip
    cancel.click(stops.stop, **quietly)
