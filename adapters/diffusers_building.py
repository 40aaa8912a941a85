"""Autoencoders of diffusers built from untrusted configurations and weights: no code is run, nothing is left out.

A class comes from the allowlist, a configuration has numbers of sane sizes, weights are safetensors, and the shapes in
their headers are compared before anything is allocated.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

__all__ = ["build", "diffusers_module", "plausible", "read_object", "shapes_in", "tensors_in"]

USUAL_BLOCKS, USUAL_LAYERS, MOST_LAYERS, MOST_DEPTH = 8, 8, 512, 8
"""By default those of diffusers have up to 6 blocks, or 36 layers in one. Of configurations: how deep they nest."""


def diffusers_module() -> Any:
    """🤗 diffusers.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module("diffusers")
    except ModuleNotFoundError as error:
        raise ImportError('diffusers is missing: pip install "latent-vizae[diffusers]".') from error


def read_object(path: Path, largest: int) -> dict[str, Any]:
    """A JSON object from an untrusted file."""
    try:
        if path.stat().st_size > largest:
            raise ValueError(f"it has more than {largest} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not readable: {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no JSON object, but a {type(value).__name__}.")
    return value


def shapes_in(file: Path) -> dict[str, list[int]]:
    """Shapes of the tensors in a .safetensors file, from its header.

    Raises:
        ValueError: it is none.
    """
    try:
        with safe_open(file, "pt") as header:
            return {name: list(header.get_slice(name).get_shape()) for name in header.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file.name} is broken: {error}.") from error


def tensors_in(file: Path, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Some tensors of a .safetensors file by other names: ``names`` has the file's for each."""
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(old) for name, old in names.items()}


def plausible(config: dict[str, Any]) -> bool:
    """Whether numbers are small enough to build a network from; without weights, too, layers take time and memory."""
    blocks, layers = USUAL_BLOCKS, float(USUAL_LAYERS)  # where it says nothing
    entries: list[tuple[str, Any, int]] = [("", config, 0)]
    while entries:
        name, value, depth = entries.pop()
        if isinstance(value, dict | list) and depth == MOST_DEPTH:
            return False
        if isinstance(value, dict):
            entries += [(key, item, depth + 1) for key, item in value.items()]
        elif isinstance(value, list):
            entries += [(name, item, depth + 1) for item in value]
            if not name.startswith("latents_"):  # means and deviations of up to hundreds of channels
                blocks = max(blocks, len(value))
        elif isinstance(value, int | float):
            if not abs(value) <= 2**20:
                return False
            if re.search("layers|depth|blocks", name):
                layers = max(layers, abs(value))
    return blocks * layers <= MOST_LAYERS


def build(
    config: dict[str, Any], shapes: Mapping[str, Sequence[int]], read: Callable[[Mapping[str, str]], dict[str, Tensor]]
) -> Any:
    """The autoencoder with all of its weights and no others.

    Args:
        config: with the class, ``_class_name``, and its arguments.
        shapes: of the weights that there are, by name.
        read: tensors by other names, given ours for each.

    Raises:
        ImportError: diffusers is not installed, or too old for the class.
        ValueError: the class cannot be built so, or has other weights.
    """
    diffusers, kind = diffusers_module(), config["_class_name"]
    factory = getattr(diffusers, kind, None)
    if factory is None:
        raise ImportError(f"diffusers {diffusers.__version__} has no {kind}: pip install -U diffusers.")
    try:
        with torch.device("meta"):  # nothing is allocated before the shapes of the weights are right
            skeleton = factory.from_config(dict(config))
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"No {kind} can be built from its config.json ({type(error).__name__}: {error}).") from error
    wanted = {name: list(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    optional = tuple(getattr(factory, "_keys_to_ignore_on_load_unexpected", None) or ())
    names = {_modern(name, wanted): name for name in shapes}
    wrong = [name for name in names if name not in wanted and not name.startswith(optional)]
    names = {name: old for name, old in names.items() if name in wanted}
    wrong += [
        f"{name} {list(shapes[old])}, not {wanted[name]}"
        for name, old in names.items()
        if list(shapes[old]) != wanted[name]
    ]
    missing = [] if wrong else [name for name in wanted if name not in names and "num_batches_tracked" not in name]
    if wrong or missing:
        raise ValueError(
            f"These are not the weights of this {kind}: {len(missing)} missing, {len(wrong)} wrong or too many "
            f"({'; '.join((missing + wrong)[:3])})."
        )
    with torch.random.fork_rng([]):
        vae = factory.from_config(dict(config))
    vae.load_state_dict(read(names), strict=False)
    return vae


def _modern(name: str, wanted: dict[str, Any]) -> str:
    """Attention in weights from before 2023 has other names."""
    new = name
    for old, now in {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}.items():
        new = new.replace(f".{old}.", f".{now}.")
    return new if name not in wanted and new in wanted else name
