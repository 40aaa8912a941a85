"""Where an interrupted search goes on: one safetensors file, replaced whole, that knows its settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .saving import atomic_file, checksum, safetensors_bytes

__all__ = ["read_checkpoint", "write_checkpoint"]

KIND = "latent_vizae directions checkpoint"


def write_checkpoint(path: Path, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Replace the file in one step.

    Raises:
        ValueError: it cannot be written.
    """
    text = json.dumps(settings, sort_keys=True)
    header = {"format": "pt", "kind": KIND, "settings": text, "sha256": checksum(text, tensors)}
    with atomic_file(path) as partial, partial.open("wb") as file:
        file.write(safetensors_bytes(tensors, header))
        file.flush()
        os.fsync(file.fileno())


def read_checkpoint(path: Path, settings: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint made with these settings.

    Raises:
        ValueError: the file is damaged, is something else, or was made with other settings.
    """
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"The checkpoint {path} is damaged or none: {error}. Remove it to start anew.") from error
    if header.get("kind") != KIND:
        raise ValueError(f"{path} is no checkpoint of discover_directions; it is left as it is. Choose another name.")
    if checksum(header["settings"], tensors) != header["sha256"]:
        raise ValueError(f"The checkpoint {path} is damaged: its checksum is not that of its contents. Remove it.")
    found = json.loads(header["settings"])
    odd = sorted(key for key in found.keys() | settings.keys() if found.get(key) != settings.get(key))
    if odd:
        was = ", ".join(f"{key}={found.get(key)!r} (now {settings.get(key)!r})" for key in odd)
        raise ValueError(
            f"The checkpoint {path} belongs to another search: {was}. Go on with its settings, or remove it."
        )
    return tensors
