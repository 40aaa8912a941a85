"""All codes to their points, a part at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from tqdm import tqdm

from latent_vizae.inputs.sources import Rows
from latent_vizae.model.vizae import VizAE

from .affine import stretch
from .many import Run

__all__ = ["_placed"]


PLACED_AT_A_TIME = 4096
"""An interrupt leaves the points of those before."""


def _placed(v: VizAE, rows: Rows, shown: Tensor, run: Run) -> Tensor:
    """Points of all codes, or of those shown (sorted); the map is stretched so that all lie in [-1, 1]^d.

    It is stretched to what v_e's network guesses of all codes, which is cheap; from there on points stay on the map.
    Interrupted, it gives the points so far.
    """
    found: list[Tensor] = []
    low, high = torch.tensor(math.inf), torch.tensor(-math.inf)
    seen, done, total = 0, 0, len(rows)
    bar = tqdm(total=2 * total, desc="place", unit="code", disable=run.progress is not True, leave=False)

    def told(count: int) -> None:
        bar.update(count)
        if callable(run.progress) and count < total and seen + done < 2 * total:
            run.progress(seen + done, 2 * total, "place")

    try:
        with bar:
            try:
                for part in rows.parts():
                    points = v._guess(part)
                    low = torch.minimum(low.to(points), points.amin(0))
                    high = torch.maximum(high.to(points), points.amax(0))
                    seen += len(part)
                    told(len(part))
            except KeyboardInterrupt:
                run.interrupted = True
                if seen == 0:
                    raise
            if len(v.encoder) > 1 or low.abs().max() > 1 or high.abs().max() > 1:  # an affine map's frame saw to it
                stretch(v, low.double(), high.double())
            for part in rows.parts():
                first, done = done, done + len(part)
                if len(shown):
                    start, end = torch.searchsorted(shown, torch.tensor([first, done])).tolist()
                    part = part[(shown[start:end] - first).to(part.device)]
                for some in part.split(PLACED_AT_A_TIME) if len(part) else ():
                    found.append(v.encode(some.unflatten(1, v.latent_shape)).clamp(-1, 1))
                told(done - first)
                if done >= seen:
                    break
    except KeyboardInterrupt:
        run.interrupted = True
        if not found:
            raise
    return torch.cat(found)
