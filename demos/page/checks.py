"""Numbers that come from strangers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["checked_points", "is_finite", "whole_number"]

FARTHEST = 1.5
"""How far beyond the map one may go."""


def checked_points(values: Any, dim: int, least: int, most: int) -> Tensor:
    """Points (P, dim) from a stranger, within reach of the map."""
    if not isinstance(values, list) or not least <= len(values) <= most:
        count = len(values) if isinstance(values, list) else type(values).__name__
        raise ValueError(f"Between {least} and {most} points are taken, got {count}.")
    rows = [value if isinstance(value, list) else [value] for value in values]
    for row in rows:
        plain = all(is_finite(number) for number in row)
        if len(row) != dim or not plain:
            raise ValueError(f"A point of this map is {dim} finite numbers.")
    return torch.tensor(rows, dtype=torch.float64).clamp(-FARTHEST, FARTHEST).float()


def is_finite(value: Any) -> bool:
    """A number that a float holds; a bool is none, and integers may have thousands of digits."""
    return type(value) in (int, float) and -1e300 < value < 1e300


def whole_number(value: Any, what: str, least: int, most: int) -> int:
    if not is_finite(value) or value != int(value):
        raise ValueError(f"The {what} is a whole number, got {str(value)[:40]!r}.")
    if not least <= value <= most:
        raise ValueError(f"The {what} is between {least} and {most}, got {int(value)}.")
    return int(value)
