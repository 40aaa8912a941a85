"""``load_decoder("diffusers-pipeline:user/repo")``: a `PipelineDecoder` of a folder, of the Hub, or of a pipeline."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latent_vizae.adapters.diffusers_building import diffusers_module, shapes_in, tensors_in
from latent_vizae.adapters.diffusers_loading import load_diffusers
from latent_vizae.adapters.diffusers_place import Place, as_dtype
from latent_vizae.adapters.pipeline import PipelineDecoder
from latent_vizae.adapters.pipeline_building import SMALL, build_pipeline, load_network
from latent_vizae.adapters.pipeline_classes import recipe_of
from latent_vizae.inputs.checks import as_device
from latent_vizae.storage.hub import full_reference

__all__ = ["load_pipeline"]

SCHEME = "diffusers-pipeline"
TINY = {
    "FluxPipeline": "madebyollin/taef1",
    "LatentConsistencyModelPipeline": "madebyollin/taesd",
    "StableDiffusion3Pipeline": "madebyollin/taesd3",
    "StableDiffusionPipeline": "madebyollin/taesd",
    "StableDiffusionXLPipeline": "madebyollin/taesdxl",
    "StableUnCLIPImg2ImgPipeline": "madebyollin/taesd",
}
"""Tiny autoencoders of the latents of pipelines: a tenth of the work of the full ones."""


def load_pipeline(
    reference: str = "",
    *,
    pipe: Any = None,
    code: str | None = None,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    image_size: int | tuple[int, int] | list[int] | None = None,
    label: int | None = None,
    vae: str | nn.Module | None = None,
    ip_adapter: str | None = None,
    inputs: dict[str, Tensor] | None = None,
    subfolder: str | None = None,
    revision: str | None = None,
    variant: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    token: str | bool | None = None,
    most_bytes: int | None = None,
) -> PipelineDecoder:
    """The entry point of the scheme ``diffusers-pipeline``: a pipeline in hand, or from a folder or the Hub.

    Only safetensors are read, and classes come from tables. A safety checker is not loaded.

    Args:
        reference: a folder that ``pipe.save_pretrained`` wrote, or ``user/repo[/subfolder][@revision]``.
        pipe: a pipeline in hand instead of a reference; it is used as it is, where it is.
        code: which input of the pipeline's call is the code; see `PipelineDecoder`, as for what follows.
        prompt: the frozen words.
        negative_prompt: what to keep away from.
        steps: of denoising.
        guidance: guidance scale.
        seed: of the frozen noise.
        image_size: side in pixels, or (height, width).
        label: class of a class-conditional network.
        vae: in place of the pipeline's autoencoder "tiny", the tiny one of its latents; a reference of another one, as
            `load_diffusers` takes it; or one in hand.
        ip_adapter: an IP-Adapter's .safetensors, a path or ``user/repo/folder/file[@revision]``, for
            code="image_embeds". Its image encoder is looked for in ``image_encoder`` beside it, where the pipeline has
            none.
        inputs: frozen inputs by name; v then does not remember the decoder, as tensors have no name.
        subfolder: the same as in the reference.
        revision: the same as in the reference.
        variant: of the weights, such as "fp16"; by default the one without, else "fp16" or "bf16".
        dtype: of the weights: "float32" (the default), "float16", "bfloat16", or the torch type; codes and images stay
            float32.
        device: of the decoder; by default the CPU.
        token: of a Hub user; by default the one that is logged in.
        most_bytes: most bytes of one download; by default any number.

    Returns:
        The decoder; its ``source`` includes the commit, or the whole path.

    Raises:
        ImportError: diffusers or transformers is not installed.
        TypeError: a pipeline in hand that is none.
        ValueError: no pipeline, one of a class or with components that are not in the tables, weights that do not fit
            their configuration; what `PipelineDecoder` refuses; arguments that contradict each other.
        huggingface_hub.errors.RepositoryNotFoundError: no such repository, or it is private.

    Example:
        >>> f_d = load_pipeline("stabilityai/sd-turbo", code="prompt_embeds", steps=1, guidance=0)  # doctest: +SKIP
        >>> codes = f_d.encode_text(["a cat", "a dog"])  # doctest: +SKIP
        >>> codes.shape, f_d(codes).shape  # doctest: +SKIP
        (torch.Size([2, 77, 1024]), torch.Size([2, 3, 512, 512]))
    """
    asked = {
        "code": code, "prompt": prompt, "negative_prompt": negative_prompt, "steps": steps, "guidance": guidance,
        "seed": seed, "image_size": image_size, "label": label, "inputs": inputs,
    }  # fmt: skip
    options: dict[str, Any] = {}
    source = None
    if pipe is not None:
        given = {
            "a reference": reference or None, "subfolder": subfolder, "revision": revision, "variant": variant,
            "dtype": dtype, "device": device,
        }  # fmt: skip
        if odd := [name for name, value in given.items() if value is not None]:
            raise ValueError(
                f"pipe= is a pipeline in hand and stays as it is; {', '.join(odd)} came beside it. Say pipe.to(...)."
            )
        if not isinstance(pipe, diffusers_module().DiffusionPipeline):
            raise TypeError(f"pipe is a pipeline of diffusers, got {type(pipe).__name__}.")
        pipe = copy.copy(pipe)
    else:
        if not reference:
            raise ValueError(
                f"load_decoder('{SCHEME}:NAME', ...) or load_decoder('{SCHEME}', pipe=pipe, ...): neither came."
            )
        if variant is not None and not re.fullmatch(r"\w+", variant):
            raise ValueError(f"variant is a word such as 'fp16', got {variant!r}.")
        number_type = as_dtype(dtype)
        place = Place(SCHEME, full_reference(reference, subfolder, revision), token, most_bytes)
        if place.file is not None:
            raise ValueError(f"A pipeline is a folder, and {reference!r} is a file. Its autoencoder: diffusers:NAME.")
        pipe = build_pipeline(place, number_type, variant).to(as_device("cpu" if device is None else device))
        source = place.named("")
        options |= {} if variant is None else {"variant": variant}
        options |= {} if number_type == torch.float32 else {"dtype": str(number_type).removeprefix("torch.")}
    hub = {"token": token, "most_bytes": most_bytes}
    if vae is not None:
        options |= _exchange_vae(pipe, vae, hub)
    if ip_adapter is not None:
        options["ip_adapter"] = _load_ip_adapter(pipe, ip_adapter, hub)
    decoder = PipelineDecoder(pipe, **asked)  # type: ignore[arg-type]
    decoder.options |= options
    decoder.source = None if inputs or isinstance(vae, nn.Module) else source
    return decoder


def _exchange_vae(pipe: Any, vae: str | nn.Module, hub: dict[str, Any]) -> dict[str, Any]:
    """Give a pipeline another autoencoder; return the option that says which."""
    kind, _ = recipe_of(pipe)
    if getattr(pipe, "vae", None) is None:
        raise ValueError(f"A {kind} has no autoencoder that vae= could replace.")
    if isinstance(vae, nn.Module):
        pipe.vae = vae
        return {}
    if vae == "tiny" and kind not in TINY:
        raise ValueError(f"vae='tiny' is for {', '.join(sorted(TINY))}; of a {kind} name one: vae='user/repo'.")
    loaded = load_diffusers(TINY.get(kind, "") if vae == "tiny" else vae, image_size=64, **hub)
    found = loaded.vae.to(pipe._execution_device, pipe.dtype)
    old, new = (getattr(model.config, "latent_channels", None) for model in (pipe.vae, found))
    if old != new:
        raise ValueError(f"The latents of this {kind} have {old} channels, those of the autoencoder {vae!r} {new}.")
    pipe.vae = found
    return {"vae": str(loaded.source).removeprefix("diffusers:")}


def _load_ip_adapter(pipe: Any, reference: str, hub: dict[str, Any]) -> str:
    """Give a pipeline an IP-Adapter, with its image encoder; return the reference with its commit."""
    if not hasattr(pipe, "load_ip_adapter") or not hasattr(pipe, "unet"):
        raise ValueError(f"A {type(pipe).__name__} takes no IP-Adapter.")
    place = Place(SCHEME, reference, **hub)
    if place.file is None:
        raise ValueError(f"ip_adapter is one .safetensors file, got {reference!r}.")
    folder = place.get([place.file, *(f"image_encoder/{name}" for name in SMALL)])
    if not (folder / place.file).is_file():
        raise FileNotFoundError(f"There is no file {place.file} in {reference!r}.")
    state: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    names = list(shapes_in(folder / place.file))
    for name, tensor in tensors_in(folder / place.file, dict(zip(names, names, strict=True))).items():
        part, _, rest = name.partition(".")
        if part not in state:
            raise ValueError(f"{place.file} is no IP-Adapter: it holds {name[:80]!r}.")
        state[part][rest] = tensor
    if pipe.image_encoder is None and (folder / "image_encoder" / "config.json").is_file():
        encoder = load_network(place, folder, "image_encoder", "CLIPVisionModelWithProjection", pipe.dtype)
        pipe.image_encoder = encoder.to(pipe._execution_device)
    pipe.unet = copy.deepcopy(pipe.unet)  # whose attention it changes
    if pipe.image_encoder is None:
        raise ValueError(
            f"There is no image encoder beside {reference!r}, and the pipeline has none: put it into image_encoder/."
        )
    try:
        pipe.load_ip_adapter([state], subfolder="", weight_name="")
    except Exception as error:
        raise ValueError(
            f"{place.file} is no IP-Adapter for this pipeline ({type(error).__name__}: {error})."
        ) from error
    return place.named(Path(place.file).name).removeprefix(f"{SCHEME}:")
