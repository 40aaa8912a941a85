"""v as a folder: safetensors, config.json and a card; written whole or not at all, and checked when it is read.

``model.safetensors`` decides: its header has the configuration, and it is replaced in one atomic step. ``config.json``
repeats the configuration for people and for the Hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from latent_vizae.inputs.surroundings import warn_caller

__all__ = ["CONFIG_FILE", "MODEL_FILE", "atomic_file", "checksum", "read_folder", "safetensors_bytes", "write_folder"]


FILES = MODEL_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"

FORMAT = 1

MAX_CONFIG_BYTES = 2**20

KINDS = {"v": "a v", "directions": "a set of directions"}
"""Contents of a folder by the entry ``kind`` of its configuration, which a v does not have."""

PARTIAL = re.compile(r"\.[^/]+-[0-9a-f]{12}\.\w+")
"""Names of files being written; a killed save leaves them."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``. On a clean exit its file replaces ``path``; otherwise it is deleted.

    Raises:
        ValueError: the folder cannot be written.
    """
    partial = path.parent / f".{path.stem}-{secrets.token_hex(6)}{path.suffix}"
    try:
        partial.touch(exist_ok=False)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
    except OSError as error:
        with contextlib.suppress(OSError):  # no such folder, too long a name
            partial.unlink(missing_ok=True)
        reason = error.strerror or error
        raise ValueError(f"Cannot write {path}: {reason}. Choose a folder that can be written.") from error
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_folder(
    folder: Path,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    text: str,
    load: Callable[[Path], object],
    kind: str = "v",
) -> None:
    """Write a v (or what else ``kind`` says) into a folder, see `VizAE.save_pretrained`.

    ``load`` reads it back before anything is replaced, so that what it refuses is not saved.
    """
    what = KINDS[kind]
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{what.capitalize()} is saved as a folder; {folder} is a file.")
    holds = [] if not folder.is_dir() else [path for path in folder.iterdir() if not PARTIAL.fullmatch(path.name)]
    if holds and not (folder / MODEL_FILE).exists():
        raise ValueError(f"{folder} holds something that is not {what}. Choose a new folder, or empty this one.")
    if (folder / MODEL_FILE).exists():
        try:
            _read_config(folder, kind)
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(
                f"{folder} holds a {MODEL_FILE} that is not {what}'s; it was not changed. ({error})"
            ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error
    marked = {} if kind == "v" else {"kind": kind}
    full = {"format": FORMAT, "latent_vizae": version("latent-vizae"), **marked, **config}
    described_as = json.dumps(full, sort_keys=True)
    header = {"format": "pt", "config": described_as, "sha256": checksum(described_as, tensors)}
    with _partial_folder(folder) as partial:
        (partial / CARD_FILE).write_text(text, encoding="utf-8")
        (partial / CONFIG_FILE).write_text(json.dumps(full, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        with (partial / MODEL_FILE).open("wb") as f:
            f.write(safetensors_bytes(tensors, header))
            f.flush()
            os.fsync(f.fileno())
        try:
            load(partial)
        except (ValueError, TypeError) as error:
            reason = str(error).replace(f"{partial}{os.sep}", "")
            raise ValueError(f"{what.capitalize()} that could not be loaded again is not saved: {reason}") from error
        for name in FILES:
            (partial / name).replace(folder / name)


@contextlib.contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """A folder inside of a folder, for files that are to replace those there; it goes at the end.

    Raises:
        ValueError: they cannot.
    """
    partial = folder / f".saving-{secrets.token_hex(6)}.partial"
    try:
        partial.mkdir()
        if blocked := [name for name in FILES if (folder / name).is_dir()]:
            raise IsADirectoryError(f"{folder / blocked[0]} is a folder")
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.rmdir()
        reason = error.strerror or error
        raise ValueError(f"Cannot write {folder}: {reason}. Choose a folder that can be written.") from error
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def safetensors_bytes(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """A safetensors file; the same contents give the same bytes (safetensors' own order of the metadata is random)."""
    data = save(tensors, metadata)
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    entries["__metadata__"] = dict(sorted(entries["__metadata__"].items()))
    header = json.dumps(entries, separators=(",", ":")).encode()
    header = header.ljust(-(-len(header) // 8) * 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def checksum(config: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of a configuration and its tensors; safetensors itself has no checksum."""
    total = hashlib.sha256(config.encode())
    for name in sorted(tensors):
        total.update(f"\n{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        values: Any = tensors[name].reshape(-1).view(torch.uint8).numpy()
        total.update(values)
    return total.hexdigest()


def _checked(text: str, where: str, kind: str) -> dict[str, Any]:
    """Parse a configuration and check its format."""
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"{where} has {len(text)} characters; {KINDS[kind]}'s has at most {MAX_CONFIG_BYTES}.")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    if not isinstance(config, dict) or type(config.get("format")) is not int or "latent_vizae" not in config:
        raise ValueError(
            f"{where} is not the configuration of {KINDS[kind]} (its 'format' and 'latent_vizae' are missing)."
        )
    if config.get("kind", "v") != kind:
        raise ValueError(
            f"{where} is not the configuration of {KINDS[kind]}: its kind is {config.get('kind', 'v')!r}."
        )
    if config["format"] < 1:
        raise ValueError(f"{where} is of format {config['format']}, which does not exist.")
    if config["format"] > FORMAT:
        raise ValueError(
            f"{where} is of format {config['format']}, made by latent_vizae {config['latent_vizae']}; this version "
            f"reads formats up to {FORMAT}. Upgrade: pip install -U latent-vizae."
        )
    return config


def _open(folder: Path) -> Any:
    path = folder / MODEL_FILE
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged, truncated or not a safetensors file: {error}") from error


def _read_config(folder: Path, kind: str) -> dict[str, Any]:
    """The configuration in the header of the weights."""
    path = folder / MODEL_FILE
    with _open(folder) as file:
        metadata = file.metadata() or {}
    if "config" not in metadata:
        raise ValueError(f"{path} holds other weights than {KINDS[kind]}'s: its header has no configuration.")
    return _checked(metadata["config"], f"the header of {path}", kind)


def read_folder(
    folder: Path, kind: str = "v"
) -> tuple[dict[str, Any], Callable[[dict[str, tuple[Any, str]]], dict[str, Tensor]]]:
    """The configuration of a saved v (or of another ``kind``), and a function that reads tensors of known shapes.

    Raises:
        FileNotFoundError: no such folder, or a file of it is missing.
        ValueError: a file is damaged, foreign, too large or of a newer version.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. {KINDS[kind].capitalize()} is a folder with {MODEL_FILE} and {CONFIG_FILE}."
        )
    for name in (MODEL_FILE, CONFIG_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a saved {KINDS[kind].removeprefix('a ')}: {name} is missing.")
    described = folder / CONFIG_FILE
    if described.stat().st_size > MAX_CONFIG_BYTES:
        raise ValueError(
            f"{described} has {described.stat().st_size} bytes; {KINDS[kind]}'s has at most {MAX_CONFIG_BYTES}."
        )
    try:
        outer = _checked(described.read_text(encoding="utf-8"), str(described), kind)
    except UnicodeDecodeError as error:
        raise ValueError(f"{described} is not text: {error}") from error
    config = _read_config(folder, kind)
    if outer != config:
        warn_caller(f"{described} does not describe {MODEL_FILE} beside it; the latter is used.")
    config = {key: value for key, value in config.items() if key not in ("format", "latent_vizae", "kind")}

    def read(shapes: dict[str, tuple[Any, str]]) -> dict[str, Tensor]:
        with _open(folder) as file:
            names = {"F32": "float32", "I64": "int64"}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            stored = {
                name: (tuple(s.get_shape()), names.get(s.get_dtype(), s.get_dtype())) for name, s in slices.items()
            }
            if stored != shapes:
                wrong = sorted(name for name in stored.keys() | shapes.keys() if stored.get(name) != shapes.get(name))
                differences = [
                    f"{w} should be {shapes.get(w, 'absent')}, is {stored.get(w, 'absent')}" for w in wrong[:4]
                ]
                raise ValueError(f"{folder / MODEL_FILE} does not fit its configuration: {'; '.join(differences)}")
            tensors = {name: file.get_tensor(name).clone() for name in shapes}  # aligned: rounds as what was saved
            header = file.metadata()
        if checksum(header.get("config", ""), tensors) != header.get("sha256"):
            raise ValueError(f"{folder / MODEL_FILE} is damaged: its checksum is not that of its contents.")
        broken = [name for name, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
        if broken:
            raise ValueError(f"{folder / MODEL_FILE} holds NaN or infinity in {', '.join(broken)}.")
        return tensors

    return config, read
