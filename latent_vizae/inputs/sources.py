"""Codes wherever they lie, read a part at a time: in memory, in a memory map, in files, in a stream."""

from __future__ import annotations

import itertools
import json
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .arrays import ArrayLike, as_codes, as_tensor, batches_of_stream
from .checks import check_finite, check_latent_shape, check_precision

__all__ = ["AT_A_TIME", "Rows", "as_rows", "drawn"]


AT_A_TIME, IN_MEMORY = 2**23, 2**26
"""So many values are read at a time; a stream of more than these waits in a temporary file."""

NUMPY_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip

WIDE = ("F64", "I64", "I32", "U64", "U32")

Block: TypeAlias = "Tensor | np.ndarray[Any, Any] | Shard"


@dataclass(frozen=True)
class Shard:
    """A tensor in a .safetensors file, mapped only while it is read: a process may have a thousand files open."""

    path: Path
    dtype: str
    start: int
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """As an array has it."""
        return len(self.shape)

    def __getitem__(self, chosen: slice | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows: np.ndarray[Any, Any] = np.memmap(self.path, NUMPY_TYPES[self.dtype], "r", self.start, self.shape)[chosen]
        if self.dtype == "BF16":  # which numpy does not know: the upper half of a float
            return (np.asarray(rows).astype(np.uint32) << 16).view(np.float32)
        return rows


class Rows:
    """k codes: ``len(rows)``, ``rows[start:end]`` as a float32 tensor (end - start, *latent_shape), `take`.

    What lies in a file is in memory only while it is worked on.
    """

    def __init__(self, blocks: list[Block], device: torch.device | None = None) -> None:
        self.blocks, self.device = blocks, device
        self.ends = list(itertools.accumulate(len(block) for block in blocks))
        self.latent_shape = tuple(blocks[0].shape[1:])

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, part: slice) -> Tensor:
        start, end, step = part.indices(len(self))
        if step != 1 or end <= start:
            raise ValueError(f"Rows are read in order and at least one at a time, got {part}.")
        for block in self.blocks:
            _forget(block)
        found = [
            (block, slice(max(0, start - first), end - first))
            for block, first in zip(self.blocks, [0, *self.ends], strict=False)
            if start < first + len(block) and first < end
        ]
        if len(found) == 1:
            tensor = _read(*found[0])
        else:  # of files, one open at a time
            tensor, done = torch.empty(end - start, *self.latent_shape, dtype=torch.float32), 0
            for block, inside in found:
                rows = _read(block, inside)
                tensor[done : done + len(rows)] = rows
                done += len(rows)
        return tensor if self.device is None else tensor.to(self.device)

    @property
    def n(self) -> int:
        """Numbers in one code."""
        return int(np.prod(self.latent_shape, dtype=np.int64))

    def parts(self) -> Iterator[Tensor]:
        """All codes in order, flat, (B, n): about 8 million numbers at a time."""
        size = max(1, min(2**16, AT_A_TIME // self.n))
        for start in range(0, len(self), size):
            yield self[start : start + size].flatten(1)

    def take(self, chosen: Tensor) -> Tensor:
        """The chosen codes (K,), flat, (K, n)."""
        if len(self.blocks) == 1 and isinstance(self.blocks[0], Tensor):
            tensor = self.blocks[0].flatten(1)[chosen.to(self.blocks[0].device)].float()
            return tensor if self.device is None else tensor.to(self.device)
        order = chosen.cpu().argsort()
        wanted, ends = chosen.cpu()[order].numpy(), np.array(self.ends)
        whole = torch.empty(len(chosen), self.n, dtype=torch.float32)
        size = max(1, min(8192, AT_A_TIME // self.n))
        for first in range(0, len(wanted), size):
            some = wanted[first : first + size]
            which = np.searchsorted(ends, some, side="right")
            for number in np.unique(which):
                block, here = self.blocks[number], which == number
                inside = some[here] - (ends[number] - len(block))
                whole[order[first : first + size][here]] = _read(block, inside).flatten(1).cpu()
                _forget(block)
        return whole if self.device is None else whole.to(self.device)


def as_rows(codes: ArrayLike, what: str = "codes", device: torch.device | None = None) -> Rows:
    """Codes as `Rows`, checked.

    Args:
        codes: (k, *latent_shape) as a tensor, an array or a memory map; an iterable of batches (B, *latent_shape),
            which is read once (torch's DataLoader may give each in a list of one); or a .safetensors file, a folder of
            them, or a list of them, in this order: each with a tensor ``codes``, or one tensor only.
        what: the argument's name, for errors.
        device: where to bring what is read; None leaves it where it is.

    Raises:
        TypeError: not real numbers.
        ValueError: no codes, NaN or infinity, masked values, shapes that do not fit together, or values that float32
            cannot tell apart.
        FileNotFoundError: no such file or folder.
    """
    blocks: list[Block]
    listed = list(codes) if isinstance(codes, list | tuple) else []
    if isinstance(codes, str | Path) or (listed and all(isinstance(item, str | Path) for item in listed)):
        blocks = [_opened(path, what) for path in _shards(listed or [codes])]
        check_latent_shape([block.shape for block in blocks], what)
    elif isinstance(codes, Tensor) and codes.layout == torch.strided and not codes.is_meta and not codes.is_complex():
        blocks = [codes.detach()]
    elif isinstance(codes, np.ndarray) and codes.dtype.kind in "fiub":
        blocks = [codes]
    elif (
        isinstance(codes, Iterable)
        and not isinstance(codes, Tensor | list | tuple | str | bytes | dict)
        and not hasattr(codes, "__array__")
    ):
        block, place = _spooled(codes, what)
        blocks, device = [block], device or place
    else:
        rows = Rows([as_codes(codes, what=what)], device)
        if not any(isinstance(item, Tensor) for item in [codes, *listed]):
            check_precision(np.asarray(codes), what)  # of a table
        return rows
    if blocks[0].ndim < 2 or sum(map(len, blocks)) == 0 or 0 in blocks[0].shape[1:]:
        as_codes(blocks[0], what=what)  # says what is wrong
    rows = Rows([block for block in blocks if len(block)], device)
    for block in rows.blocks:
        if not isinstance(block, Shard) or block.dtype in WIDE:
            check_precision(block[: max(1, min(2**16, AT_A_TIME // rows.n))], what)
    check_finite(rows.parts(), len(rows), what)
    return rows


def drawn(k: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` different numbers below k in random order; memory follows count, not k."""
    if k < 4 * count or k < 2**20:
        return torch.randperm(k, generator=generator)[:count]
    found: Tensor = torch.randint(
        k, (2 * count,), generator=generator
    ).unique()  # of k > 4 count, more than 1.5 count differ
    return found[torch.randperm(len(found), generator=generator)[:count]]


def _forget(block: Block) -> None:
    """What was read of a memory map can go; its file has it."""
    if isinstance(block, np.memmap) and block.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        block._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _read(block: Block, chosen: slice | np.ndarray[Any, Any]) -> Tensor:
    """Some rows, float32."""
    if isinstance(block, Tensor) and not isinstance(chosen, slice):
        return as_tensor(block[torch.from_numpy(chosen)], "codes")
    return as_tensor(block[chosen], "codes")


def _shards(paths: list[Any]) -> list[Path]:
    """Files, with folders replaced by the .safetensors files in them, by name."""
    found: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.glob("[!.]*.safetensors")) if path.is_dir() else [path]
        manifest = path / "manifest.json"
        told = json.loads(manifest.read_bytes()) if path.is_dir() and manifest.is_file() else None
        if isinstance(told, dict) and not told.get("complete", True):
            raise ValueError(f"The work in {path} is not complete: run it again, it goes on where it stopped.")
        if not inside:
            raise ValueError(f"The folder {path} holds no .safetensors files.")
        found += inside
    return found


def _opened(path: Path, what: str) -> Block:
    """The codes of a .safetensors file."""
    if path.suffix != ".safetensors":
        raise TypeError(
            f"{what} must be real numbers, got str '{path}', which is no .safetensors file and no folder of them."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with safe_open(path, "pt"):  # checks the header against the file
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    name = "codes" if "codes" in header else next(iter(header), None) if len(header) == 1 else None
    if name is None:
        listed = ", ".join(header) or "none"
        raise ValueError(f"{path} has no tensor 'codes'; it holds {listed}.")
    tensor = header[name]
    if tensor["dtype"] not in NUMPY_TYPES:
        raise TypeError(f"{what} must be real numbers, {path} has {tensor['dtype']}.")
    start, shape = 8 + length + tensor["data_offsets"][0], tuple(tensor["shape"])
    if 0 in shape or len(shape) < 2:
        return np.empty(shape, np.float32)
    return Shard(path, tensor["dtype"], start, shape)


def _spooled(batches: Iterable[ArrayLike], what: str) -> tuple[Block, torch.device]:
    """A stream, read once: in memory while it is short, otherwise in a file that goes with its last reader.

    With it the device that its batches were on.
    """
    kept: list[Tensor] = []
    values = count = 0
    file = None
    try:
        for tensor in batches_of_stream(batches, what):
            place, latent_shape = tensor.device, tensor.shape[1:]
            kept.append(tensor)
            values, count = values + tensor.numel(), count + len(tensor)
            if values > IN_MEMORY:
                if file is None:
                    file = tempfile.NamedTemporaryFile(prefix="latent-vizae-", delete=False)  # noqa: SIM115
                for tensor in kept:
                    file.write(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
                kept = []
        if file is None:
            return torch.cat(kept), kept[0].device
        for tensor in kept:
            file.write(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
        file.flush()
        return np.memmap(file.name, np.float32, "r", 0, (count, *latent_shape)), place
    finally:
        if file is not None:
            file.close()
            Path(file.name).unlink()
