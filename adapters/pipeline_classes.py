"""The pipelines of 🤗 diffusers that are decoders: how each one's call takes a code. The table is the allowlist.

A call has frozen inputs, batches of one: the initial noise, embeddings of a prompt or of an image. Any of them can be
the code. `Recipe` says for a class what they are called, how they are made, and what its call needs beside them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["RECIPES", "Call", "Recipe", "recipe_of"]

Embeddings = dict[str, Tensor]
TEXT = ("prompt_embeds", "pooled_prompt_embeds")
DENOISING_STEPS = 50
"""Steps of a pipeline whose call takes no noise; diffusers' default for DDIM."""


@dataclass
class Call:
    """What is asked of every image of a pipeline: plain values.

    Attributes:
        height: in pixels.
        width: in pixels.
        steps: of denoising.
        guidance: its scale; at most 1 is none, except where a class says otherwise.
        label: of a class-conditional network.
    """

    height: int
    width: int
    steps: int
    guidance: float
    label: int | None = None


@dataclass(frozen=True)
class Recipe:
    """How one class of pipelines makes an image of frozen inputs.

    Attributes:
        kinds: names of its call's inputs by the kind of code; the first kind is the default.
        side: pixels of an image by default.
        noise: shape of the initial noise of one image, of (pipe, height, width).
        text: embeddings of words (pipe, [str, ...]) by input; None where it takes no text.
        negative: input by input, what stands for its unwanted counterpart.
        others: further frozen inputs, of (pipe, call).
        call: keywords beside the frozen inputs, of (pipe, call).
        prepare: inputs of a batch as the call takes them, of (pipe, call, inputs).
        run: what makes the images of a batch instead of the call, of (pipe, call, inputs).
        unit_range: whether its images come in [0, 1]; else in [-1, 1].
        one_by_one: whether it mixes the codes of a batch, of (pipe).
    """

    kinds: Mapping[str, str]
    side: Callable[[Any], int]
    noise: Callable[[Any, int, int], tuple[int, ...]]
    text: Callable[[Any, list[str]], Embeddings] | None = None
    negative: Mapping[str, str] = field(default_factory=dict)
    others: Callable[[Any, Call], Embeddings] = lambda pipe, call: {}
    call: Callable[[Any, Call], dict[str, Any]] = lambda pipe, call: {}
    prepare: Callable[[Any, Call, dict[str, Any]], dict[str, Any]] = lambda pipe, call, inputs: inputs
    run: Callable[[Any, Call, Embeddings], Tensor] | None = None
    unit_range: bool = True
    one_by_one: Callable[[Any], bool] = lambda pipe: False


def recipe_of(pipe: Any) -> tuple[str, Recipe]:
    """The class of a pipeline, or the one that it inherits from, and its recipe.

    Raises:
        ValueError: it is none of the table.
    """
    kind = pipe if isinstance(pipe, str) else type(pipe)
    names = [kind] if isinstance(kind, str) else [base.__name__ for base in kind.__mro__]
    found = next((name for name in names if name in RECIPES), None)
    if found is None:
        raise ValueError(
            f"{str(names[0])[:80]} is no pipeline that makes the same image of the same code here. These are: "
            f"{', '.join(sorted(RECIPES))}. Any other way of making images is a function, codes -> images, and needs "
            "no loading: hand it to fit() or LatentMap()."
        )
    return found, RECIPES[found]


# What several classes have in common.


def _size(pipe: Any, call: Call) -> dict[str, Any]:
    return {"height": call.height, "width": call.width}


def _guided(pipe: Any, call: Call) -> dict[str, Any]:
    return {**_size(pipe, call), "guidance_scale": call.guidance}


def _of_unet(pipe: Any, height: int, width: int) -> tuple[int, ...]:
    factor = getattr(pipe, "vae_scale_factor", 1)
    return (pipe.unet.config.in_channels, height // factor, width // factor)


def _of_transformer(pipe: Any, height: int, width: int) -> tuple[int, ...]:
    factor = pipe.vae_scale_factor
    return (pipe.transformer.config.in_channels, height // factor, width // factor)


def _unet_side(pipe: Any) -> int:
    side = pipe.unet.config.sample_size or 64
    return (side if isinstance(side, int) else side[0]) * getattr(pipe, "vae_scale_factor", 1)


def _transformer_side(pipe: Any) -> int:
    side: int = pipe.transformer.config.sample_size * pipe.vae_scale_factor
    return side


def _default_side(pipe: Any) -> int:
    side: int = pipe.default_sample_size * pipe.vae_scale_factor
    return side


def _clip(pipe: Any, words: list[str]) -> Embeddings:
    return {"prompt_embeds": pipe.encode_prompt(words, pipe._execution_device, 1, False)[0]}


def _two_clips(pipe: Any, words: list[str]) -> Embeddings:
    made = pipe.encode_prompt(words, device=pipe._execution_device, do_classifier_free_guidance=False)
    return {"prompt_embeds": made[0], "pooled_prompt_embeds": made[2]}


NEGATIVE = {"prompt_embeds": "negative_prompt_embeds"}
NEGATIVE_POOLED = {**NEGATIVE, "pooled_prompt_embeds": "negative_pooled_prompt_embeds"}


# Stable Diffusion, with and without an IP-Adapter.


def _has_ip_adapter(pipe: Any) -> bool:
    return getattr(pipe.unet.config, "encoder_hid_dim_type", None) == "ip_image_proj"


def _ip_input(pipe: Any, call: Call) -> Embeddings:
    """The embedding that an adapter takes where there is no image, as the pipeline itself makes it."""
    if not _has_ip_adapter(pipe):
        return {}
    layers = pipe.unet.encoder_hid_proj.image_projection_layers
    if len(layers) > 1:
        raise ValueError(f"A code is the embedding of one image, and {len(layers)} IP-Adapters are loaded: load one.")
    shape = getattr(layers[0], "image_embeds", None)
    nothing = _embedding_of_black(pipe) if shape is None else torch.zeros(1, shape.in_features)
    return {"image_embeds": nothing, "negative_image_embeds": nothing}


def _embedding_of_black(pipe: Any) -> Tensor:
    """Of IP-Adapter Plus, which takes what is before the projection: (1, tokens, width)."""
    if pipe.image_encoder is None:
        raise ValueError("This IP-Adapter needs its image encoder, and the pipeline has none: load it with one.")
    config, weight = pipe.image_encoder.config, next(pipe.image_encoder.parameters())
    black = weight.new_zeros(1, config.num_channels, config.image_size, config.image_size)
    embedding: Tensor = pipe.image_encoder(black, output_hidden_states=True).hidden_states[-2]
    return embedding


def _as_ip(pipe: Any, call: Call, inputs: dict[str, Any]) -> dict[str, Any]:
    """One embedding after the other, behind that of no image where there is guidance."""
    embeds, opposite = inputs.pop("image_embeds", None), inputs.pop("negative_image_embeds", None)
    if embeds is not None:
        pipe._guidance_scale = call.guidance  # which its own property reads
        both = [opposite, embeds] if pipe.do_classifier_free_guidance else [embeds]
        inputs["ip_adapter_image_embeds"] = [torch.cat(both)[:, None]]
    return inputs


# Classes that need words of their own.


def _unclip_noise(pipe: Any, call: Call, inputs: dict[str, Any]) -> dict[str, Any]:
    return {**inputs, "latents": inputs["latents"] * pipe.scheduler.init_noise_sigma}  # its call does not


def _cascade_text(pipe: Any, words: list[str]) -> Embeddings:
    made = pipe.encode_prompt(pipe._execution_device, len(words), 1, False, prompt=words)
    return {"prompt_embeds": made[0], "prompt_embeds_pooled": made[1]}


def _cascade_scale(pipe: Any) -> float:
    """Pixels of one number of a code."""
    quantiser = pipe.vqgan.config
    factor: float = pipe.config.latent_dim_scale * quantiser.up_down_scale_factor**quantiser.levels
    return factor


def _cascade_code(pipe: Any, call: Call) -> Embeddings:
    sides = (math.ceil(size / _cascade_scale(pipe)) for size in (call.height, call.width))
    return {"image_embeddings": torch.zeros(1, pipe.decoder.config.effnet_in_channels, *sides)}


def _cascade_noise(pipe: Any, height: int, width: int) -> tuple[int, ...]:
    scale = _cascade_scale(pipe)
    sides = (int(math.ceil(size / scale) * pipe.config.latent_dim_scale) for size in (height, width))
    return (pipe.decoder.config.in_channels, *sides)


def _kandinsky_noise(pipe: Any, height: int, width: int) -> tuple[int, ...]:
    factor = pipe.movq_scale_factor
    return (pipe.unet.config.in_channels, *(-(-size // factor**2) * factor for size in (height, width)))


def _kandinsky_image(pipe: Any, call: Call) -> Embeddings:
    width = pipe.unet.config.encoder_hid_dim
    return {"image_embeds": torch.zeros(1, width), "negative_image_embeds": torch.zeros(1, width)}


def _flux_text(pipe: Any, words: list[str]) -> Embeddings:
    made = pipe.encode_prompt(prompt=words, prompt_2=None, device=pipe._execution_device)
    return {"prompt_embeds": made[0], "pooled_prompt_embeds": made[1]}


def _flux_noise(pipe: Any, height: int, width: int) -> tuple[int, ...]:
    factor = 2 * pipe.vae_scale_factor
    return (pipe.transformer.config.in_channels // 4, 2 * (height // factor), 2 * (width // factor))


def _three_encoders(pipe: Any, words: list[str]) -> Embeddings:
    made = pipe.encode_prompt(words, None, None, device=pipe._execution_device, do_classifier_free_guidance=False)
    return {"prompt_embeds": made[0], "pooled_prompt_embeds": made[2]}


def _masked_text(pipe: Any, words: list[str]) -> Embeddings:
    """Embeddings, and which of them are of words: a code has no place for that, so these stay frozen."""
    usual = inspect.signature(type(pipe).__call__).parameters["complex_human_instruction"].default
    made = pipe.encode_prompt(words, device=pipe._execution_device, complex_human_instruction=usual)
    return {"prompt_embeds": made[0], "prompt_attention_mask": made[1]}


def _sprint(pipe: Any, call: Call) -> dict[str, Any]:
    one = {"intermediate_timesteps": None} if call.steps != 2 else {}
    return {**_guided(pipe, call), "use_resolution_binning": False, **one}


# Unconditional and class-conditional networks: noise to an image by the scheduler's own loop, no noise added.


def _denoised(pipe: Any, call: Call, inputs: Embeddings) -> Tensor:
    x, scheduler = inputs["latents"], pipe.scheduler
    scheduler.set_timesteps(call.steps, device=x.device)
    x = x * getattr(scheduler, "init_noise_sigma", 1.0)
    options = {"eta": 0.0} if type(scheduler).__name__ == "DDIMScheduler" else {}
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(pipe.unet(scaled, t, **_labels(pipe, call, len(x))).sample, t, x, **options).prev_sample
    return x


def _labels(pipe: Any, call: Call, count: int) -> dict[str, Tensor]:
    """Class labels of a batch, where the network takes some."""
    if pipe.unet.config.num_class_embeds is None:
        return {}
    return {"class_labels": torch.full((count,), call.label or 0, device=pipe._execution_device)}


# fmt: off
NOISE = {"noise": "latents"}
PROMPT = {"prompt_embeds": "prompt_embeds"}
POOLED = {**PROMPT, "pooled_prompt_embeds": "pooled_prompt_embeds"}
IMAGE = {"image_embeds": "image_embeds"}

RECIPES: dict[str, Recipe] = {
    "ConsistencyModelPipeline": Recipe(
        NOISE, _unet_side, _of_unet,
        prepare=lambda pipe, call, inputs: {
            **inputs, "batch_size": len(inputs["latents"]), **_labels(pipe, call, len(inputs["latents"]))
        },
    ),
    "DDIMPipeline": Recipe(NOISE, _unet_side, _of_unet, run=_denoised, unit_range=False),
    "DDPMPipeline": Recipe(NOISE, _unet_side, _of_unet, run=_denoised, unit_range=False),
    "FluxPipeline": Recipe(
        {**POOLED, **NOISE}, _default_side, _flux_noise, _flux_text, call=_guided,
    ),
    "KandinskyV22Pipeline": Recipe(
        {**IMAGE, **NOISE}, lambda pipe: 512, _kandinsky_noise, others=_kandinsky_image, call=_guided,
        unit_range=False,
    ),
    "LatentConsistencyModelPipeline": Recipe(
        {**PROMPT, **IMAGE, **NOISE}, _unet_side, _of_unet, _clip, others=_ip_input, call=_guided, prepare=_as_ip,
        one_by_one=_has_ip_adapter,
    ),
    "SanaSprintPipeline": Recipe(NOISE, _transformer_side, _of_transformer, _masked_text, call=_sprint),
    "StableCascadeDecoderPipeline": Recipe(
        {"latents": "image_embeddings", **NOISE}, lambda pipe: 1024, _cascade_noise, _cascade_text,
        {"prompt_embeds": "negative_prompt_embeds", "prompt_embeds_pooled": "negative_prompt_embeds_pooled"},
        others=_cascade_code, call=lambda pipe, call: {"guidance_scale": call.guidance},
    ),
    "StableDiffusion3Pipeline": Recipe(
        {**POOLED, **NOISE}, _default_side, _of_transformer, _three_encoders, NEGATIVE_POOLED, call=_guided,
    ),
    "StableDiffusionPipeline": Recipe(
        {**PROMPT, **IMAGE, **NOISE}, _unet_side, _of_unet, _clip, NEGATIVE, others=_ip_input, call=_guided,
        prepare=_as_ip, one_by_one=_has_ip_adapter,
    ),
    "StableDiffusionXLPipeline": Recipe(
        {**POOLED, **IMAGE, **NOISE}, _unet_side, _of_unet, _two_clips, NEGATIVE_POOLED, others=_ip_input,
        call=_guided, prepare=_as_ip, one_by_one=_has_ip_adapter,
    ),
    "StableUnCLIPImg2ImgPipeline": Recipe(
        {**IMAGE, **NOISE}, _unet_side, _of_unet, _clip, NEGATIVE, call=_guided, prepare=_unclip_noise,
        others=lambda pipe, call: {"image_embeds": torch.zeros(1, pipe.image_encoder.config.projection_dim)},
    ),
}
# fmt: on
