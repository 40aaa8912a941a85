"""Tables and columns of pandas, polars, pyarrow and 🤗 datasets, sparse matrices and arrays of rows, as plain arrays.

None of these libraries is imported: who hands in what is theirs has done so.
"""

from __future__ import annotations

import decimal
import numbers
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor

__all__ = ["SparseBlock", "as_objects", "as_plain", "column_values", "is_missing", "is_sparse"]


LIBRARIES = ("pandas", "polars", "pyarrow", "datasets")


class SparseBlock:
    """A sparse matrix (k, n) of scipy as rows to read: those read are dense."""

    def __init__(self, matrix: Any) -> None:
        self.rows = matrix.tocsr()
        self.shape, self.dtype = self.rows.shape, self.rows.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, chosen: slice | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows: np.ndarray[Any, Any] = self.rows[chosen].toarray()
        return rows


def is_sparse(values: Any) -> bool:
    """Whether this is a sparse matrix or a 2-D sparse array of scipy, of real numbers."""
    return hasattr(values, "tocsr") and len(values.shape) == 2 and values.dtype.kind in "fiub"


def _library(values: Any) -> str | None:
    names = [kind.__module__.split(".")[0] for kind in type(values).__mro__]
    return next((name for name in names if name in LIBRARIES), None)


def as_plain(values: Any, what: str) -> Any:
    """An array of numbers of a table, a column, a sparse matrix or an array of objects; others come back unchanged.

    A table of k rows and n columns of numbers is (k, n). A column of arrays of one shape is (k, *shape). What is
    missing becomes NaN.

    Raises:
        TypeError: columns that are no numbers, by name.
        ValueError: rows of different shapes.
    """
    if hasattr(values, "tocsr") and hasattr(values, "toarray"):
        return values.toarray()
    if isinstance(values, np.lib.npyio.NpzFile):
        names = values.files
        if "codes" not in names and len(names) != 1:
            raise ValueError(f"{what}: this .npz has no array 'codes'; it holds {', '.join(names) or 'none'}.")
        return as_plain(values["codes" if "codes" in names else names[0]], what)
    if isinstance(values, np.ndarray) and values.dtype.names:
        return _joined([(name, values[name]) for name in values.dtype.names], what)
    if isinstance(values, np.ndarray) and values.dtype.kind == "O" and values.ndim:
        return _numbers(values, what)
    library = _library(values)
    if library is None:
        return values
    if library == "datasets" and hasattr(values, "with_format") and hasattr(values, "__len__"):
        values, library = values.with_format("arrow")[:], "pyarrow"
    if library == "pandas" and hasattr(values, "iloc") and hasattr(values, "columns"):
        return _joined([(name, values.iloc[:, at]) for at, name in enumerate(values.columns)], what)
    if library == "polars" and hasattr(values, "get_columns"):
        return _joined([(column.name, column) for column in values.get_columns()], what)
    if library == "pyarrow" and hasattr(values, "column_names"):
        return _joined(list(zip(values.column_names, values.columns, strict=True)), what)
    if hasattr(values, "to_numpy") or type(values).__name__ == "Column":
        name = getattr(values, "name", None)
        return _numbers(column_values(values), f"{what} (column {name!r})" if isinstance(name, str) and name else what)
    return values


def column_values(column: Any) -> np.ndarray[Any, Any]:
    """The values of one column: numbers, words, or objects such as arrays; what is missing is None or NaN."""
    if type(column).__name__ == "Column" and _library(column) == "datasets":
        column = column[:]
    if hasattr(column, "combine_chunks"):  # of pyarrow
        column = column.combine_chunks()
    if hasattr(column, "to_numpy_ndarray"):
        array = column.to_numpy_ndarray()
    elif isinstance(column, Tensor):
        array = (column.float() if str(column.dtype) == "torch.bfloat16" else column).detach().cpu().numpy()
    elif _library(column) == "pyarrow":
        array = column.to_numpy(zero_copy_only=False)
    elif hasattr(column, "to_numpy"):
        array = column.to_numpy()
    else:
        array = as_objects(column) if isinstance(column, list | tuple) else np.asarray(column)
    return np.asarray(array)


def as_objects(items: list[Any] | tuple[Any, ...]) -> np.ndarray[Any, Any]:
    """A list as an array of its items, whatever these are."""
    array = np.empty(len(items), dtype=object)
    for number, item in enumerate(items):
        array[number] = item
    return array


def is_missing(value: Any) -> bool:
    """None, NaN, and what pandas has for them."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _joined(columns: list[tuple[Any, Any]], what: str) -> np.ndarray[Any, Any]:
    """The columns of a table side by side."""
    arrays, wrong = [], []
    for name, column in columns:
        try:
            arrays.append(_numbers(column_values(column), f"column {name!r}"))
        except TypeError:
            wrong.append(f"{name!r} ({getattr(column, 'dtype', getattr(column, 'type', 'text'))})")
    if wrong:
        listed = ", ".join(wrong[:6]) + (", ..." if len(wrong) > 6 else "")
        kind = "these columns are" if len(wrong) > 1 else "this column is"
        raise TypeError(f"{what} must be real numbers; {kind} not: {listed}. Leave out what is no part of the codes.")
    if len(arrays) == 1 and arrays[0].ndim > 1:
        return arrays[0]
    deep = [f"{name!r}, {array.shape[1:]}" for (name, _), array in zip(columns, arrays, strict=True) if array.ndim > 1]
    if deep:
        raise ValueError(
            f"{what}: a table of numbers or one column of arrays, got {len(columns)} columns, some of arrays: "
            f"{'; '.join(deep[:4])}. Give one column alone."
        )
    return np.stack(arrays, 1) if arrays else np.empty((0, 0))


def _numbers(array: np.ndarray[Any, Any], what: str) -> np.ndarray[Any, Any]:
    """Numbers of an array that may be of objects: numbers, or arrays of one shape."""
    if array.dtype.kind in "fiub":
        return array
    items = array.reshape(-1).tolist() if array.dtype.kind == "O" else []
    there = [item for item in items if not is_missing(item)]
    if array.dtype.kind == "O" and all(_is_number(item) for item in there):
        made = np.array([np.nan if is_missing(item) else _plain_number(item) for item in items])
        if made.dtype.kind in "fiub" or not items:
            return made.reshape(array.shape)
    if array.ndim == 1 and there and all(_is_rows(item) for item in there):
        rows = [None if is_missing(item) else _numbers(column_values(item), what) for item in items]
        first = next(row for row in rows if row is not None)
        for number, row in enumerate(rows):
            if row is None or row.shape != first.shape:
                got = "is missing" if row is None else f"has the shape {row.shape}"
                raise ValueError(f"{what}: rows have one shape; row {number} {got}, others {first.shape}.")
        return np.stack(rows)  # type: ignore[arg-type]
    odd = next((type(item).__name__ for item in there if not _is_number(item)), "nothing")
    raise TypeError(f"{what} must be real numbers, got an array of dtype {array.dtype} with {odd}.")


def _is_number(item: Any) -> bool:
    return isinstance(item, numbers.Real | decimal.Decimal | np.bool_) or (
        isinstance(item, Tensor | np.ndarray) and item.ndim == 0
    )


def _plain_number(item: Any) -> Any:
    return float(item) if isinstance(item, decimal.Decimal) else item.item() if hasattr(item, "item") else item


def _is_rows(item: Any) -> TypeGuard[Any]:
    return isinstance(item, list | tuple | Tensor | np.ndarray) or (
        _library(item) is not None and hasattr(item, "to_numpy")
    )
