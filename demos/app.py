"""The Space: ``python app.py``, or ``latent-vizae demo``. A process that does nothing else."""

from __future__ import annotations

import argparse
import importlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
os.environ.setdefault("MPLBACKEND", "agg")  # or matplotlib looks for another one, for seconds

import torch

from latent_vizae import load_decoder
from latent_vizae.cli.maps import load_map
from latent_vizae.demos.page import build, launch
from latent_vizae.demos.page.firsts import FIRSTS
from latent_vizae.demos.page.show import in_hand

__all__ = ["main", "run"]


def run(
    port: int | None = None,
    share: bool = False,
    mcp: bool = False,
    map_name: str | None = None,
    decoder: str | None = None,
    columns: str | None = None,
    first: str = "emoji",
) -> None:
    """Serve the page until it is interrupted; on a map, with a decoder and columns, or on one of `FIRSTS`."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # for each visitor: two who decode at a time would wait for each other's threads
    with suppress(ImportError):
        importlib.import_module("matplotlib")  # or Gradio does at the first event, and the page stands still meanwhile
    own: Any = first
    local = None
    if map_name is not None:
        own = in_hand(load_map(map_name, decoder), title=Path(map_name).name, columns=columns)
    elif decoder is not None:  # for maps that are fitted on the page
        local = {Path(decoder).name or decoder: load_decoder(decoder)}
    launch(build(own, local), port=port, share=share, mcp_server=mcp)


def main() -> None:
    """``python app.py``."""
    parser = argparse.ArgumentParser(description="A map of a generator's latent space that one can touch.")
    parser.add_argument("--port", type=int, default=None, help="by default the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public address for 72 hours, through Gradio")
    parser.add_argument("--mcp", action="store_true", help='offer the endpoints to agents (needs the extra "mcp")')
    parser.add_argument("--map", default=None, metavar="V", help="folder of a saved v, or user/name of the Hub")
    parser.add_argument(
        "--decoder", default=None, metavar="NAME", help="of that map; or one to fit maps of on the page"
    )
    parser.add_argument("--columns", default=None, metavar="FILE", help=".csv, .tsv or .parquet, a row a code")
    parser.add_argument("--first", default="emoji", choices=FIRSTS, help="the map that is there at once")
    given = parser.parse_args()
    run(given.port, given.share, given.mcp, given.map, given.decoder, given.columns, given.first)


if __name__ == "__main__":
    main()
