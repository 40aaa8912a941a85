"""What people hand in, to tensors: codes, points and labels, checked, with errors that say what to do."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .checks import ENOUGH, check_finite, check_latent_shape, check_precision

__all__ = ["MOST_DECODED", "ArrayLike", "as_codes", "as_labels", "as_points", "as_tensor", "batches_of_stream"]


ArrayLike: TypeAlias = Any
"""A torch tensor, a numpy array (a memory map too), a number, or nested lists of numbers."""

MOST_DECODED = 10**6
"""So many are decoded at once, their images held in memory."""


def as_tensor(values: ArrayLike, what: str) -> Tensor:
    """A detached float32 tensor; never changes or shares writes with what came in.

    Raises:
        TypeError: strings, objects, complex numbers: anything that is not real numbers.
        ValueError: tensors of different shapes in a list, masked values.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{what} came with masked values; fill them, or leave their rows out.")
    if isinstance(values, list | tuple) and values and all(isinstance(value, Tensor) for value in values):
        rows = [as_tensor(value, what) for value in values]
        if len({row.shape for row in rows}) > 1:
            shapes = ", ".join(sorted({str(tuple(row.shape)) for row in rows}))
            raise ValueError(f"{what} came as a list of tensors of different shapes: {shapes}.")
        return torch.stack(rows)
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
        if not native.flags.writeable and native.flags.c_contiguous and native.size:
            native = _as_writable(native)
        shareable = native.flags.writeable and min(native.strides, default=0) >= 0  # what torch can look at
        tensor = torch.from_numpy(native if shareable else native.copy())
    if tensor.is_complex():
        raise TypeError(f"{what} must be real numbers, got a tensor of dtype {tensor.dtype}.")
    if tensor.layout != torch.strided or tensor.is_meta:
        raise TypeError(f"{what} must be a dense tensor with values, got one of {tensor.layout} on {tensor.device}.")
    return tensor.float()


def _as_writable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same memory, such as that of a read-only memory map, for torch to look at; nothing here writes to it."""
    buffer: Any = (ctypes.c_byte * array.nbytes).from_address(array.ctypes.data)
    buffer.owner = array  # lives as long as the view
    return np.frombuffer(buffer, array.dtype).reshape(array.shape)


def _check_finite(rows: Tensor, what: str) -> None:
    check_finite(rows.split(max(1, 2**24 // max(1, rows[0].numel()))), len(rows), what)


def _batch_of_stream(batch: ArrayLike, what: str, latent_shape: tuple[int, ...] | None) -> Tensor:
    """A batch of a stream as a tensor of its own: who yields it may fill the same memory again.

    A list or tuple of one tensor (B, *latent_shape) is that tensor, as torch's DataLoader gives it; a list of codes
    (*latent_shape) is stacked.

    Args:
        batch: what the stream gave.
        what: the argument's name, for errors.
        latent_shape: of the codes before; None if there were none, and nothing else tells.

    Raises:
        TypeError: not real numbers.
        ValueError: several tensors, not alike, or a first one that may be a code or a batch.
    """
    if isinstance(batch, list | tuple) and batch and all(isinstance(part, Tensor) for part in batch):
        if len({part.shape for part in batch}) > 1:
            shapes = ", ".join(str(tuple(part.shape)) for part in batch)
            raise ValueError(
                f"{what}: a batch of the stream holds tensors of the shapes {shapes}; which are the codes? "
                "Of a loader that gives codes and labels: (batch[0] for batch in loader)."
            )
        if len(batch) == 1 and batch[0].dim() > 1:
            if latent_shape is None:
                raise ValueError(
                    f"{what}: the stream begins with a list of one tensor of shape {tuple(batch[0].shape)}; is it a "
                    "code or a batch? Of batches: (batch[0] for batch in stream). Of codes: map(torch.stack, stream)."
                )
            if batch[0].shape != latent_shape:
                batch = batch[0]
    tensor = as_tensor(batch, what)
    if isinstance(batch, Tensor | np.ndarray) and len(tensor.shape) and len(tensor) >= ENOUGH:
        check_precision(batch, what)
    return tensor.clone()


def batches_of_stream(batches: Iterable[ArrayLike], what: str) -> Iterator[Tensor]:
    """The batches of a stream, (B, *latent_shape) each, of one latent shape."""
    latent_shape: tuple[int, ...] | None = () if isinstance(batches, torch.utils.data.DataLoader) else None
    shapes: list[Any] = []
    for batch in batches:
        tensor = _batch_of_stream(batch, what, latent_shape)
        latent_shape = tensor.shape[1:]
        if not shapes or latent_shape != shapes[-1][1:]:
            shapes.append(tensor.shape)
            check_latent_shape(shapes, what)
        yield tensor
    if not shapes:
        raise ValueError(f"{what}: the stream of batches was empty; at least one code is needed.")


def _joined(batches: Iterable[ArrayLike], what: str) -> Tensor:
    """One tensor from a stream of batches (B, *latent_shape)."""
    return torch.cat(list(batches_of_stream(batches, what)))


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
    is_array = isinstance(codes, Tensor | list | tuple | str | bytes | dict) or hasattr(codes, "__array__")
    tensor = _joined(codes, what) if isinstance(codes, Iterable) and not is_array else as_tensor(codes, what)
    wanted = "(k, *latent_shape)" if latent_shape is None else f"(k, {', '.join(map(str, latent_shape))})"
    if tensor.dim() < 2:
        raise ValueError(
            f"{what} have the shape {wanted}, got {tuple(tensor.shape)}. One code is a batch of 1: [None]."
        )
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
        ValueError: none, NaN or infinity, or not of the map's dimension.
    """
    tensor = as_tensor(points, what)
    if tensor.dim() != 2 or tensor.shape[1] != dim or len(tensor) == 0:
        raise ValueError(f"{what} of this map have the shape (P, {dim}), P at least 1, got {tuple(tensor.shape)}.")
    _check_finite(tensor, what)
    return tensor


def as_labels(labels: ArrayLike, count: int) -> Tensor:
    """Labels (count,) int64.

    Raises:
        TypeError: not whole numbers.
        ValueError: not one label per code.
    """
    try:
        array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise TypeError(f"labels are whole numbers, one per code, got {type(labels).__name__}: {error}.") from error
    if array.dtype.kind not in "iub":
        raise TypeError(f"labels are whole numbers, one per code, got {type(labels).__name__} of dtype {array.dtype}.")
    if array.shape != (count,):
        raise ValueError(f"labels are one per code: {count} codes came with labels of shape {array.shape}.")
    if array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"labels fit into 64 bits, got {array.max()}.")
    return torch.from_numpy(array.astype(np.int64))
