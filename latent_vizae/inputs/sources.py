"""Codes from files, streams or arrays: one function that recognises them, and one reader for all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from .arrays import Array, ArrayLike, as_array, as_tensor, check_rows
from .checks import check_finite, check_latent_shape, check_precision
from .files import FileBlock, forget, open_files
from .streams import read_stream
from .tables import SparseBlock, as_plain, is_sparse

__all__ = ["CodeReader", "as_codes", "drawn", "open_codes"]


VALUES_PER_PART = 2**23
"""So many numbers are read at a time."""

Block: TypeAlias = "Array | FileBlock | SparseBlock"


class CodeReader:
    """k codes: ``len(reader)``, ``reader[start:end]`` as a float32 tensor (end - start, *latent_shape), `take`.

    What lies in a file is in memory only while it is worked on.
    """

    def __init__(self, blocks: list[Block], device: torch.device | None = None) -> None:
        self.blocks, self.device = blocks, device
        self.ends = list(itertools.accumulate(len(block) for block in blocks))
        self.latent_shape = tuple(blocks[0].shape[1:])

    def __len__(self) -> int:
        return self.ends[-1]

    @property
    def n(self) -> int:
        """Numbers in one code."""
        return int(np.prod(self.latent_shape, dtype=np.int64))

    @property
    def part_size(self) -> int:
        """How many codes to work on at a time: about 8 million numbers."""
        return max(1, min(2**16, VALUES_PER_PART // self.n))

    def __getitem__(self, part: slice) -> Tensor:
        start, end, step = part.indices(len(self))
        if step != 1 or end <= start:
            raise ValueError(f"Codes are read in order and at least one at a time, got {part}.")
        for block in self.blocks:
            forget(block)
        inside = [
            (block, slice(max(0, start - first), end - first))
            for block, first in zip(self.blocks, [0, *self.ends], strict=False)
            if start < first + len(block) and first < end
        ]
        if len(inside) == 1:
            tensor = _read(*inside[0])
        else:  # of files, one open at a time
            tensor, done = torch.empty(end - start, *self.latent_shape, dtype=torch.float32), 0
            for block, some in inside:
                rows = _read(block, some)
                tensor[done : done + len(rows)] = rows
                done += len(rows)
        return tensor if self.device is None else tensor.to(self.device)

    def parts(self) -> Iterator[Tensor]:
        """All codes in order, flat, (B, n)."""
        for start in range(0, len(self), self.part_size):
            yield self[start : start + self.part_size].flatten(1)

    def take(self, chosen: Tensor) -> Tensor:
        """The chosen codes (K,), flat, (K, n)."""
        if len(self.blocks) == 1 and isinstance(self.blocks[0], Tensor):
            tensor = self.blocks[0].flatten(1)[chosen.to(self.blocks[0].device)].float()
            return tensor if self.device is None else tensor.to(self.device)
        order = chosen.cpu().argsort()
        wanted, ends = chosen.cpu()[order].numpy(), np.array(self.ends)
        whole = torch.empty(len(chosen), self.n, dtype=torch.float32)
        size = min(8192, self.part_size)
        for first in range(0, len(wanted), size):
            some = wanted[first : first + size]
            which = np.searchsorted(ends, some, side="right")
            for number in np.unique(which):
                block, here = self.blocks[number], which == number
                inside = some[here] - (ends[number] - len(block))
                whole[order[first : first + size][here]] = _read(block, inside).flatten(1).cpu()
                forget(block)
        return whole if self.device is None else whole.to(self.device)

    def without(self, left_out: Tensor) -> CodeReader:
        """The same codes without those of the numbers (L,), which are sorted."""
        return _Rest(self, left_out) if len(left_out) else self


class _Rest(CodeReader):
    """Some codes of a reader: all but a few."""

    def __init__(self, whole: CodeReader, left_out: Tensor) -> None:
        self.whole, self.left_out = whole, left_out.cpu()
        self.latent_shape = whole.latent_shape
        self._before = self.left_out - torch.arange(len(left_out))  # how many there are before each that is left out

    def __len__(self) -> int:
        return len(self.whole) - len(self.left_out)

    def _in_whole(self, numbers: Tensor) -> Tensor:
        return numbers + torch.searchsorted(self._before, numbers, right=True)

    def __getitem__(self, part: slice) -> Tensor:
        start, end, _ = part.indices(len(self))
        first, last = self._in_whole(torch.tensor([start, end - 1])).tolist()
        rows = self.whole[first : last + 1]
        inside = torch.ones(len(rows), dtype=torch.bool)
        inside[self.left_out[(self.left_out >= first) & (self.left_out <= last)] - first] = False
        return rows[inside.to(rows.device)]

    def take(self, chosen: Tensor) -> Tensor:
        return self.whole.take(self._in_whole(chosen.cpu()))


def _read(block: Block, chosen: slice | np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
    """Some rows, float32."""
    if isinstance(block, Tensor) and not isinstance(chosen, slice):
        return as_tensor(block[torch.from_numpy(chosen)], "codes")
    return as_tensor(block[chosen], "codes")


def _reader(codes: ArrayLike, what: str, device: torch.device | None) -> CodeReader:
    """A reader of codes of any kind, checked for their shape and not yet for their values."""
    blocks: list[Block]
    codes = codes if is_sparse(codes) else as_plain(codes, what)
    listed = list(codes) if isinstance(codes, list | tuple) else [codes]
    if is_sparse(codes):
        blocks = [SparseBlock(codes)]
    elif listed and all(isinstance(item, str | Path) for item in listed):
        blocks = [*open_files(listed, what)]
        check_latent_shape([block.shape for block in blocks], what)
    elif (
        isinstance(codes, Iterable)
        and not isinstance(codes, Tensor | list | tuple | bytes | dict)
        and not hasattr(codes, "__array__")
    ):
        array, place = read_stream(codes, what)
        blocks, device = [array], device or place
    else:
        blocks = [as_array(codes, what)]
    shape = (sum(map(len, blocks)), *blocks[0].shape[1:]) if len(blocks[0].shape) else ()
    if len(shape) < 2:
        raise ValueError(f"{what} have the shape (k, *latent_shape), got {shape}. One code is a batch of 1: [None].")
    if 0 in shape:
        raise ValueError(f"{what}: at least one code is needed, got an empty array of shape {shape}.")
    return CodeReader([block for block in blocks if len(block)], device)


def open_codes(codes: ArrayLike, what: str = "codes", device: torch.device | None = None) -> CodeReader:
    """Codes to read a part at a time, checked.

    Args:
        codes: (k, *latent_shape) as a tensor, an array or a memory map; an iterable of batches (B, *latent_shape),
            which is read once (torch's DataLoader may give each in a list of one); a table of numbers, or a column of
            arrays, of pandas, polars, pyarrow or 🤗 datasets; a sparse matrix of scipy; or a .safetensors, .npz or
            .npy file, a folder of them, or a list of them, in this order: each with a tensor ``codes``, or one tensor
            only.
        what: the argument's name, for errors.
        device: where to bring what is read; None leaves it where it is.

    Raises:
        TypeError: not real numbers.
        ValueError: no codes, NaN or infinity, masked values, different shapes, or differences below float32's
            precision.
        FileNotFoundError: no such file or folder.
    """
    reader = _reader(codes, what, device)
    for number, block in enumerate(reader.blocks):
        if number == 0 or not isinstance(block, FileBlock) or block.is_wide:
            check_precision(block[: reader.part_size], what)
    check_finite(reader.parts(), len(reader), what)
    return reader


def as_codes(codes: ArrayLike, latent_shape: tuple[int, ...] | None = None, what: str = "codes") -> Tensor:
    """Codes (k, *latent_shape), float32, finite, k >= 1, in memory.

    Args:
        codes: whatever `open_codes` takes.
        latent_shape: the shape that each code must have; None takes it from the codes.
        what: the argument's name, for errors.

    Raises:
        TypeError: not real numbers.
        ValueError: no codes, NaN or infinity, or the wrong shape.
        FileNotFoundError: no such file or folder.
    """
    reader = _reader(codes, what, None)
    if latent_shape is not None and reader.latent_shape != tuple(latent_shape):
        wanted, got = ", ".join(map(str, ("k", *latent_shape))), (len(reader), *reader.latent_shape)
        hint = ""
        if got == tuple(latent_shape):
            hint = f" One code is a batch of 1: {what}[None]."
        elif math.prod(reader.latent_shape) == math.prod(latent_shape):
            hint = f" In that shape: {what}.reshape({(-1, *latent_shape)})."
        raise ValueError(f"{what} have the shape ({wanted}), got {got}.{hint}")
    tensor = reader[:]
    check_rows(tensor, what)
    return tensor


def drawn(k: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` different numbers below k in random order; memory follows count, not k."""
    if k < 4 * count or k < 2**20:
        return torch.randperm(k, generator=generator)[:count]
    some: Tensor = torch.randint(
        k, (2 * count,), generator=generator
    ).unique()  # of k > 4 count, over 1.5 count differ
    return some[torch.randperm(len(some), generator=generator)[:count]]
