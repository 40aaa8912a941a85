"""Words and pictures to embeddings, by the encoders of a pipeline of 🤗 diffusers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from latent_vizae.adapters.pipeline_classes import Embeddings, Recipe

__all__ = ["encode_pictures", "encode_words", "has_image_encoder"]


def encode_words(pipe: Any, recipe: Recipe, texts: list[str]) -> Embeddings:
    """Embeddings of prompts by input of the pipeline's call.

    Raises:
        ValueError: a text encoder or a tokenizer is missing.
    """
    if recipe.text is None:
        return {}
    needed = [name for name in pipe.components if name.startswith(("text_encoder", "tokenizer"))]
    optional = {name for name in needed if name.endswith("_3")}  # Stable Diffusion 3 does without its largest
    missing = [name for name in needed if getattr(pipe, name) is None and name not in optional]
    if missing:
        kind = type(pipe).__name__
        raise ValueError(
            f"This {kind} has no {' and no '.join(missing)}, so there are no embeddings of words. Load it with all of "
            "its encoders, or pass inputs={'prompt_embeds': ...}, the embeddings that its call takes, each (1, ...)."
        )
    return recipe.text(pipe, texts)


def has_image_encoder(pipe: Any) -> bool:
    """Whether pictures have embeddings here."""
    return getattr(pipe, "image_encoder", None) is not None and getattr(pipe, "feature_extractor", None) is not None


def encode_pictures(pipe: Any, images: Tensor, latent_shape: tuple[int, ...]) -> Tensor:
    """Pictures (B, C, H, W) in [0, 1] to embeddings (B, *latent_shape), as the pipeline itself makes them.

    Raises:
        ValueError: they are no pictures in grey or colour.
    """
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"Pictures are (B, 3, H, W) in [0, 1], got {tuple(images.shape)}.")
    colour = images.detach().float().clamp(0, 1).expand(-1, 3, -1, -1)
    arrays = list((colour * 255).round().byte().movedim(1, 3).cpu().numpy())
    pixels = pipe.feature_extractor(images=arrays, return_tensors="pt").pixel_values
    encoder = pipe.image_encoder
    weight = next(encoder.parameters())
    made = encoder(pixels.to(weight.device, weight.dtype), output_hidden_states=len(latent_shape) == 2)
    codes: Tensor = made.hidden_states[-2] if len(latent_shape) == 2 else made.image_embeds
    return codes
