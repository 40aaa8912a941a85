"""Columns that codes are coloured by and searched in: words are classes, numbers go on a ramp."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .names import MISSING, as_word, in_order
from .tables import column_values, is_missing

__all__ = ["Column", "Columns", "as_columns"]

Columns = Any
"""A mapping name -> column; a table of pandas, polars, pyarrow or datasets; or the path of a .csv, .tsv, .parquet."""

MOST_SORTED = 10_000
"""Different words that are sorted as people expect (x2 before x10); more are sorted by their letters."""
LISTED = 6


@dataclass(frozen=True)
class Column:
    """One value a code.

    Attributes:
        name: of the column, as text.
        values: (count,) float32, NaN where a number is missing; or, of words, int64, rows of ``words``.
        words: the different words, in order; None for numbers.
    """

    name: str
    values: Tensor
    words: list[str] | None


def as_columns(columns: Columns, count: int) -> list[Column]:
    """The columns of a table, in its order.

    Numbers, whole or not, stay numbers. Words, truth values and categories (of pandas or polars, also of numbers)
    become classes: "5" is a word, 5 is none. What is missing (None, NaN) stays missing, among words as "no label".

    Args:
        columns: see `Columns`; None for none.
        count: number of codes.

    Raises:
        TypeError: no table, a name that is no text, or a column of other things than words and numbers.
        ValueError: a column of another length, an infinite number, a file that cannot be read as a table.
        FileNotFoundError: no such file.
        ImportError: a .parquet file without pyarrow.
    """
    if columns is None:
        return []
    if isinstance(columns, str | Path):
        columns = _table_in(Path(columns))
    names = next((getattr(columns, key) for key in ("column_names", "columns") if hasattr(columns, key)), None)
    if isinstance(columns, Mapping):
        names = columns.keys()
    if names is None or isinstance(columns, str):
        raise TypeError(f"columns are a mapping, name -> values, or a table, got {type(columns).__name__}.")
    return [_column(name, columns[name], count) for name in names]


def _column(name: Any, given: Any, count: int) -> Column:
    if not isinstance(name, str):
        raise TypeError(f"A column is called by a text, got {name!r}.")
    kinds = getattr(getattr(given, "dtype", None), "categories", None)  # of pandas, or an Enum of polars
    try:
        array = column_values(given)
    except (TypeError, ValueError) as error:
        raise TypeError(f"Column {name!r} is {type(given).__name__}, not one value a code: {error}.") from error
    if array.shape != (count,):
        raise ValueError(
            f"Column {name!r} has one value a code: {count} codes came with values of shape {array.shape}."
        )
    if kinds is None and array.dtype.kind in "iuf":
        return _numbers(name, array)
    if array.dtype.kind not in "iufbUSOT":
        raise TypeError(f"Column {name!r} holds {array.dtype}. Columns are words or numbers; make one of it.")
    items = array.tolist()
    there = [item for item in items if not is_missing(item)]
    strange = next(
        (x for x in there if not isinstance(x, str | bytes | bool | int | float | np.number | np.bool_)), None
    )
    if strange is not None:
        raise TypeError(f"Column {name!r} holds {type(strange).__name__}. Columns are words or numbers.")
    if kinds is None and there and not any(isinstance(x, str | bytes | bool | np.bool_) for x in there):
        return _numbers(name, np.array([np.nan if is_missing(item) else float(item) for item in items]))
    return _words(name, items, None if kinds is None else [as_word(kind) for kind in kinds])


def _numbers(name: str, array: np.ndarray[Any, Any]) -> Column:
    values = torch.from_numpy(np.ascontiguousarray(array, np.float64)).float()
    if torch.isinf(values).any():
        raise ValueError(f"Column {name!r} has numbers that are infinite, or too large for 32 bits.")
    return Column(name, values, None)


def _words(name: str, items: list[Any], order: list[str] | None) -> Column:
    words = [MISSING if is_missing(item) else as_word(item) for item in items]
    used = set(words)
    if order is None:
        order = sorted(used - {MISSING}, key=in_order if len(used) <= MOST_SORTED else None)
    different = [word for word in dict.fromkeys(order) if word in used]
    different += [MISSING] * (MISSING in used and MISSING not in different)
    number_of = {word: number for number, word in enumerate(different)}
    return Column(name, torch.tensor([number_of[word] for word in words], dtype=torch.int64), different)


def _table_in(path: Path) -> Any:
    """The table in a file; a column of a .csv whose values all are numbers is one of numbers."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    ending = path.suffix.lower()
    if ending == ".parquet":
        try:
            from pyarrow import parquet
        except ImportError as error:
            raise ImportError('A .parquet file needs: pip install "latent-vizae[parquet]".') from error
        return parquet.read_table(path)
    if ending not in (".csv", ".tsv"):
        raise ValueError(f"Columns are in a .csv, .tsv or .parquet file, got {path.name!r}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = csv.reader(file, delimiter="\t" if ending == ".tsv" else ",")
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} cannot be read as a table of text with a line of names: {error}.") from error
    rows = [row for row in rows if row]
    odd = next((number for number, row in enumerate(rows) if len(row) != len(head)), None)
    if odd is not None:
        raise ValueError(f"{path.name}: row {odd + 1} has {len(rows[odd])} values, the line of names {len(head)}.")
    if len(set(head)) != len(head):
        raise ValueError(f"{path.name} has two columns of one name: {', '.join(head[:LISTED])}.")
    return {name: _read(column) for name, column in zip(head, zip(*rows, strict=True), strict=True)} if rows else {}


def _read(column: tuple[str, ...]) -> Any:
    values = [None if value == "" else value for value in column]
    try:
        return np.array([np.nan if value is None else float(value) for value in values])
    except ValueError:
        return values
