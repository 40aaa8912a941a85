"""Codes and labels in files: .safetensors, .npy and .npz, and folders of them, mapped only while they are read."""

from __future__ import annotations

import json
import math
import mmap
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open

from .arrays import as_array

__all__ = ["FileBlock", "forget", "labels_in", "open_files"]


NUMPY_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


@dataclass(frozen=True)
class FileBlock:
    """An array in a .safetensors or .npy file, mapped only while it is read, since open files are limited."""

    path: Path
    dtype: str
    start: int
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"
    is_bfloat16: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def is_wide(self) -> bool:
        """Whether float32 may not hold its numbers."""
        kind = np.dtype(self.dtype)
        return kind.itemsize > (4 if kind.kind == "f" else 2)

    def __getitem__(self, chosen: slice | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        mapped: np.ndarray[Any, Any] = np.memmap(self.path, self.dtype, "r", self.start, self.shape, self.order)
        rows: np.ndarray[Any, Any] = mapped[chosen]
        if self.is_bfloat16:  # which numpy does not know: the upper half of a float
            return (np.asarray(rows).astype(np.uint32) << 16).view(np.float32)
        return rows


def open_files(paths: list[Any], what: str) -> list[FileBlock | np.ndarray[Any, Any]]:
    """The codes in files, and in the .safetensors files of folders (or else their .npy files), in this order.

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
        inside = [path]
        if path.is_dir():
            inside = sorted(path.glob("[!.]*.safetensors")) or sorted(path.glob("[!.]*.npy"))
        manifest = path / "manifest.json"
        content = json.loads(manifest.read_bytes()) if path.is_dir() and manifest.is_file() else None
        if isinstance(content, dict) and not content.get("complete", True):
            raise ValueError(
                f"The shards in {path} are not complete. Run the command again: it makes the missing ones."
            )
        if not inside:
            raise ValueError(f"The folder {path} holds no .safetensors and no .npy files.")
        files += inside
    return files


def _opened(path: Path, what: str) -> FileBlock | np.ndarray[Any, Any]:
    """The codes of a file."""
    ending = path.suffix.lower()
    if ending not in (".safetensors", ".npy", ".npz"):
        raise TypeError(
            f"{what} must be real numbers, got str '{path}', which is no .safetensors, .npy or .npz file and no "
            "folder of them. A table in a file: open it first, as by pandas.read_csv or pandas.read_parquet."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if ending == ".safetensors":
        return _in_safetensors(path, what)
    try:
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return np.asarray(as_array(arrays, what))
        return _in_npy(path, what)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path}: {error if path.stat().st_size else 'the file is empty.'}") from error


def _in_npy(path: Path, what: str) -> FileBlock:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(file)
        start = file.tell()
    if dtype.kind not in "fiub":
        raise TypeError(f"{what} must be real numbers, {path} has the dtype {dtype}.")
    if path.stat().st_size < start + dtype.itemsize * math.prod(shape):
        raise ValueError("the file is shorter than its header says")
    return FileBlock(path, dtype.str, start, shape, "F" if by_columns else "C")


def labels_in(path: Path) -> Any:
    """The labels in a file of codes, or in a folder of them: an array, a list of words, or None.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: a damaged file.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["labels"] if "labels" in arrays.files else None
    manifest = path / "manifest.json"
    if path.is_dir() and manifest.is_file():
        units = json.loads(manifest.read_bytes()).get("units", [])
        if units and all(isinstance(unit.get("labels"), list) for unit in units):
            return [label for unit in units for label in unit["labels"]]
    found = [_labels_of(file) for file in _expanded([path]) if file.suffix == ".safetensors"]
    if not found or any(labels is None for labels in found):
        return None
    return np.concatenate(found)


def _labels_of(path: Path) -> Any:
    try:
        with safe_open(path, "pt") as file:
            if "labels" in file.keys():  # noqa: SIM118 (not a dict)
                return file.get_tensor("labels").numpy()
            said = (file.metadata() or {}).get("labels")
        return None if said is None else json.loads(said)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from error


def _in_safetensors(path: Path, what: str) -> FileBlock:
    try:
        with safe_open(path, "pt"):  # checks the header against the file
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    name = (
        what
        if what in header
        else "codes"
        if "codes" in header
        else next(iter(header), None)
        if len(header) == 1
        else None
    )
    if name is None:
        listed = ", ".join(header) or "none"
        raise ValueError(f"{path} has no tensor 'codes'; it holds {listed}.")
    tensor = header[name]
    if tensor["dtype"] not in NUMPY_TYPES:
        raise TypeError(f"{what} must be real numbers, {path} has {tensor['dtype']}.")
    start, shape = 8 + length + tensor["data_offsets"][0], tuple(tensor["shape"])
    return FileBlock(path, NUMPY_TYPES[tensor["dtype"]], start, shape, is_bfloat16=tensor["dtype"] == "BF16")
