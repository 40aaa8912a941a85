"""The style of all pictures: colours, figures, captions, files. Needs the extra ``plot``.

Only the object interface of matplotlib is used, so the caller's pyplot, backend and global settings stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latent_vizae.maps.samples import to_uint8
from latent_vizae.storage.folder import atomic_file

__all__ = ["caption", "checked", "need_plot", "new_figure", "plain_axes", "save_figure", "small"]


INK, QUIET, FRAME, ACCENT, MARK = "#222222", "#767676", "#c4c4c4", "#2f6db3", "#e8590c"

PALETTE = (
    "#4e79a7", "#f28e2b", "#d64550", "#58b5ae", "#4f9d46", "#e0b92f", "#a565a0", "#ff8fa3", "#8f6246", "#454545",
    "#9ecae9", "#ffbf79", "#ff9d98", "#86bcb6", "#8cd17d", "#f1ce63", "#d4a6c8", "#d37295", "#d7b5a6", "#a0a0a0",
)  # fmt: skip

DPI = 160

FAINTEST = 0.22


def need_plot() -> None:
    """Raise ImportError with the name of the extra if matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError('Pictures need: pip install "latent-vizae[plot]".') from error


def _plain_numbers(axis: Any) -> None:
    """0.2, 0.5, 1, 2, ... instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def checked(path: str | Path) -> Path:
    """The path; raises ValueError for another ending, ImportError without matplotlib."""
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"Pictures are saved as .png or .svg; asked for {Path(path).name!r}.")
    need_plot()
    return Path(path)


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, title: str | None = None,
    heights: list[float] | None = None, fonts: list[str] | None = None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """A white figure of so many inches, and its panels in reading order; fonts are of the title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height + (0.4 if title else 0)), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1, wspace=0.02, hspace=0.02)
    if title:
        weight = "bold" if len(fonts or ()) < 2 else None  # which others may not have
        figure.suptitle(title, color=INK, fontsize=15, fontweight=weight, fontfamily=fonts, parse_math=False)
    return figure, list(figure.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure, whole or not at all."""
    unsaid = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with atomic_file(path) as partial:
        figure.savefig(partial, metadata=unsaid)
    return path


def plain_axes(cell: Any, equal: bool = True) -> None:
    """A quiet frame around [-1, 1], numbers only at its ends and middle."""
    cell.set(xlim=(-1.03, 1.03), xticks=(-1, 0, 1))
    if equal:
        cell.set(ylim=(-1.03, 1.03), yticks=(-1, 0, 1), aspect="equal")
    cell.tick_params(color=FRAME, labelcolor=QUIET, labelsize=9, length=3)
    for side in cell.spines.values():
        side.set(color=FRAME, linewidth=0.8)


def caption(cell: Any, text: str) -> None:
    """A line over a panel."""
    cell.set_title(text, loc="left", color=INK, fontsize=11, pad=7)


def _alpha(count: int) -> float:
    """Opacity of points: solid when few, translucent when they overlap."""
    return float(np.clip(1.6 - 0.3 * np.log10(max(count, 1)), 0.45, 0.95))


def small(images: Tensor, pixels: int) -> np.ndarray:
    """Bytes (k, h, w, 3) of images, averaged down to at most so many pixels."""
    shrink = max(images.shape[2:]) / pixels
    if shrink > 1:
        size = (max(1, round(images.shape[2] / shrink)), max(1, round(images.shape[3] / shrink)))
        images = torch.nn.functional.adaptive_avg_pool2d(images, size)
    return to_uint8(images)[..., :3]
