"""Streams of batches: read once, kept in memory while they are short, in a temporary file beyond."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arrays import Array, ArrayLike, as_tensor
from .checks import ENOUGH, check_latent_shape, check_precision
from .surroundings import callers_surroundings

__all__ = ["read_stream"]


IN_MEMORY = 2**26
"""Values; a stream of more waits in a temporary file."""


def read_stream(batches: Iterable[ArrayLike], what: str) -> tuple[Array, torch.device]:
    """All codes (k, *latent_shape) of a stream of batches, and the device that these were on.

    Raises:
        TypeError: not real numbers.
        ValueError: no batches, or of several shapes, or a first one that may be a code or a batch.
    """
    kept: list[Tensor] = []
    values = count = 0
    file = None
    try:
        for tensor in _batches(batches, what):
            device, latent_shape = tensor.device, tensor.shape[1:]
            kept.append(tensor)
            values, count = values + tensor.numel(), count + len(tensor)
            if values > IN_MEMORY:
                if file is None:
                    file = tempfile.TemporaryFile(prefix="latent-vizae-")  # noqa: SIM115 (gone with its mapping)
                for tensor in kept:
                    file.write(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
                kept = []
        if not count:
            raise ValueError(f"{what}: the stream of batches was empty; at least one code is needed.")
        if file is None:
            return torch.cat(kept), device
        for tensor in kept:
            file.write(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
        file.flush()
        return np.memmap(file, np.float32, "r", 0, (count, *latent_shape)), device
    finally:
        if file is not None:
            file.close()


def _batches(batches: Iterable[ArrayLike], what: str) -> Iterator[Tensor]:
    """The batches of a stream, (B, *latent_shape) each, of one latent shape."""
    latent_shape: tuple[int, ...] | None = () if isinstance(batches, torch.utils.data.DataLoader) else None
    shapes: list[Any] = []
    for batch in _drawn(batches):
        tensor = _batch(batch, what, latent_shape)
        latent_shape = tensor.shape[1:]
        if not shapes or latent_shape != shapes[-1][1:]:
            shapes.append(tensor.shape)
            check_latent_shape(shapes, what)
        yield tensor


def _drawn(batches: Iterable[ArrayLike]) -> Iterator[ArrayLike]:
    """The batches, each made in the caller's surroundings."""
    end = object()
    iterator = iter(batches)
    while True:
        with callers_surroundings():
            batch = next(iterator, end)
        if batch is end:
            return
        yield batch


def _batch(batch: ArrayLike, what: str, latent_shape: tuple[int, ...] | None) -> Tensor:
    """A batch of a stream as a tensor of its own: who yields it may fill the same memory again.

    A list or tuple of one tensor (B, *latent_shape) is that tensor, as torch's DataLoader gives it; a list of codes
    (*latent_shape) is stacked.

    Args:
        batch: an item of the stream.
        what: the argument's name, for errors.
        latent_shape: of the codes before; None if it is not known yet.

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
    kinds = {type(part) for part in batch} if isinstance(batch, list | tuple) else set()
    if len(kinds) > 1 and kinds & {Tensor, np.ndarray}:
        listed = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"{what}: an item of the stream holds several things ({listed}); which are the codes? Of pairs with "
            "labels: (item[0] for item in stream)."
        )
    tensor = as_tensor(batch, what)
    wide = isinstance(batch, Tensor | np.ndarray) and batch.dtype not in (torch.float32, np.float32)
    if wide and tensor.dim() and len(tensor) >= ENOUGH:
        check_precision(batch, what)
    return tensor.clone()
