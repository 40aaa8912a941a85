"""Values in memory to checked tensors: real numbers of any kind, points and labels."""

from __future__ import annotations

import ctypes
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .checks import check_finite
from .tables import as_objects, as_plain

__all__ = ["MOST_DECODED", "Array", "ArrayLike", "as_array", "as_points", "as_tensor", "attached", "check_rows"]


ArrayLike: TypeAlias = Any
"""A torch tensor, a numpy array (a memory map too), a number, nested lists of numbers, or what `tables` takes."""

Array: TypeAlias = "Tensor | np.ndarray[Any, Any]"
"""Real numbers in memory, of any dtype."""

MOST_DECODED = 10**6
"""Most points of one call that decodes them, since all images are in memory."""


def as_array(values: ArrayLike, what: str) -> Array:
    """Real numbers as a detached tensor or a numpy array, in their own dtype; an array is not copied.

    Raises:
        TypeError: strings, objects, complex numbers: anything that is not real numbers.
        ValueError: tensors of different shapes in a list, masked values.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{what} came with masked values; fill them, or leave their rows out.")
    if isinstance(values, dict):
        raise TypeError(
            f"{what} must be an array of numbers, got dict with the keys {list(values)[:6]}. Give one of its values."
        )
    values = as_plain(values, what)
    if isinstance(values, list | tuple) and values and all(isinstance(value, Tensor) for value in values):
        shapes = sorted({str(tuple(value.shape)) for value in values})
        if len(shapes) > 1:
            raise ValueError(f"{what} came as a list of tensors of different shapes: {', '.join(shapes)}.")
        values = torch.stack([_real(value, what) for value in values])
    if isinstance(values, Tensor):
        return _real(values, what)
    try:
        array: np.ndarray[Any, Any] = as_plain(np.asarray(values), what)
    except ValueError as error:
        if isinstance(values, list | tuple):
            return as_array(as_objects(values), what)  # which names the row
        raise TypeError(f"{what} must be an array of numbers, got {type(values).__name__}: {error}.") from error
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what} must be real numbers, got {type(values).__name__} of dtype {array.dtype}.")
    return array


def _real(tensor: Tensor, what: str) -> Tensor:
    if tensor.is_complex():
        raise TypeError(f"{what} must be real numbers, got a tensor of dtype {tensor.dtype}.")
    if tensor.is_meta:
        raise TypeError(f"{what} must be a tensor with values, got one on {tensor.device}.")
    if tensor.is_nested:
        raise TypeError(f"{what} must be a plain tensor, got a nested one. Pad it: values.to_padded_tensor(0.0).")
    if tensor.is_quantized:
        raise TypeError(f"{what} must be a plain tensor, got a quantized one. Pass values.dequantize().")
    return (tensor if tensor.layout == torch.strided else tensor.to_dense()).detach()


def as_tensor(values: ArrayLike, what: str) -> Tensor:
    """A detached float32 tensor; the input is never changed. Raises as `as_array`."""
    array = as_array(values, what)
    if isinstance(array, Tensor):
        return array.float()
    if array.dtype == np.float16 or array.dtype.kind != "f" or array.dtype.itemsize > 8:
        array = array.astype(np.float32)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not native.flags.writeable and native.flags.c_contiguous and native.size:
        native = _as_writable(native)
    shareable = native.flags.writeable and min(native.strides, default=0) >= 0  # what torch can look at
    return torch.from_numpy(native if shareable else native.copy()).float()


def _as_writable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same memory, such as that of a read-only memory map, for torch to look at; nothing here writes to it."""
    buffer: Any = (ctypes.c_byte * array.nbytes).from_address(array.ctypes.data)
    buffer.owner = array  # lives as long as the view
    return np.frombuffer(buffer, array.dtype).reshape(array.shape)


def check_rows(rows: Tensor, what: str) -> None:
    """Check that rows in memory are finite.

    Raises:
        ValueError: rows with NaN or infinity; the message has their number and indices.
    """
    if torch.compiler.is_compiling():  # a graph is made, for any number of rows and values to come
        return
    check_finite(rows.split(max(1, 2**24 // max(1, rows[0].numel()))), len(rows), what)


def as_points(points: ArrayLike, dim: int, what: str = "points") -> Tensor:
    """Points of a map (P, dim), float32 and finite.

    Raises:
        TypeError: not real numbers.
        ValueError: none, NaN or infinity, or not of the map's dimension.
    """
    tensor = as_tensor(points, what)
    if tensor.dim() != 2 or tensor.shape[1] != dim or tensor.shape[0] == 0:
        raise ValueError(f"{what} of this map have the shape (P, {dim}), P at least 1, got {tuple(tensor.shape)}.")
    check_rows(tensor, what)
    return tensor


def attached(values: ArrayLike, checked: Tensor, dtype: torch.dtype) -> Tensor:
    """Checked values in a dtype; a tensor as it was given, so that gradients reach it."""
    is_it = isinstance(values, Tensor) and values.layout == checked.layout
    tensor: Tensor = (values if is_it else checked).to(dtype)
    return tensor
