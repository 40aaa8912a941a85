"""The page for tests, ``python host_page.py --port N``: its decoder takes half a second an image, and buttons below
set the map's value as a host may."""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gradio as gr

from latent_vizae import load_decoder
from latent_vizae.demos.page import layout

SECONDS = 0.5


class Slow:
    """The bundled decoder, but slow."""

    def __init__(self, f_d, seconds=SECONDS):
        self.f_d, self.seconds = f_d, seconds

    def __getattr__(self, name):
        return getattr(self.f_d, name)

    def __call__(self, codes):
        time.sleep(self.seconds * len(codes))
        return self.f_d(codes)


def build():
    """The page with a button for each of a few values."""
    demo = layout.build()
    touched = next(block for block in demo.blocks.values() if block.elem_id == "lv")
    start = touched.value["id"]
    values = {
        "nothing": {},
        "gone": {"id": "nowhere"},
        "first": {"id": start, "pin": None},
        "pinned": {"id": start, "pin": {"id": None, "point": [0.5, -0.25]}},
        "layered": {"id": start, "pin": None, "layer": "support"},
    }
    with demo:
        for name, value in values.items():
            gr.Button(name, elem_id=f"host-{name}").click(lambda value=value: value, None, touched)
    return demo


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    layout.load_decoder = lambda name: Slow(load_decoder(name))
    layout.launch(build(), port=parser.parse_args().port)
