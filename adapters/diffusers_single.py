"""One .safetensors file with an autoencoder in it, as such files are passed around: without a config.json.

The file may hold a whole checkpoint; the names are those of CompVis's code (Stable Diffusion, SDXL, FLUX) or of
diffusers. The architecture follows from the shapes. How codes are scaled does not: for that there is a table.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.adapters.diffusers_building import build, diffusers_module, plausible, shapes_in, tensors_in

__all__ = ["load_single_file"]

PREFIXES = ("first_stage_model.", "vae.", "")
PARTS = ("encoder", "decoder", "quant_conv", "post_quant_conv", "bn")

OF_TRAINING = ("loss.", "model_ema.")
MOST_LEVELS = 16

SCALING = {
    "conditioner.embedders.": ("SDXL", 0.13025, None),
    "joint_blocks.": ("Stable Diffusion 3", 1.5305, 0.0609),
    "double_blocks.": ("FLUX.1", 0.3611, 0.1159),
    "model.diffusion_model.input_blocks.": ("Stable Diffusion 1 and 2", 0.18215, None),
}
"""Scaling and shift factors of models, by a part of a name in their whole checkpoints."""
USUAL = {4: ("model.diffusion_model.input_blocks.", "conditioner.embedders."), 16: ("double_blocks.", "joint_blocks.")}
"""What an autoencoder alone is taken for, by the channels of its latents, and what it may be as well."""


def load_single_file(
    file: Path, described: dict[str, Any] | None, scaling_factor: float | None, shift_factor: float | None
) -> Any:
    """The autoencoder in a file.

    Args:
        file: .safetensors.
        described: the configuration beside it, if there is one; used where the weights are those that it asks for.
        scaling_factor: by which codes are multiplied before diffusion, ``code = (latent - shift) * scaling``.
        shift_factor: see there.

    Raises:
        ImportError: diffusers is not installed.
        ValueError: no autoencoder that is known is in the file, or how its codes are scaled is neither said nor known.
    """
    shapes = shapes_in(file)
    names = _names_of_parts(shapes)
    meta = {name: torch.empty(shapes[old], device="meta") for name, old in names.items()}
    levels = _levels(names)
    converted = {name: list(tensor.shape) for name, tensor in _converted(meta, levels).items()}

    def read(wanted: Mapping[str, str]) -> dict[str, Tensor]:
        state = _converted(tensors_in(file, names), levels)
        return {name: state[old] for name, old in wanted.items()}

    if described is not None:
        try:
            return build(described, converted, read)
        except ValueError:  # it may be another model's
            if "encoder.down_blocks.0.resnets.0.conv1.weight" not in converted:
                raise
    config = _config(file, converted)
    if config["_class_name"] == "AutoencoderKL":
        config |= _scaling(file, shapes, config["latent_channels"], scaling_factor, shift_factor)
    return build(config, converted, read)


def _names_of_parts(shapes: Mapping[str, Any]) -> dict[str, str]:
    """Names of an autoencoder's weights, to those in the file, which may hold more."""
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}decoder.conv_in.weight" in shapes), "")
    names = {name.removeprefix(prefix): name for name in shapes if name.startswith(prefix)}
    whole = prefix or any(name.startswith("model.diffusion_model.") for name in shapes)
    return {
        name: old
        for name, old in names.items()
        if not name.startswith(OF_TRAINING) and (not whole or name.split(".")[0] in PARTS)
    }


def _levels(names: Mapping[str, str]) -> int:
    """How many resolutions an autoencoder with CompVis's names has; 0 with others."""
    found = {name.split(".")[2] for name in names if name.startswith("decoder.up.")}
    return len(found & {str(level) for level in range(MOST_LEVELS)})


def _converted(state: dict[str, Tensor], levels: int) -> dict[str, Tensor]:
    """CompVis's names to those of diffusers, by its own converter.

    Raises:
        ValueError: it does not know all of them.
    """
    if levels == 0:
        return state
    utils: Any = import_module(f"{diffusers_module().__name__}.loaders.single_file_utils")
    inside = {"encoder.quant_conv.": "quant_conv.", "decoder.post_quant_conv.": "post_quant_conv."}  # FLUX.2's
    for old, new in inside.items():
        state = {name.replace(old, new): tensor for name, tensor in state.items()}
    converted: dict[str, Tensor] = utils.convert_ldm_vae_checkpoint(
        state, {"down_block_types": [""] * levels, "up_block_types": [""] * levels}
    )
    converted |= {name: tensor for name, tensor in state.items() if name.startswith("bn.")}
    if len(converted) < len(state):  # it leaves out what it does not know
        raise ValueError(f"{len(state) - len(converted)} of {len(state)} weights are not those of an autoencoder.")
    return converted


def _config(file: Path, shapes: Mapping[str, list[int]]) -> dict[str, Any]:
    """The configuration of an AutoencoderKL, or of FLUX.2's, from the shapes of its weights.

    Raises:
        ValueError: they are those of something else.
    """
    try:
        widths: list[int] = []
        while (name := f"encoder.down_blocks.{len(widths)}.resnets.0.conv1.weight") in shapes:
            widths.append(shapes[name][0])
        depth = 0
        while f"encoder.down_blocks.0.resnets.{depth}.conv1.weight" in shapes:
            depth += 1
        config = {
            "_class_name": "AutoencoderKLFlux2" if "bn.running_mean" in shapes else "AutoencoderKL",
            "in_channels": shapes["encoder.conv_in.weight"][1],
            "out_channels": shapes["decoder.conv_out.weight"][0],
            "latent_channels": shapes["decoder.conv_in.weight"][1],
            "block_out_channels": widths,
            "down_block_types": ["DownEncoderBlock2D"] * len(widths),
            "up_block_types": ["UpDecoderBlock2D"] * len(widths),
            "layers_per_block": depth,
            "sample_size": 512,
            "use_quant_conv": "quant_conv.weight" in shapes,
            "use_post_quant_conv": "post_quant_conv.weight" in shapes,
            "mid_block_add_attention": any(".mid_block.attentions." in name for name in shapes),
        }
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"{file.name} holds no autoencoder that its weights alone describe ({error} is missing). Described so are "
            "those of Stable Diffusion, SDXL and FLUX; of others load the folder, with config.json."
        ) from error
    if not plausible(config):
        raise ValueError(f"{file.name} has numbers of layers that no autoencoder has.")
    return config


def _scaling(
    file: Path, shapes: Mapping[str, Any], channels: int, scaling_factor: float | None, shift_factor: float | None
) -> dict[str, float | None]:
    """What the codes of an AutoencoderKL are multiplied by and shifted; a warning where that is a guess.

    Raises:
        ValueError: nothing tells.
    """
    if scaling_factor is not None:
        return {"scaling_factor": scaling_factor, "shift_factor": shift_factor}
    found = next((known for part, known in SCALING.items() if any(part in name for name in shapes)), None)
    if found is None:
        if channels not in USUAL:
            raise ValueError(
                f"{file.name} does not say how its codes are scaled, and nothing with {channels} channels is known: "
                "say scaling_factor=, and shift_factor= where there is one."
            )
        found, other = (SCALING[part] for part in USUAL[channels])
        warnings.warn(
            f"{file.name} does not say how its codes are scaled; it is taken for {found[0]}'s, "
            f"scaling_factor={found[1]}, shift_factor={found[2]}. Of {other[0]} say scaling_factor={other[1]}, "
            f"shift_factor={other[2]}.",
            stacklevel=5,
        )
    return {"scaling_factor": found[1], "shift_factor": found[2]}
