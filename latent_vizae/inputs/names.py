"""Labels of a map's codes and their names, of whatever kind they are handed in, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .arrays import ArrayLike, as_labels

__all__ = ["Named", "Names", "named_labels"]


Names = Mapping[Any, str] | Sequence[str] | None
"""What labels are called: by label, or a list whose entry number L is the name of label L."""


class Named(NamedTuple):
    """Labels by number.

    Attributes:
        numbers: (count,) int64, for each code a number of one of the kinds; None without labels.
        kinds: the different labels, sorted: whole numbers or words.
        names: what they are called, as text.
    """

    numbers: Tensor | None
    kinds: list[Any]
    names: list[str]


def named_labels(labels: ArrayLike | None, names: Names, count: int) -> Named:
    """Labels of any kind, and their names, as `Named`.

    Args:
        labels: (count,) whole numbers or words.
        names: of labels; one that has none is called what it is.
        count: number of codes.

    Raises:
        ValueError: labels of another length.
        TypeError: neither whole numbers nor words; names that are neither a mapping nor a list.
    """
    if names is not None and (isinstance(names, str) or not isinstance(names, Mapping | Sequence)):
        raise TypeError(f"names are a mapping, label -> name, or a list of names, got {type(names).__name__}.")
    if labels is None or count == 0:
        return Named(None, [], [])
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.dtype.kind in "UO" and array.ndim == 1 and all(isinstance(word, str) for word in array.tolist()):
        if len(array) != count:
            raise ValueError(f"labels are one per code: {count} codes came with {len(array)} labels.")
        kinds, index = np.unique(array.astype(str), return_inverse=True)
    else:
        kinds, index = np.unique(as_labels(labels, count).numpy(), return_inverse=True)
    called = [_name_of(kind, names) for kind in kinds.tolist()]
    return Named(torch.from_numpy(index.reshape(-1).astype(np.int64)), kinds.tolist(), called)


def _name_of(label: Any, names: Names) -> str:
    if isinstance(names, Mapping):
        return str(names.get(label, names.get(str(label), label)))
    if names is not None and isinstance(label, int) and 0 <= label < len(names):
        return str(names[label])
    return str(label)
