"""Load decoders by name.

`load_decoder` looks names up in the entry points of installed packages, so the core imports no adapter and any package
can add a scheme.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

from latent_vizae.inputs.surroundings import own_surroundings
from latent_vizae.storage.hub import parse_reference
from latent_vizae.storage.shards import digest

__all__ = ["MOST_BYTES", "as_source_options", "decoder_name", "is_portable", "load_decoder", "load_source"]


ENTRY_POINT_GROUP = "latent_vizae.decoders"

INSTEAD = {
    "cache_dir": "HF_HOME says where downloads are kept",
    "dtype": "a loaded module has .to(dtype)",
    "local_files_only": "HF_HUB_OFFLINE=1 keeps to the cache",
    "map_location": "device= says where a decoder goes",
    "torch_dtype": "a loaded module has .to(dtype)",
    "trust_remote_code": "nothing that is loaded is ever run",
    "use_safetensors": "weights are read from safetensors only",
    "variant": "file= names one of several files",
}
"""What people type, from other libraries."""

HUB_SCHEMES = ("hub", "diffusers", "diffusers-pipeline", "taef2")
"""Schemes of folders and of repositories of the Hub. A source of theirs has the whole path, or the commit."""

MOST_BYTES = 2**30
"""So much is downloaded at most for a decoder that was not asked for, but named in a saved file."""
MOST_CHARACTERS = 2000
"""Of an option that is saved, such as a prompt."""


@torch.inference_mode(False)  # weights that are loaded under a caller's have gradients later
@own_surroundings()
def load_decoder(source: str, **options: Any) -> Any:
    """Load a decoder by name.

    Args:
        source: ``"mnist"``, or ``"scheme:reference"`` for any scheme that an installed package registers
            in the entry-point group ``latent_vizae.decoders`` (a function ``(reference, **options) -> decoder``).
        options: keywords of the adapter.

    Returns:
        A callable, codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].

    Raises:
        TypeError: ``source`` is not a string, or the adapter has no option of such a name.
        ValueError: no installed package registers the scheme, or two do.

    Example:
        >>> import torch
        >>> f_d = load_decoder("mnist")
        >>> f_d(torch.zeros(1, 10)).shape
        torch.Size([1, 1, 28, 28])
    """
    if not isinstance(source, str):
        raise TypeError(
            f"load_decoder takes a name such as 'mnist', got {type(source).__name__}. "
            "A callable needs no loading: pass it to fit() or LatentMap()."
        )
    scheme, _, reference = source.partition(":")
    registered = entry_points(group=ENTRY_POINT_GROUP)
    matches = {entry.value: entry for entry in registered if entry.name == scheme}
    if not matches:
        known = ", ".join(sorted({entry.name for entry in registered})) or "none: is latent-vizae installed?"
        bare = source.removeprefix("https://huggingface.co/")
        where = (
            f" A path or a repository comes after its scheme: hub:{bare} or diffusers:{bare}." if "/" in source else ""
        )
        raise ValueError(f"No decoder is registered for {scheme!r} (asked for: {source!r}). Known: {known}.{where}")
    if len(matches) > 1:
        raise ValueError(f"More than one package registers {scheme!r}: {', '.join(sorted(matches))}. Remove one.")
    adapter = next(iter(matches.values())).load()
    _check_options(scheme, adapter, options)
    return adapter(reference, **options)


def _check_options(scheme: str, adapter: Callable[..., Any], options: dict[str, Any]) -> None:
    """Raise TypeError for options that an adapter does not have, with what there is instead."""
    try:
        _, *taken = inspect.signature(adapter).parameters.values()  # the first is the reference
    except (TypeError, ValueError):  # of a builtin
        return
    names = [parameter.name for parameter in taken]
    odd = [] if any(parameter.kind == parameter.VAR_KEYWORD for parameter in taken) else sorted(options.keys() - names)
    if odd:
        hints = "".join(f" {name}: {INSTEAD[name]}." for name in odd if name in INSTEAD)
        raise TypeError(
            f"load_decoder({scheme!r}, ...) takes {', '.join(names) or 'no options'}; got {', '.join(odd)}.{hints}"
        )


def is_portable(source: str) -> bool:
    """Whether a ``source`` finds the same decoder on every machine: no path, and no repository without a commit."""
    scheme, _, reference = source.partition(":")
    if scheme not in HUB_SCHEMES:
        return not Path(reference).is_absolute()
    try:
        return parse_reference(reference).revision is not None
    except ValueError:
        return False


def load_source(
    source: str, options: dict[str, Any], *, device: Any = None, most_bytes: int | None = MOST_BYTES
) -> Any:
    """The decoder that a saved file names, which may be a stranger's.

    Args:
        source: as a decoder's ``source``.
        options: as a decoder's ``options``.
        device: for `load_decoder`, where it is given.
        most_bytes: to download at a time; None for any number.

    Raises:
        ValueError: it names a folder that is not there, or a repository without a commit, as files did that were saved
            for a folder by its relative path: no stranger's repository of that name is asked for. Or it is too large.
    """
    scheme, _, reference = source.partition(":")
    more = {} if device is None else {"device": device}
    if scheme in HUB_SCHEMES:
        if not Path(reference).exists() and not is_portable(source):
            raise ValueError(
                f"The decoder {source!r} is named as a folder or file, and there is none here. Load it from where it "
                "is, load_decoder(...), and hand it in as decoder=."
            )
        more["most_bytes"] = most_bytes
    return load_decoder(source, **options, **more)


def as_source_options(options: Any) -> dict[str, Any]:
    """The options of a decoder that are saved with v: numbers, strings or lists of numbers by name.

    They may come from an untrusted file, so booleans, tokens and modules are refused.

    Raises:
        ValueError: another type, or too many or too long values.
    """

    def is_plain(value: Any) -> bool:
        if isinstance(value, list):
            return len(value) <= 16 and all(type(item) in (int, float) for item in value)
        return type(value) in (int, float) or (type(value) is str and len(value) <= MOST_CHARACTERS)

    if not isinstance(options, dict) or len(options) > 16:
        raise ValueError(f"source_options is a dictionary of at most 16 options, got {type(options).__name__}.")
    for name, value in options.items():
        if (
            not isinstance(name, str)
            or not name.isidentifier()
            or name in ("module", "token", "most_bytes")
            or not is_plain(value)
        ):
            raise ValueError(
                f"an option of a decoder is a number, a string or a list of numbers, got {name}={value!r}."
            )
    return dict(options)


def decoder_name(decoder: Any) -> Any:
    """Identity of a decoder, JSON-native: its name for `load_decoder`, else its class or function; and its weights."""
    has_weights = callable(getattr(decoder, "state_dict", None))
    weights = [digest(decoder.state_dict().values())] if has_weights else []
    source = getattr(decoder, "source", None)
    if isinstance(source, str):
        scheme, _, reference = source.partition(":")
        if Path(reference).is_absolute():  # other machines of the same work may have it elsewhere
            source = f"{scheme}:{Path(reference).name}"
        return [source, json.loads(json.dumps(getattr(decoder, "options", {}), default=str)), *weights]
    kind = decoder if hasattr(decoder, "__qualname__") else type(decoder)
    return [f"{kind.__module__}.{kind.__qualname__}", *weights]
