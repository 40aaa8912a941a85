"""``load_decoder("diffusers:user/repo")``: a `DiffusersDecoder` from a folder, a file or the Hub.

No downloaded code is run: weights are read from safetensors only, and classes come from an allowlist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latent_vizae.adapters.diffusers_building import build, plausible, read_object, shapes_in, tensors_in
from latent_vizae.adapters.diffusers_place import VARIANTS, Place, as_dtype, index_name, weight_files
from latent_vizae.adapters.diffusers_single import load_single_file
from latent_vizae.adapters.diffusers_vae import CLIP, IMAGE, NO_IMAGES, REFUSED, DiffusersDecoder
from latent_vizae.inputs.checks import as_device
from latent_vizae.storage.hub import full_reference

__all__ = ["load_diffusers"]

SUBFOLDERS = ("", "vae", "movq", "vqvae")


def load_diffusers(
    reference: str = "",
    *,
    vae: nn.Module | None = None,
    image_size: int | tuple[int, int] | list[int] | None = None,
    num_frames: int = 1,
    latent_shape: tuple[int, ...] | list[int] | None = None,
    subfolder: str | None = None,
    revision: str | None = None,
    variant: str | None = None,
    scaling_factor: float | None = None,
    shift_factor: float | None = None,
    dtype: str | torch.dtype | None = None,
    torch_dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    token: str | bool | None = None,
    most_bytes: int | None = None,
) -> DiffusersDecoder:
    """The entry point of the scheme ``diffusers``: an autoencoder in hand, or from a folder, a file or the Hub.

    Only its config.json and its weights are downloaded. In the repository of a pipeline it is looked for in ``vae``,
    ``movq`` and ``vqvae``.

    Args:
        reference: a folder, a .safetensors file, or ``user/repo[/subfolder or file][@revision]``. A file needs no
            config.json where it holds the autoencoder of Stable Diffusion, SDXL or FLUX, alone or in a whole
            checkpoint, with the names of diffusers or of CompVis.
        vae: an autoencoder in hand, such as ``pipe.vae``, instead of a reference; it is used as it is.
        image_size: side of an image in pixels, or (height, width); by default the size in its config.json, at most
            256.
        num_frames: frames of a clip, for video autoencoders.
        latent_shape: shape of one code, for LTX2VideoDiffusionDecoderModel, which has no encoder.
        subfolder: the same as in the reference.
        revision: the same as in the reference.
        variant: of the weights, such as "fp16"; by default the one without, else "fp16" or "bf16".
        scaling_factor: of a file without config.json: ``code = (latent - shift_factor) * scaling_factor``.
        shift_factor: see there.
        dtype: of its weights: "float32" (the default), "float16", "bfloat16", or the torch type; codes and images stay
            float32.
        torch_dtype: another name of it, diffusers'.
        device: of the decoder; by default the CPU.
        token: of a Hub user; by default the one that is logged in.
        most_bytes: most bytes of one download, configuration or weights; by default any number.

    Returns:
        The decoder; its ``source`` includes the commit, or the whole path.

    Raises:
        ImportError: diffusers is not installed, or too old for the class.
        ValueError: there is no autoencoder of images, no safetensors weights or ones that do not fit its config.json;
            it does not work on this size, or it is larger than ``most_bytes``; arguments that contradict each other.
        huggingface_hub.errors.RepositoryNotFoundError: no such repository, or it is private.

    Example:
        >>> f_d = load_diffusers("madebyollin/taesd", image_size=64)  # doctest: +SKIP
        >>> f_d.latent_shape, f_d.options  # doctest: +SKIP
        ((4, 8, 8), {'image_size': 64})
    """
    if vae is not None:
        given = {
            "a reference": reference or None, "subfolder": subfolder, "revision": revision, "variant": variant,
            "scaling_factor": scaling_factor, "shift_factor": shift_factor, "dtype": dtype, "torch_dtype": torch_dtype,
            "device": device,
        }  # fmt: skip
        if odd := [name for name, value in given.items() if value is not None]:
            raise ValueError(f"vae= is an autoencoder in hand and stays as it is; {', '.join(odd)} came beside it.")
        return DiffusersDecoder(vae, image_size, num_frames, latent_shape)
    if not reference:
        raise ValueError("load_decoder('diffusers:NAME') or load_decoder('diffusers', vae=pipe.vae): neither came.")
    number_type = as_dtype(dtype, torch_dtype)
    target = as_device("cpu" if device is None else device)
    if variant is not None and not re.fullmatch(r"\w+", variant):
        raise ValueError(f"variant is a word such as 'fp16', got {variant!r}.")
    place = Place("diffusers", full_reference(reference, subfolder, revision), token, most_bytes)
    if place.file is None:
        if scaling_factor is not None or shift_factor is not None:
            raise ValueError("scaling_factor and shift_factor are for a file; a folder's config.json has them.")
        vae = _of_folder(place, VARIANTS if variant is None else (variant,))
    else:
        if variant is not None:
            raise ValueError(f"variant={variant!r} is for a folder; {reference} is a file.")
        vae = _of_file(place, scaling_factor, shift_factor)
    kept = {"bn", "latents_mean", "latents_std", *(getattr(vae, "_keep_in_fp32_modules", None) or ())}
    for path, tensor in (*vae.named_parameters(), *vae.named_buffers()):
        if tensor.is_floating_point() and not kept & set(path.split(".")):
            tensor.data = tensor.data.to(number_type)
    decoder = DiffusersDecoder(vae.to(target).eval().requires_grad_(False), image_size, num_frames, latent_shape)
    decoder.source = place.source
    said = {"variant": variant, "scaling_factor": scaling_factor, "shift_factor": shift_factor}
    decoder.options |= {name: value for name, value in said.items() if value is not None}
    if number_type != torch.float32:
        decoder.options["dtype"] = str(number_type).removeprefix("torch.")
    return decoder


def _of_folder(place: Place, variants: tuple[str, ...]) -> Any:
    """The autoencoder of the first of the folders that has one."""
    small = ("config.json", *map(index_name, variants))
    root = place.get([f"{folder}/{file}".lstrip("/") for folder in SUBFOLDERS for file in small])
    folder, config = _find(root, place)
    _, files = weight_files(place, root, folder, variants)
    shapes = {file: shapes_in(file) for file in files}

    def read(names: Mapping[str, str]) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for file, inside in shapes.items():
            state |= tensors_in(file, {name: old for name, old in names.items() if old in inside})
        return state

    vae = build(config, {name: shape for inside in shapes.values() for name, shape in inside.items()}, read)
    place.source = place.named(folder)
    return vae


def _of_file(place: Place, scaling_factor: float | None, shift_factor: float | None) -> Any:
    """The autoencoder in one file."""
    file = str(place.file)
    beside = ["config.json", "vae/config.json"]
    folder = place.get([*beside, file])
    if not (folder / file).is_file():
        raise FileNotFoundError(f"There is no file {file} in {place.reference}.")
    configs = [read_object(folder / name, 2**20) for name in beside if (folder / name).is_file()]
    fitting = [config for config in configs if config.get("_class_name") in IMAGE | CLIP and plausible(config)]
    described = fitting[0] if fitting and scaling_factor is None else None
    vae = load_single_file(folder / file, described, scaling_factor, shift_factor)
    place.source = place.named(file)
    return vae


def _find(root: Path, looked_in: Place) -> tuple[str, dict[str, Any]]:
    """The first place with an autoencoder of images, and its configuration."""
    others = []
    for place in SUBFOLDERS:
        path = root / place / "config.json"
        if path.is_file():
            config = read_object(path, 2**20)
            kind = config.get("_class_name")
            if isinstance(kind, str) and kind in IMAGE | CLIP:
                if not plausible(config):
                    raise ValueError(f"config.json of a {kind} has numbers that no autoencoder has.")
                return place, config
            others.append(kind)
    for kind in others:
        if isinstance(kind, str) and kind in REFUSED:
            raise ValueError(NO_IMAGES.format(kind, REFUSED[kind]))
    raise ValueError(
        f"No autoencoder of diffusers in {looked_in.reference!r}: config.json was looked for in "
        + ", ".join(place or "." for place in SUBFOLDERS)
        + (f", found {', '.join(str(kind)[:80] for kind in others)}." if others else ".")
        + " In another folder: user/repo/subfolder. Of another library: load_decoder('module', module=...)."
    )
