"""Pipelines of 🤗 diffusers built from untrusted folders, component by component: no code is run, nothing is left out.

`DiffusionPipeline.from_pretrained` would import any library that model_index.json names, read pickles where there are
no safetensors, and start weights that a file lacks at random. Here classes come from the tables below, and a network
has all of its weights and no others.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from latent_vizae.adapters.diffusers_building import diffusers_module, plausible, read_object, shapes_in
from latent_vizae.adapters.diffusers_place import VARIANTS, Place, index_name, weight_files
from latent_vizae.adapters.diffusers_vae import IMAGE
from latent_vizae.adapters.pipeline_classes import recipe_of

__all__ = ["build_pipeline", "load_network"]

# fmt: off
NETWORKS = IMAGE | {
    "FluxTransformer2DModel", "PaellaVQModel", "SD3Transformer2DModel", "SanaTransformer2DModel", "StableCascadeUNet",
    "StableUnCLIPImageNormalizer", "UNet2DConditionModel", "UNet2DModel",
}
ENCODERS = frozenset({
    "CLIPTextModel", "CLIPTextModelWithProjection", "CLIPVisionModelWithProjection", "Gemma2Model", "T5EncoderModel",
})
PREPARING = {
    "CLIPFeatureExtractor": "CLIPImageProcessor", "CLIPImageProcessor": "CLIPImageProcessor",
    "CLIPImageProcessorFast": "CLIPImageProcessor", "CLIPImageProcessorPil": "CLIPImageProcessorPil",
    "CLIPTokenizer": "CLIPTokenizer", "CLIPTokenizerFast": "CLIPTokenizer", "GemmaTokenizer": "GemmaTokenizer",
    "GemmaTokenizerFast": "GemmaTokenizer", "T5Tokenizer": "T5Tokenizer", "T5TokenizerFast": "T5Tokenizer",
}
"""Tokenizers and image processors of transformers, by the name in model_index.json."""
ELSEWHERE = {
    "PaellaVQModel": "pipelines.deprecated.wuerstchen",
    "StableCascadeUNet": "models",
    "StableUnCLIPImageNormalizer": "pipelines.stable_diffusion.stable_unclip_image_normalizer",
}
"""Modules of diffusers whose classes are not at its top."""
LEFT_OUT = frozenset({"safety_checker"})
"""Components that are not loaded: a checker makes images black, and every code of a decoder has its image."""
SMALL = (
    "config.json", "scheduler_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
    "vocab.json", "merges.txt", "spiece.model", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
)
# fmt: on
REFUSED_SETTINGS = ("quantization_config", "auto_map")
"""Settings of a network that make its library import what they name."""
LARGEST_INDEX = 2**20


def build_pipeline(place: Place, dtype: torch.dtype, variant: str | None) -> Any:
    """The pipeline in a place, in evaluation mode, without a safety checker.

    Raises:
        ImportError: diffusers or transformers is missing.
        ValueError: its class or one of its components is not in the tables, or a network has not all of its weights.
    """
    root = place.get(["model_index.json"])
    if not (root / "model_index.json").is_file():
        raise ValueError(
            f"There is no pipeline in {place.reference!r}: it has no model_index.json. An autoencoder alone is loaded "
            f"by load_decoder('diffusers:...')."
        )
    index = read_object(root / "model_index.json", LARGEST_INDEX)
    kind, _ = recipe_of(str(index.get("_class_name")))
    named = {name: value for name, value in index.items() if isinstance(value, list) and name not in LEFT_OUT}
    named = {name: value for name, value in named.items() if len(value) == 2 and isinstance(value[1], str)}
    for name, (_, component) in named.items():
        _check_component(name, component, kind)
    variants = VARIANTS if variant is None else (variant,)
    indices = [index_name(one, stem) for one in variants for stem in ("diffusion_pytorch_model", "model")]
    root = place.get([f"{name}/{file}" for name in named for file in (*SMALL, *indices)])
    built = {name: _build(place, root, name, component, dtype, variants) for name, (_, component) in named.items()}
    factory = getattr(diffusers_module(), kind)
    parameters = inspect.signature(factory.__init__).parameters
    settings = {
        name: value
        for name, value in index.items()
        if name in parameters and name not in named and isinstance(value, bool | int | float)
    }
    settings |= {"requires_safety_checker": False} if "requires_safety_checker" in parameters else {}
    settings |= {"add_watermarker": False} if "add_watermarker" in parameters else {}
    lacking = [name for name in parameters if name not in built and name not in settings and name != "self"]
    try:
        return factory(**built, **settings, **dict.fromkeys(_optional(factory, lacking)))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{place.reference!r} has not all that a {kind} is made of: {error}.") from error


def _optional(factory: Any, lacking: list[str]) -> list[str]:
    """Components that a pipeline does without."""
    optional = {*getattr(factory, "_optional_components", ()), *LEFT_OUT, "feature_extractor"}
    return [name for name in lacking if name in optional]


def _check_component(name: str, component: str, kind: str) -> None:
    known = NETWORKS | ENCODERS | PREPARING.keys()
    scheduler = component.endswith("Scheduler") and hasattr(diffusers_module(), component)
    if component not in known and not scheduler:
        raise ValueError(
            f"The component {name[:80]!r} of this {kind} is a {component[:80]!r}, which is none that is loaded here: "
            f"{', '.join(sorted(known))}, and schedulers of diffusers. Build the pipeline where you trust it, and "
            "hand it in: load_decoder('diffusers-pipeline', pipe=pipe)."
        )


def _build(place: Place, root: Path, name: str, component: str, dtype: torch.dtype, variants: tuple[str, ...]) -> Any:
    if component in NETWORKS or component in ENCODERS:
        return load_network(place, root, name, component, dtype, variants)
    try:
        if component in PREPARING:
            return getattr(_transformers(), PREPARING[component]).from_pretrained(root / name, local_files_only=True)
        return getattr(diffusers_module(), component).from_config(
            read_object(root / name / "scheduler_config.json", LARGEST_INDEX)
        )
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"No {component} is in {name}/ ({type(error).__name__}: {str(error)[:300]}).") from error


def load_network(
    place: Place, root: Path, name: str, component: str, dtype: torch.dtype, variants: tuple[str, ...] = VARIANTS
) -> nn.Module:
    """A network of diffusers or transformers with all of its weights and no others.

    Args:
        place: where its weights are.
        root: folder of what was fetched of it.
        name: folder in that.
        component: name of its class, in one of the tables.
        dtype: of its weights.
        variants: of the weights.

    Raises:
        ValueError: its configuration is not one of such a network, or it has other weights.
    """
    config = read_object(root / name / "config.json", LARGEST_INDEX)
    if not plausible(config) or any(setting in config for setting in REFUSED_SETTINGS):
        raise ValueError(f"config.json of {name}, a {component}, has numbers or settings that are not loaded here.")
    of_diffusers = component in NETWORKS
    stem = "diffusion_pytorch_model" if of_diffusers else "model"
    variant, files = weight_files(place, root, name, variants, stem)
    sizes = [torch.Size(shape).numel() for file in files for shape in shapes_in(file).values()]
    library: Any = diffusers_module() if of_diffusers else _transformers()
    if component in ELSEWHERE:
        library = importlib.import_module(f"{library.__name__}.{ELSEWHERE[component]}")
    factory = getattr(library, component)
    options: dict[str, Any] = {"variant": variant or None, "use_safetensors": True, "local_files_only": True}
    try:
        with torch.device("meta"):  # nothing is allocated before the numbers of weights agree
            if of_diffusers:
                skeleton = factory.from_config(dict(config))
                options["torch_dtype"] = dtype
            else:
                described = factory.config_class.from_dict({k: v for k, v in config.items() if "attn_impl" not in k})
                skeleton = factory(described)
                options |= {"dtype": dtype, "config": described}
    except Exception as error:
        raise ValueError(
            f"No {component} can be built from config.json of {name} ({type(error).__name__}: {str(error)[:300]})."
        ) from error
    wanted = sum(weight.numel() for weight in skeleton.parameters())
    if wanted > sum(sizes):
        raise ValueError(f"config.json of {name} describes {wanted:,} weights of a {component}; {sum(sizes):,} came.")
    try:
        with torch.random.fork_rng([]):
            network, found = factory.from_pretrained(files[0].parent, output_loading_info=True, **options)
    except Exception as error:
        raise ValueError(f"{name} holds no {component} ({type(error).__name__}: {str(error)[:300]}).") from error
    wrong = {what: list(names) for what, names in dict(found).items() if names}
    if wrong:
        raise ValueError(f"These are not the weights of this {component}, {name}: {str(wrong)[:300]}.")
    loaded: nn.Module = network.eval().requires_grad_(False)
    return loaded


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        raise ImportError('transformers is missing: pip install "latent-vizae[diffusers]" transformers.') from error
