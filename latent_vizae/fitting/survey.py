"""What codes are like before anything is fitted: what their columns and their lengths say of what a map can show."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latent_vizae.inputs.sources import CodeReader
from latent_vizae.measures.metrics import rounding

__all__ = ["Survey", "survey"]


NARROW = 1e-4
"""Share of the widest column's variance below which a column does not show in v: a hundredth of its width."""
CROWD, FAR, FEWEST = 0.9, 10.0, 10
"""An outlier is more than ten times as far from the middle as nine tenths of the codes are, which no code of a normal,
Laplace or uniform distribution is; of fewer than ten codes none is called so."""
SAMPLE, SAMPLE_VALUES = 2048, 2**24
"""Codes that the middle is found from, and the most numbers in them; at least ten."""
ONE_NORM = 1e-3
"""Relative deviation of the norms of unit vectors; they may come from half precision."""


@dataclass
class Survey:
    """What there is to know of codes before a fit.

    Attributes:
        mean: of each column, (n,) float64, as the others.
        variance: of each column.
        rounding: of each column, as a sum over codes (`latent_vizae.measures.metrics.rounding`).
        count: number of codes.
        outliers: numbers of the codes that are outliers, in order.
        farthest: distance of the farthest code from the middle, where nine tenths of the codes are nearer than 1.
        norm: the norm that all codes have, or None.
    """

    mean: Tensor
    variance: Tensor
    rounding: Tensor
    count: int
    outliers: Tensor
    farthest: float
    norm: float | None

    @property
    def narrow(self) -> int:
        """How many columns vary, but by less than a hundredth of what the widest one does."""
        varied = self.variance * self.count > self.rounding
        return int((varied & (self.variance < NARROW * self.variance.max())).sum())


def survey(codes: CodeReader) -> Survey:
    """Look at all codes, in one pass. Sums are of differences from the middle, so that an offset costs no digits."""
    middle = _middle(codes)
    total = torch.zeros(codes.n, dtype=torch.float64, device=middle.device)
    squares, rounded, distances, norms = torch.zeros_like(total), torch.zeros_like(total), [], []
    for part in codes.parts():
        rounded += rounding(part)
        norms.append(torch.linalg.vector_norm(part, dim=1, dtype=torch.float64))
        moved = part.double() - middle
        distances.append(torch.linalg.vector_norm(moved, dim=1))
        total += moved.sum(0)
        squares += torch.linalg.vector_norm(moved, dim=0).square_()
    moved_mean = total / len(codes)
    variance = (squares / len(codes) - moved_mean.square()).clamp_(min=0)
    distance, norm = torch.cat(distances), torch.cat(norms)
    near = distance.kthvalue(1 + int(CROWD * (len(codes) - 1))).values
    crowd = norm[distance <= near]
    known = len(codes) >= FEWEST and near.square() * len(crowd) > rounding(crowd)
    outliers = (distance > FAR * near).nonzero().squeeze(1) if known else torch.zeros(0, dtype=torch.int64)
    alike = len(codes) > 1 and norm.max() > 0 and norm.std() <= ONE_NORM * norm.mean()
    return Survey(
        middle + moved_mean, variance, rounded, len(codes), outliers.cpu(),
        (distance.max() / near).item() if known else 1.0, norm.mean().item() if alike else None,
    )  # fmt: skip


def _middle(codes: CodeReader) -> Tensor:
    """Where nine tenths of the codes are nearest to, (n,) float64: the mean of those that are nearest to the mean.

    One concentration step (Rousseeuw & Van Driessen 1999); with at most a tenth of the codes far away, however far,
    these are the farthest from the mean too.
    """
    k = len(codes)
    count = min(k, SAMPLE, max(FEWEST, SAMPLE_VALUES // codes.n))
    sample = codes.take(torch.linspace(0, k - 1, count, dtype=torch.float64).round().long()).double()
    distance = torch.linalg.vector_norm(sample - sample.mean(0), dim=1)
    nearest = distance.topk(1 + int(CROWD * (count - 1)), largest=False).indices
    return sample[nearest].mean(0)
