"""Where a visitor looks first: a place among many codes that decodes well."""

from __future__ import annotations

import torch

from latent_vizae.demos.page.fitted import FittedMap

__all__ = ["start_of"]

CONSIDERED, NEIGHBOURS = 512, 8


@torch.no_grad()
def start_of(fitted: FittedMap) -> list[float]:
    """The point of a code; found once.

    Of the half of the codes that lie densest on the map, of the quarter of those of which the map leaves the least
    share out, the one that is farthest from the mean: it has most to show. Of more than 512 codes so many are
    considered, drawn evenly.
    """
    if fitted.start is None:
        v, count = fitted.latent_map.v, len(fitted.latent_map.v.points)
        rows = torch.linspace(0, count - 1, min(count, CONSIDERED)).long()
        points, codes = v.points[rows].float(), fitted.codes_at(rows).to(v.device).float()
        lengths = (codes - codes.mean(0)).flatten(1).norm(dim=1)
        left_out = (codes - v.decode(points, detail=0.0)).flatten(1).norm(dim=1) / lengths.clamp(min=1e-9)
        apart = torch.cdist(points, points).topk(min(NEIGHBOURS + 1, len(rows)), largest=False).values[:, -1]
        dense = apart <= apart.median()
        lengths[~dense | (left_out > left_out[dense].quantile(0.25))] = -1
        fitted.start = [round(x, 4) for x in points[lengths.argmax()].clamp(-1, 1).tolist()]
    return fitted.start
