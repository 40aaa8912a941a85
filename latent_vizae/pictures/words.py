"""Words at their points in a picture of a map: as many as fit without one covering another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .style import INK

__all__ = ["short", "words_at_points"]

MOST_WORDS, MOST_TRIES, WORD_SIZE, MOST_LETTERS = 60, 2000, 8, 28
"""In one panel, the same as on the page; of how many codes; points of their letters; letters before a text is cut."""


def short(name: str, most: int) -> str:
    """A name on one line of at most so many letters."""
    line = " ".join(name.split())
    return line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def words_at_points(cell: Any, points: Tensor, words: list[str]) -> list[Any]:
    """Write words over their points, first come, first served, in an order that is the same each time.

    Args:
        cell: a panel that shows the points, in a figure that is else complete: its layout is made now.
        points: (k, 2) in the panel's own units.
        words: k of them.

    Returns:
        The texts.
    """
    from matplotlib.patheffects import withStroke

    figure = cell.figure
    figure.draw_without_rendering()
    renderer, frame = figure.canvas.get_renderer(), cell.get_window_extent()
    taken: list[Any] = []
    written: list[Any] = []
    for row in torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:MOST_TRIES].tolist():
        x, y = points[row].tolist()
        text = cell.annotate(
            short(words[row], MOST_LETTERS), (x, y), (0, 4), textcoords="offset points", ha="center", va="bottom",
            fontsize=WORD_SIZE, color=INK, parse_math=False, in_layout=False,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
        room = text.get_window_extent(renderer)
        inside = frame.x0 <= room.x0 and room.x1 <= frame.x1 and room.y1 <= frame.y1
        if not inside or room.count_overlaps(taken):
            text.remove()
            continue
        taken.append(room)
        written.append(text)
        if len(written) == MOST_WORDS:
            break
    return written
