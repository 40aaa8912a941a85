"""Codes and points as people hand them in, to tensors: one place for the checks and their errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

__all__ = ["ArrayLike", "as_codes", "as_labels", "as_points"]

ArrayLike: TypeAlias = Any
"""A torch tensor, a numpy array (a memory map too), a number, or nested lists of numbers."""


def as_tensor(values: ArrayLike, what: str) -> Tensor:
    """A detached float32 tensor; never changes or shares writes with what came in.

    Raises:
        TypeError: strings, objects, complex numbers: anything that is not real numbers.
    """
    if isinstance(values, Tensor):
        tensor = values.detach()
    else:
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise TypeError(f"{what} must be an array of numbers, got {type(values).__name__}: {error}.") from error
        if array.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{what} must be real numbers, got {type(values).__name__} of dtype {array.dtype}.")
        if array.dtype == np.float16 or array.dtype.kind != "f" or array.dtype.itemsize > 8:
            array = array.astype(np.float32)
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        tensor = torch.from_numpy(native if native.flags.writeable else native.copy())
    if tensor.is_complex():
        raise TypeError(f"{what} must be real numbers, got a tensor of dtype {tensor.dtype}.")
    return tensor.float()


def _check_finite(rows: Tensor, what: str) -> None:
    bad = ~torch.isfinite(rows.flatten(1)).all(1)
    if bad.any():
        where = bad.nonzero().squeeze(1).tolist()
        shown = ", ".join(map(str, where[:8])) + (", ..." if len(where) > 8 else "")
        raise ValueError(f"{what} must be finite: {len(where)} of {len(rows)} rows hold NaN or infinity (rows {shown}).")


def as_codes(codes: ArrayLike, latent_shape: tuple[int, ...] | None = None, what: str = "codes") -> Tensor:
    """Codes (k, *latent_shape), float32, finite, k >= 1.

    Args:
        codes: a tensor, an array, a memory map, or an iterable of batches of codes.
        latent_shape: the shape that each code must have; None takes it from the codes.
        what: the argument's name, for errors.

    Raises:
        TypeError: not real numbers.
        ValueError: no codes, NaN or infinity, or the wrong shape.
    """
    if isinstance(codes, Iterable) and not isinstance(codes, Tensor | np.ndarray | list | tuple | str | bytes | dict):
        batches = [as_tensor(batch, what) for batch in codes]
        if not batches:
            raise ValueError(f"{what}: the stream of batches was empty; at least one code is needed.")
        tensor = torch.cat(batches)
    else:
        tensor = as_tensor(codes, what)
    wanted = "(k, *latent_shape)" if latent_shape is None else f"(k, {', '.join(map(str, latent_shape))})"
    if tensor.dim() < 2:
        raise ValueError(f"{what} have the shape {wanted}, got {tuple(tensor.shape)}. One code is a batch of 1: [None].")
    if len(tensor) == 0 or tensor[0].numel() == 0:
        raise ValueError(f"{what}: at least one code is needed, got an empty array of shape {tuple(tensor.shape)}.")
    if latent_shape is not None and tuple(tensor.shape[1:]) != tuple(latent_shape):
        raise ValueError(f"{what} have the shape {wanted}, got {tuple(tensor.shape)}.")
    _check_finite(tensor, what)
    return tensor


def as_points(points: ArrayLike, dim: int, what: str = "points") -> Tensor:
    """Points of a map (P, dim), float32 and finite.

    Raises:
        TypeError: not real numbers.
        ValueError: NaN or infinity, or not of the map's dimension.
    """
    tensor = as_tensor(points, what)
    if tensor.dim() != 2 or tensor.shape[1] != dim:
        raise ValueError(f"{what} of this map have the shape (P, {dim}), got {tuple(tensor.shape)}.")
    _check_finite(tensor, what)
    return tensor


def as_labels(labels: ArrayLike, count: int) -> Tensor:
    """Labels (count,) int64.

    Raises:
        TypeError: not whole numbers.
        ValueError: not one label per code.
    """
    tensor = torch.as_tensor(np.asarray(labels) if not isinstance(labels, Tensor) else labels.detach())
    if tensor.is_floating_point() or tensor.is_complex():
        raise TypeError(f"labels are whole numbers, one per code, got dtype {tensor.dtype}.")
    if tuple(tensor.shape) != (count,):
        raise ValueError(f"labels are one per code: {count} codes came with labels of shape {tuple(tensor.shape)}.")
    return tensor.long()
