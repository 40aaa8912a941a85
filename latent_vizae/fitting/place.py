"""All codes to their points, a part at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from latent_vizae.inputs.sources import CodeReader
from latent_vizae.model.vizae import VizAE
from latent_vizae.training.progress import Progress

from .affine import rescale

__all__ = ["place_all"]

AT_ONCE = 2**14
"""Codes between two points at which an interrupt keeps what there is."""


def place_all(
    v: VizAE,
    reader: CodeReader,
    fitted: CodeReader,
    chosen: Tensor,
    progress: bool | Callable[[int, int, str], object],
) -> tuple[Tensor, bool]:
    """Scale the map so that all fitted codes lie in [-1, 1]^d, then find the points of all codes.

    The map is scaled to what v_e's network guesses of fitted codes, which is cheap; points stay on the map from there
    on.

    Args:
        v: fitted; its scale changes.
        reader: all codes.
        fitted: those that v was fitted to, all or nearly.
        chosen: numbers of the codes whose points are wanted, sorted; empty for all.
        progress: see `fit`.

    Returns:
        Points (K, d), and whether Ctrl-C cut the work short: then there are the first ones only, at least one.

    Raises:
        KeyboardInterrupt: there is none yet.
    """
    found: list[Tensor] = []
    low, high = torch.tensor(math.inf), torch.tensor(-math.inf)
    seen, done, total, interrupted = 0, 0, len(fitted), False
    with Progress(progress, "place", unit="code") as shown:
        try:
            for part in fitted.parts():
                points = v.guess(part)
                low, high = (
                    torch.minimum(low.to(points), points.amin(0)),
                    torch.maximum(high.to(points), points.amax(0)),
                )
                seen += len(part)
                shown(seen, 2 * total)
        except KeyboardInterrupt:
            interrupted = True
            if seen == 0:
                raise
        if v.hidden or low.abs().max() > 1 or high.abs().max() > 1:  # the map of one code reaches beyond it
            rescale(v, low.double(), high.double())
        try:
            for part in reader.parts():
                first, done = done, done + len(part)
                if len(chosen):
                    start, end = torch.searchsorted(chosen, torch.tensor([first, done])).tolist()
                    part = part[(chosen[start:end] - first).to(part.device)]
                for some in part.split(AT_ONCE) if len(part) else ():
                    found.append(v.encode(some.unflatten(1, v.latent_shape)).clamp(-1, 1))
                if interrupted and done >= seen:
                    break
                shown(min(seen + done, 2 * total), 2 * total)
        except KeyboardInterrupt:
            interrupted = True
            if not found:
                raise
    return torch.cat(found), interrupted
