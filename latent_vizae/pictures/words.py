"""Words in pictures: fonts that have their letters; as many at their points as fit without one covering another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from latent_vizae.inputs.surroundings import warn_caller

from .style import INK

__all__ = ["families", "short", "words_at_points"]

MOST_WORDS, MOST_TRIES, WORD_SIZE, MOST_LETTERS = 60, 2000, 8, 28
"""In one panel, the same as on the page; of how many codes; points of their letters; letters before a text is cut."""

FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "Source Han Sans", "Hiragino Sans",
    "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic", "MS Gothic", "Microsoft YaHei", "SimHei", "Malgun Gothic",
    "WenQuanYi Zen Hei", "IPAGothic", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai",
    "Noto Sans Hebrew", "Noto Sans Arabic", "Nirmala UI", "Leelawadee UI", "Segoe UI", "Segoe UI Symbol",
    "Segoe UI Emoji", "Noto Sans Symbols 2", "Noto Emoji", "Apple Symbols", "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Of letters that the usual font lacks, those of Linux, macOS and Windows; each is asked where it is installed."""
BOXES = "Last Resort High-Efficiency"
"""Comes with newer matplotlib: a box with the name of its script for every letter."""


def families(words: Iterable[str]) -> list[str]:
    """Font families with the letters of these words, the usual one first; a warning names letters that none has."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

    chosen, installed = list(FontProperties().get_family()), set(fontManager.get_font_names())
    font = get_font(findfont(FontProperties()))
    missing = {ord(letter) for word in words for letter in word if letter > "~" and letter.isprintable()}
    missing = {letter for letter in missing if not font.get_char_index(letter)}
    for name in FONTS:
        if not missing:
            break
        if name in installed:
            font = get_font(findfont(FontProperties(family=[name])))
            found = {letter for letter in missing if font.get_char_index(letter)}
            chosen += [name] if found else []
            missing -= found
    if missing:
        letters = "".join(map(chr, sorted(missing)[:9]))
        warn_caller(
            f"No font that is installed here has {letters!r}{' and others' if len(missing) > 9 else ''}: the picture "
            "shows boxes. Install one, such as Noto Sans CJK; map.html takes its reader's fonts."
        )
        chosen += [BOXES] if BOXES in installed else []
    return chosen


def short(name: str, most: int) -> str:
    """A name on one line of at most so many letters."""
    line = " ".join(name.split())
    return line if len(line) <= most else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def words_at_points(cell: Any, points: Tensor, words: list[str], fonts: list[str]) -> list[Any]:
    """Write words over their points, first come, first served, in an order that is the same each time.

    Args:
        cell: a panel that shows the points, in a figure that is else complete: its layout is made now.
        points: (k, 2) in the panel's own units.
        words: k of them.
        fonts: their families, see `families`.

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
            fontsize=WORD_SIZE, fontfamily=fonts, color=INK, parse_math=False, in_layout=False,
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
