"""Labels of a map's codes, of whatever kind they are handed in, and their names, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .arrays import ArrayLike
from .files import labels_in
from .tables import column_values, is_missing

__all__ = [
    "Labels",
    "Named",
    "Names",
    "as_labels",
    "as_word",
    "in_order",
    "named_labels",
    "names_of_config",
    "shown_labels",
]


Names = Mapping[Any, str] | Sequence[str] | None
"""What labels are called: by label, or a list whose entry number L is the name of label L."""

MISSING = "no label"
MOST_BYTES = 2**19
"""Of all names: half of what a configuration may have."""


@dataclass(frozen=True)
class Labels:
    """Labels (count,) int64, and the names of those that are not called by their number."""

    numbers: Tensor
    names: dict[int, str]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: slice | Tensor) -> Labels:
        return Labels(self.numbers[rows], self.names)


def as_labels(labels: ArrayLike, count: int) -> Labels:
    """Labels as whole numbers, with names for words, categories, truth values and missing ones.

    Words are numbered from 0 in their order, numbers within them by value; categories in theirs. A missing label
    (None, NaN, blank text) becomes -1, or less where -1 is a label, called "no label".

    Args:
        labels: (count,) whole numbers (also as floats), words, truth values or categories: an array, a list or a
            column; or the path of a file or folder of codes with labels.
        count: number of codes.

    Raises:
        TypeError: labels of another kind.
        ValueError: not one label per code, fractions, none that is not missing, too many different words, a path with
            no labels.
        FileNotFoundError: no such path.
    """
    if isinstance(labels, Labels):
        if len(labels) != count:
            raise ValueError(f"labels are one per code: {count} codes came with {len(labels)} labels.")
        return labels
    if isinstance(labels, str | Path):
        found = labels_in(Path(labels))
        if found is None:
            raise ValueError(f"{labels} has no labels: no tensor `labels`, and none in a manifest.")
        labels = found
    order = getattr(getattr(labels, "dtype", None), "categories", None)  # of pandas, or an Enum of polars
    try:
        array = column_values(labels)
    except (TypeError, ValueError) as error:
        raise TypeError(f"labels are one per code, got {type(labels).__name__}: {error}.") from error
    if array.shape != (count,):
        raise ValueError(f"labels are one per code: {count} codes came with labels of shape {array.shape}.")
    if array.dtype.kind in "iu":  # the way of most, and fast
        if array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"labels fit into 64 bits, got {array.max()}.")
        return Labels(torch.from_numpy(array.astype(np.int64)), {})
    if array.dtype.kind not in "fbUSOT":
        raise TypeError(f"labels are whole numbers or words, one per code, got an array of dtype {array.dtype}.")
    items = array.tolist()
    missing = np.array([is_missing(item) or (isinstance(item, str | bytes) and not item.strip()) for item in items])
    there = [item for item, is_out in zip(items, missing, strict=True) if not is_out]
    if not there:
        raise ValueError("labels are all missing (None, NaN or blank). Leave them out: labels=None.")
    numbers, names = _numbered(there, None if order is None else list(order))
    whole = np.empty(count, np.int64)
    whole[~missing] = numbers
    if missing.any():
        nothing = min(-1, min(numbers) - 1)
        whole[missing], names[nothing] = nothing, MISSING
    if len(json.dumps({str(number): name for number, name in names.items()})) > MOST_BYTES:
        raise ValueError(
            f"labels are {len(names)} different words, too long to travel with a map. Give whole numbers, or classes."
        )
    return Labels(torch.from_numpy(whole), names)


def _numbered(items: list[Any], order: list[Any] | None) -> tuple[list[int], dict[int, str]]:
    """Whole numbers for labels that are there, and their names."""
    kinds = {type(item) for item in items}
    if kinds <= {bool, np.bool_}:
        return [int(item) for item in items], {0: "False", 1: "True"}
    if all(issubclass(kind, int | float | np.integer | np.floating) for kind in kinds):
        odd = next((item for item in items if not float(item).is_integer()), None)
        if odd is not None:
            raise ValueError(f"labels are classes, whole numbers or words, got {odd}. Values can be cut into classes.")
        whole = [int(item) for item in items]
        if not -(2**63) < min(whole) <= max(whole) < 2**63:
            raise ValueError(f"labels fit into 64 bits, got {max(whole, key=abs)}.")
        return whole, {}
    strange = next((item for item in items if not isinstance(item, str | bytes | int | float | np.number)), None)
    if strange is not None:
        raise TypeError(f"labels are whole numbers or words, one per code, got {type(strange).__name__}.")
    words = [as_word(item) for item in items]
    different = list(dict.fromkeys(map(as_word, order))) if order is not None else sorted(set(words), key=in_order)
    number_of = {word: number for number, word in enumerate(different)}
    used = set(words)
    names = {number: word for word, number in number_of.items() if word in used}
    return [number_of[word] for word in words], names


def as_word(item: Any) -> str:
    """A label as text that can be written anywhere."""
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
    return text.encode("utf-8", "replace").decode()


def in_order(word: str) -> list[Any]:
    """x2 before x10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", word)]


def names_of_config(entry: Any) -> dict[int, str]:
    """The names of labels from a configuration, whose keys are text.

    Raises:
        TypeError: no names.
        ValueError: of something else than whole numbers of 64 bits.
    """
    if not isinstance(entry, dict) or not all(isinstance(name, str) for name in entry.values()):
        raise TypeError(f"label_names are text by label, got {entry!r}.")
    names = {int(label): name for label, name in entry.items()}
    if not all(-(2**63) <= label < 2**63 for label in names):
        raise ValueError(f"labels fit into 64 bits, got {max(names, key=abs)}.")
    return names


class Named(NamedTuple):
    """Labels by number.

    Attributes:
        numbers: (count,) int64, for each code a number of one of the kinds; None without labels.
        kinds: the different labels, sorted, as whole numbers.
        names: what they are called, as text.
    """

    numbers: Tensor | None
    kinds: list[int]
    names: list[str]


def named_labels(labels: ArrayLike | None, names: Names, count: int) -> Named:
    """Labels of any kind, and their names, as `Named`.

    Args:
        labels: (count,) of any kind that `as_labels` takes.
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
    given = as_labels(labels, count)
    kinds, index = given.numbers.cpu().unique(return_inverse=True)
    called = [_name_of(kind, given.names.get(kind), names) for kind in kinds.tolist()]
    return Named(index, kinds.tolist(), called)


def shown_labels(v: Any, labels: ArrayLike | None, names: Names) -> Named:
    """What a picture of v shows: labels that were given, or else those of v, which have names of their own."""
    if labels is None and v.labels is not None:
        labels = Labels(v.labels.cpu(), v.label_names)
    return named_labels(labels, names, len(v.points))


def _name_of(label: int, own: str | None, names: Names) -> str:
    if isinstance(names, Mapping):
        for key in (label, str(label), own):
            if key is not None and key in names:
                return str(names[key])
    elif names is not None and own is None and 0 <= label < len(names):
        return str(names[label])
    return str(label) if own is None else own
