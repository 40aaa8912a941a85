"""Which of the codes that come with a bundled decoder are asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from latent_vizae.inputs.checks import as_whole

__all__ = ["chosen_rows"]


def chosen_rows(labels: Tensor, label: Any, count: Any, seed: Any, known: str) -> Tensor:
    """Rows (count,) of the codes with a label, the first ones or, with a seed, drawn at random.

    Args:
        labels: (k,) whole numbers, of all codes.
        label: a whole number, or None for all.
        count: or None for as many as there are.
        seed: or None.
        known: which labels there are, as the message begins.

    Raises:
        ValueError: no such label, or a count above the number of codes.
    """
    wanted = None if label is None else as_whole(label, "label")
    rows = torch.arange(len(labels)) if wanted is None else (labels == wanted).nonzero().squeeze(1)
    if len(rows) == 0:
        raise ValueError(f"{known}, asked for label={label!r}.")
    count = len(rows) if count is None else as_whole(count, "count", 1)
    if count > len(rows):
        raise ValueError(f"There are {len(rows)} codes with label={label!r}, asked for count={count}.")
    if seed is not None:
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(as_whole(seed, "seed")))]
    return rows[:count]
