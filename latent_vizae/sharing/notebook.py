"""What a notebook shows of a map: its page in a frame, or where the decoder is too slow for that a picture."""

from __future__ import annotations

import base64
import html
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from latent_vizae.pictures import map_picture

from .static_file import FRAME_SIZE, FRAME_TILES, static_page

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["frame_of"]


POINTS, MOST_SECONDS = 20_000, 10.0
"""Of the page in a frame."""

HEIGHT = 760


def frame_of(m: LatentMap) -> str | None:
    """HTML for a map; None where neither its page nor its picture can be made, as of images that are no pictures."""
    note = ""
    try:
        page = static_page(
            m,
            tiles=FRAME_TILES[m.v.dim],
            size=FRAME_SIZE,
            most_points=POINTS,
            progress=False,
            most_seconds=MOST_SECONDS,
        )
        title, style = html.escape(repr(m)), f"width: 100%; height: {HEIGHT}px; border: 0"
        allowed = "allow-scripts allow-downloads"
        return f'<iframe srcdoc="{html.escape(page)}" sandbox="{allowed}" title="{title}" style="{style}"></iframe>'
    except ValueError as error:  # too slow, or no images
        note = str(error)
    try:
        with tempfile.TemporaryDirectory() as folder:
            picture = map_picture(m, Path(folder) / "map.png", thumbnails=False).read_bytes()
    except (ValueError, ImportError):
        return None
    encoded = base64.b64encode(picture).decode()
    words = html.escape(f"{m!r}. {note}")
    return f'<img alt="{words}" src="data:image/png;base64,{encoded}" width="560"><div><small>{words}</small></div>'
