"""The page on a map that somebody has in hand: `LatentMap.show`, and ``latent-vizae demo --map``."""

from __future__ import annotations

import html
import os
import sys
import threading
import webbrowser
from typing import Any

import torch

from latent_vizae import LatentMap
from latent_vizae.demos.page.beside import beside, maps_given
from latent_vizae.demos.page.fitted import FittedMap, lasting_id, quality
from latent_vizae.demos.page.layout import build, launch
from latent_vizae.inputs.columns import as_columns
from latent_vizae.inputs.names import shown_labels
from latent_vizae.inputs.sources import as_codes

__all__ = ["Page", "in_hand", "show_maps"]


class Page:
    """A page that is being served by this process, in threads of its own.

    Attributes:
        url: its address.
    """

    def __init__(self, demo: Any, url: str) -> None:
        self.url = url
        self._demo: Any = demo
        self._closed = threading.Event()

    def __repr__(self) -> str:
        return f"Page({self.url!r}{', closed' if self._closed.is_set() else ''})"

    def _repr_html_(self) -> str:
        if self._closed.is_set():
            return html.escape(repr(self))
        url = html.escape(self.url)
        style = "width: 100%; height: 900px; border: 0"
        return f'<a href="{url}" target="_blank">{url}</a><iframe src="{url}" style="{style}"></iframe>'

    def close(self) -> None:
        """Stop serving; its address answers no more."""
        if not self._closed.is_set():
            self._closed.set()
            self._demo.close(verbose=False)
            self._demo.workers.close()

    def wait(self) -> None:
        """Wait until it is closed, or until Ctrl-C closes it: the last line of a script, which would end otherwise."""
        try:
            while not self._closed.wait(1.0):
                pass
        except KeyboardInterrupt:
            self.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def in_hand(
    m: LatentMap, codes: Any = None, labels: Any = None, names: Any = None, title: Any = None, columns: Any = None
) -> FittedMap:
    """A map as the page keeps it. See `LatentMap.show`."""
    v = m.v
    count = len(v.points)
    if count == 0:
        raise ValueError("This v has no points, so there is no map to show.")
    if not isinstance(title, str | None):
        raise TypeError(f"title is text, got {type(title).__name__}.")
    named, described = shown_labels(v, labels, names), as_columns(columns, count)
    words = quality(v)
    given = None
    if codes is None:
        words += " Its codes are as the map keeps them."
    else:
        given = as_codes(codes, v.latent_shape).cpu()
        if len(given) != count:
            raise ValueError(f"codes are the fitted ones, {count} of them, got {len(given)}.")
    channels = m.render(v.points[:1]).shape[1]
    if channels not in (1, 3, 4):
        raise ValueError(f"Pictures have 1, 3 or 4 channels; images of this decoder have {channels}.")
    called = dict(zip(named.kinds, named.names, strict=True))
    numbers = None if named.numbers is None else torch.tensor(named.kinds)[named.numbers]
    return FittedMap(
        title or f"{count:,} codes", m, given, numbers, words, lasting_id(v), names=called, columns=described
    )


def show_maps(
    maps: Any,
    port: int | None = None,
    share: bool = False,
    browser: bool | None = None,
    title: Any = None,
    **words: Any,
) -> Page:
    """Serve the page on a map, or on several. See `latent_vizae.show`."""
    given = maps_given(maps)
    titles = list(title) if isinstance(title, list | tuple) else [title] * len(given)
    if len(titles) != len(given):
        raise ValueError(f"title is one text, or one for each map: {len(given)} maps came with {len(titles)}.")
    shown = [in_hand(m, title=words_, **words) for m, words_ in zip(given, titles, strict=True)]
    demo = build(shown[0]) if len(shown) == 1 else beside(shown)
    _, local, public = launch(demo, port=port, share=share, prevent_thread_lock=True, quiet=True, inline=False)
    page = Page(demo, public or local)
    if browser or (browser is None and _has_screen()):
        webbrowser.open(page.url)
    return page


def _has_screen() -> bool:
    """Whether a browser can be opened; a notebook shows the page in a frame."""
    if "ipykernel" in sys.modules:
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
