"""Read configurations and weights of generators from untrusted files.

No code or class of a file is run or imported, and sizes are compared before memory is allocated. Callers look names up
in an allowlist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from latent_vizae.storage.folder import checksum

__all__ = [
    "FORMAT",
    "HALF",
    "carried_config",
    "checked_config",
    "differences",
    "read_json",
    "read_weights",
    "signature",
]

FORMAT = 1
HALF = "float16"
"""The entry "precision" in the configuration of a generator whose parameters are stored in half precision."""
MAX_CONFIG_BYTES = 2**20
MAX_WEIGHT_BYTES = 2**34
LARGEST_SIZE = 2**14
"""Largest number in a configuration, and so of channels or layers."""
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
DTYPES = FLOATS | {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}


def read_json(path: Path) -> Any:
    """The contents of a JSON file of at most 2**20 bytes.

    Raises:
        ValueError: it is larger, or not JSON.
    """
    if (size := path.stat().st_size) > MAX_CONFIG_BYTES:
        raise ValueError(f"{path} has {size} bytes; a configuration has at most {MAX_CONFIG_BYTES}.")
    return _parsed(path.read_bytes(), str(path))


def _parsed(text: str | bytes, where: str) -> Any:
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"{where} carries {len(text)} characters; a configuration has at most {MAX_CONFIG_BYTES}.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from error


def checked_config(config: Any, where: str) -> dict[str, Any]:
    """The entries "architecture" (a name, not looked up yet), "config" (its arguments, of sane sizes) and "half".

    Raises:
        ValueError: it is not the configuration of a generator, is of a newer format, or has sizes out of bounds.
    """
    if not isinstance(config, dict) or type(config.get("format")) is not int or "latent_vizae" not in config:
        raise ValueError(f"{where} is not the configuration of a generator of the zoo.")
    if not 1 <= config["format"] <= FORMAT:
        raise ValueError(
            f"{where} is of format {config['format']}, made by latent_vizae {str(config['latent_vizae'])[:20]}; this "
            f"version reads formats up to {FORMAT}. Upgrade: pip install -U latent-vizae."
        )
    name, arguments = config.get("architecture"), config.get("config")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError(f"{where} has no 'architecture' (a name) with a 'config' (its arguments).")
    for key, value in arguments.items():
        if not _is_sane(value):
            raise ValueError(
                f"{where} has {key[:60]}={str(value)[:60]}: arguments are numbers of at most {LARGEST_SIZE}, short "
                "texts, or short lists of them."
            )
    if (precision := config.get("precision", HALF)) != HALF:
        raise ValueError(
            f"{where} has the precision {str(precision)[:60]!r}; known are {HALF!r}, and float32 without an entry."
        )
    return {"architecture": name, "config": arguments, "half": "precision" in config}


def _is_sane(value: Any, depth: int = 0) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return abs(value) <= LARGEST_SIZE  # false for NaN
    if isinstance(value, str):
        return len(value) <= 64
    return isinstance(value, list) and depth < 3 and len(value) <= 64 and all(_is_sane(x, depth + 1) for x in value)


def _open(path: Path) -> Any:
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged, truncated or not a safetensors file: {error}") from error


def carried_config(path: Path) -> dict[str, Any] | None:
    """The checked configuration in the header of a file of weights; None if it has none.

    Raises:
        ValueError: the file is damaged or not safetensors, or the configuration is not one.
    """
    with _open(path) as file:
        text = (file.metadata() or {}).get("config")
    where = f"the header of {path}"
    return None if text is None else checked_config(_parsed(text, where), where)


def signature(tensors: Mapping[str, Tensor], exact: bool = True) -> dict[str, str]:
    """Shape and dtype of each tensor; if not exact, "float" for all floating-point dtypes."""
    dtypes = {
        name: "float" if tensor.is_floating_point() and not exact else str(tensor.dtype).removeprefix("torch.")
        for name, tensor in tensors.items()
    }
    return {name: f"{tuple(tensor.shape)} {dtypes[name]}" for name, tensor in tensors.items()}


def differences(stored: dict[str, str], wanted: dict[str, str]) -> str:
    """Differences of two signatures, as text; "" if there are none."""
    wrong = sorted(name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name))
    shown = [f"{name[:80]} should be {wanted.get(name, 'absent')}, is {stored.get(name, 'absent')}" for name in wrong]
    return "; ".join(shown[:4]) + (f"; and {len(wrong) - 4} more" if len(wrong) > 4 else "")


def read_weights(path: Path, wanted: Mapping[str, Tensor], exact: bool = True) -> dict[str, Tensor]:
    """Read a safetensors file that has exactly the wanted names, shapes and dtypes.

    The header is compared before anything is allocated, so reading takes no more memory than ``wanted``.

    Args:
        path: a safetensors file.
        wanted: a state dict; it may be without values (``torch.device("meta")``).
        exact: whether floats have to be of the same precision.

    Raises:
        ValueError: the file is damaged or not safetensors; its tensors have other names, shapes or dtypes, hold NaN
            or infinity, do not have the file's checksum, or are more than 16 GiB.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in wanted.values())
    if size > MAX_WEIGHT_BYTES:
        raise ValueError(f"This network takes {size} bytes of weights; at most {MAX_WEIGHT_BYTES} are read.")
    dtypes = DTYPES if exact else DTYPES | dict.fromkeys(FLOATS, "float")
    with _open(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        stored = {n: f"{tuple(s.get_shape())} {dtypes.get(s.get_dtype(), s.get_dtype())}" for n, s in slices.items()}
        if wrong := differences(stored, signature(wanted, exact)):
            raise ValueError(f"{path} does not fit the network: {wrong}.")
        tensors = {name: file.get_tensor(name).clone() for name in wanted}  # of their own, not of the mapped file
        header = file.metadata() or {}
    if exact and "config" in header and checksum(header["config"], tensors) != header.get("sha256"):
        raise ValueError(f"{path} is damaged: its checksum is not that of its contents.")
    broken = [name for name, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise ValueError(f"{path} holds NaN or infinity in {', '.join(broken[:4])}.")
    return tensors
