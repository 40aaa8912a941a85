"""Where the codes lie: the principal subspace, exact or from a random sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from latent_vizae.inputs.sources import CodeReader, drawn
from latent_vizae.model.coordinates import columns_of

from .survey import Survey

__all__ = ["Subspace", "subspace"]


RANK, MAX_RANK, SPREAD = 256, 512, 200
"""Directions to keep: 256, with which clothes and photographs come back closer, and sooner, than with 512; but 512 of
codes whose effective number of directions, ``(sum of variances)^2 / sum of their squares``, is above 200, as of white
noise, where no direction is worth less than another."""

MAX_EXACT = 2048

ENOUGH = 0.999


@dataclass
class Subspace:
    """Of codes: mean (n,) float64, orthonormal basis (n, r) float32, variances (r,), and the variance lost, 0 to 1."""

    mean: Tensor
    basis: Tensor
    variances: Tensor
    lost: float


WELL = 1e-7
"""Directions with at least so much of the greatest variance come out of a Gram matrix orthonormal to float32."""


LEAST = 1e-10
"""Share of the greatest variance below which v, in float32, does not tell a direction from nothing."""


def subspace(rows: CodeReader, survey: Survey, generator: torch.Generator) -> Subspace:
    """Where the codes lie: exact if there are at most 2,048 of them, or of their numbers; else from 2,048 of them.

    At most 256 or 512 directions are kept, of 2,048 codes drawn at random those that explain 99.9 % of their variance.
    A direction in which codes vary by no more than the rounding of the values that it is made of is none.
    """
    k, n, mean = len(rows), rows.n, survey.mean
    sample = None
    if min(k, n) <= MAX_EXACT and n > k:
        sample = rows[0:k].flatten(1)
    elif min(k, n) > MAX_EXACT:
        sample = rows.take(drawn(k, MAX_EXACT, generator))
    if sample is None:  # covariance
        second = torch.zeros(n, n, dtype=torch.float64, device=mean.device)
        for batch in rows.parts():
            centred = batch.double() - mean
            second += centred.T @ centred
    else:  # Gram matrix: cost follows k, not n
        second = torch.zeros(len(sample), len(sample), dtype=torch.float64, device=mean.device)
        for columns in columns_of(sample):
            centred = sample[:, columns].double() - mean[columns]
            second += centred @ centred.T
    count = k if sample is None else len(sample)
    values, vectors = torch.linalg.eigh(second)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    total = values.sum()
    most = RANK if total.square() <= SPREAD * values.square().sum() else MAX_RANK
    rank = min(int((values > LEAST * values[0]).sum()), most)
    if count < k:
        rank = min(rank, int((values.cumsum(0) < ENOUGH * total).sum()) + 1)
    values, basis = values[:rank], vectors[:, :rank]
    if sample is not None:
        turn = basis / values.sqrt()
        basis = torch.empty(n, rank, dtype=torch.float32, device=mean.device)

        def across(columns: slice) -> Tensor:
            part: Tensor = (sample[:, columns].double() - mean[columns]).T @ turn
            return part

        if rank and values[-1] < WELL * values[0]:  # rounding shows: make them orthonormal once more
            square = torch.zeros(rank, rank, dtype=torch.float64, device=mean.device)
            for columns in columns_of(sample):
                part = across(columns)
                square += part.T @ part
            lengths, axes = torch.linalg.eigh(square)
            turn = turn @ (axes / lengths.sqrt()) @ axes.T
        for columns in columns_of(sample):
            basis[columns] = across(columns).float()
    # The greatest variance that noise of variance 1 has in any direction of k samples (Marchenko & Pastur 1967).
    noise = survey.rounding * (count / k) * (1 + math.sqrt(n / count)) ** 2
    kept = values > torch.stack([basis[:, i].double().square() @ noise for i in range(rank)]) if rank else values > 0
    values, basis = values[kept], basis[:, kept]
    lost = 1 - (values.sum() / total).item() if total > noise.sum() else 0.0
    return Subspace(mean, basis.float(), values / count, max(0.0, lost))
