"""Codes in files: tensors of .safetensors files and shards, mapped only while they are read."""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

__all__ = ["FileBlock", "forget", "open_files"]


NUMPY_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip

WIDE = ("F64", "I64", "I32", "U64", "U32")


@dataclass(frozen=True)
class FileBlock:
    """A tensor in a .safetensors file, mapped only while it is read, since the number of open files is limited."""

    path: Path
    dtype: str
    start: int
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def is_wide(self) -> bool:
        """Whether float32 may not hold its numbers."""
        return self.dtype in WIDE

    def __getitem__(self, chosen: slice | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rows: np.ndarray[Any, Any] = np.memmap(self.path, NUMPY_TYPES[self.dtype], "r", self.start, self.shape)[chosen]
        if self.dtype == "BF16":  # which numpy does not know: the upper half of a float
            return (np.asarray(rows).astype(np.uint32) << 16).view(np.float32)
        return rows


def open_files(paths: list[Any], what: str) -> list[FileBlock]:
    """The codes in files, and in the .safetensors files of folders, in this order.

    Raises:
        TypeError: a file of another kind, or numbers that are not real.
        ValueError: a damaged file, one without codes, work that is not complete.
        FileNotFoundError: no such file.
    """
    return [_opened(path, what) for path in _expanded(paths)]


def forget(array: Any) -> None:
    """Let go of what was read of a memory map; its file has it."""
    if isinstance(array, np.memmap) and array.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _expanded(paths: list[Any]) -> list[Path]:
    """Files, with folders replaced by the .safetensors files in them, by name."""
    files: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.glob("[!.]*.safetensors")) if path.is_dir() else [path]
        manifest = path / "manifest.json"
        content = json.loads(manifest.read_bytes()) if path.is_dir() and manifest.is_file() else None
        if isinstance(content, dict) and not content.get("complete", True):
            raise ValueError(
                f"The shards in {path} are not complete. Run the command again: it makes the missing ones."
            )
        if not inside:
            raise ValueError(f"The folder {path} holds no .safetensors files.")
        files += inside
    return files


def _opened(path: Path, what: str) -> FileBlock:
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
    return FileBlock(path, tensor["dtype"], 8 + length + tensor["data_offsets"][0], tuple(tensor["shape"]))
