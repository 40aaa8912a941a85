"""A map as a file: a picture, or a page that needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_vizae.inputs.names import named_labels
from latent_vizae.pictures import map_picture
from latent_vizae.storage.folder import atomic_file

from .static_file import static_page

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["save_map"]


ENDINGS = (".html", ".png", ".svg")


def save_map(m: LatentMap, path: str | Path, words: dict[str, Any], page: dict[str, Any]) -> Path:
    """Write a map in the format of the path's ending, see `LatentMap.save`.

    Args:
        m: map and decoder.
        path: of the file.
        words: labels, names and title.
        page: what only a page takes; None for its default.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"A map is saved as {', '.join(ENDINGS)}; asked for {target.name!r}.")
    given = {name: value for name, value in page.items() if value is not None}
    if ending == ".html":
        with atomic_file(target) as partial:  # before any work: whether it can be written
            partial.write_text(static_page(m, **words, **given), encoding="utf-8")
        return target
    if unused := sorted(given.keys() & {"columns", "tiles", "size", "quality", "decoder"}):
        raise ValueError(f"{' and '.join(unused)}: only .html has these; asked for {target.name!r}.")
    named_labels(words["labels"], words["names"], len(m.v.points))
    return map_picture(m, target, **words)
