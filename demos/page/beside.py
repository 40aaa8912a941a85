"""Several maps side by side. Of the same codes they have one pointer: the code under it is shown in each."""

from __future__ import annotations

import math
import secrets
from typing import Any

import gradio as gr
import torch

from latent_vizae import LatentMap, load_decoder
from latent_vizae.demos.page.calls import map_calls
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.hub import Decoders
from latent_vizae.demos.page.layout import TITLE, add_routes, frame, map_element
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import Steering
from latent_vizae.demos.page.workers import Workers

__all__ = ["MOST_BESIDE", "beside", "have_same_codes", "maps_given"]

MOST_BESIDE = 4
"""Maps on a page; of more, each is too small to point at."""
COMPARED, NEAR, CHANCE = 2048, 20, 0.5
"""Codes that are compared, with how many near them, and the share of these that are nearer where rows do not fit."""


def beside(shown: list[FittedMap]) -> gr.Blocks:
    """A page of two and more maps."""
    first, *others = shown
    maps = Maps(first)
    for fitted in others:
        if fitted.id in {known.id for known in shown if known is not fitted}:  # the same v, with another decoder
            fitted.id = secrets.token_urlsafe(12)
        maps.add(fitted)
    steering, queues = Steering(maps), Queues()
    calls = map_calls(maps, queues)
    linked = all(have_same_codes(first.latent_map, other.latent_map) for other in others)
    words = (
        "These maps are of the same codes: point at one, and the nearest code is shown on each."
        if linked
        else "These maps are of different codes; each has a pointer of its own."
    )
    group = secrets.token_urlsafe(8) if linked else None
    with frame(TITLE) as demo:
        gr.HTML(f"<h1>{len(shown)} maps of latent spaces</h1><p>{words}</p>", elem_classes="lv-head")
        with gr.Row(elem_classes="lv-beside"):
            for number, fitted in enumerate(shown):
                map_element(
                    {"id": fitted.id, "pin": None, "linked": group}, calls, "lv" if not number else f"lv-{number + 1}"
                )
    demo.workers = Workers(Decoders({"mnist": load_decoder("mnist")}))
    add_routes(demo, steering, queues, first, words)
    return demo


@torch.no_grad()
def have_same_codes(one: LatentMap, other: LatentMap) -> bool:
    """Whether row i of one map is the code of row i of the other.

    A v keeps points and no codes, so this is told by what they decode to: is the other map's code of row i nearer to
    this one's than its codes of the rows next to i? Of the same 1,000 digits, on maps of 1 to 3 dimensions, 15 to
    34 % of these are nearer; of other digits, sorted alike, 50 %.
    """
    v, w = one.v, other.v
    count = min(COMPARED, len(v.points))
    if v.latent_shape != w.latent_shape or len(v.points) != len(w.points) or count < 2:
        return False
    rows = torch.randperm(len(v.points), generator=torch.Generator().manual_seed(0))[:count]
    a, b = (x.decode(x.points[rows], detail=0.0).flatten(1).float().cpu() for x in (v, w))
    between = torch.cdist(a, a).fill_diagonal_(torch.inf)
    near = between.topk(min(NEAR, count - 1), largest=False).indices
    own = (a - b).norm(dim=1, keepdim=True)
    others = torch.stack([(a - b[column]).norm(dim=1) for column in near.T], 1)
    nearer = ((others < own).float() + 0.5 * (others == own).float()).mean().item()
    return nearer < CHANCE - max(0.08, 4 * 0.29 / math.sqrt(count))  # four standard deviations of a mean of ranks


def maps_given(maps: Any) -> list[LatentMap]:
    """The maps of a list.

    Raises:
        TypeError: no list of maps.
        ValueError: none, or more than fit on a page.
    """
    if isinstance(maps, LatentMap):
        return [maps]
    given = list(maps) if isinstance(maps, list | tuple) else None
    if given is None or not all(isinstance(m, LatentMap) for m in given):
        kinds = type(maps).__name__ if given is None else ", ".join(sorted({type(m).__name__ for m in given}))
        raise TypeError(f"show takes a LatentMap or a list of them, got {kinds}.")
    if not 1 <= len(given) <= MOST_BESIDE:
        raise ValueError(f"1 to {MOST_BESIDE} maps are shown side by side, got {len(given)}.")
    return given
