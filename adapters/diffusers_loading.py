"""``load_decoder("diffusers:user/repo")``: a `DiffusersDecoder` from a folder or from the Hub.

No downloaded code is run: weights are read from safetensors only, and classes come from an allowlist.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from latent_vizae.adapters.diffusers_vae import CLIP, IMAGE, NO_IMAGES, REFUSED, DiffusersDecoder
from latent_vizae.inputs.checks import as_device
from latent_vizae.storage.hub import fetch_folder, parse_reference

__all__ = ["load_diffusers"]

SUBFOLDERS = ("", "vae", "movq", "vqvae")
WEIGHTS = "diffusion_pytorch_model"
VARIANTS = ("", ".fp16", ".bf16")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

USUAL_BLOCKS, USUAL_LAYERS, MOST_LAYERS, MOST_DEPTH = 8, 8, 512, 8
"""By default those of diffusers have up to 6 blocks, or 36 layers in one. Of configurations: how deep they nest."""


def load_diffusers(
    reference: str,
    *,
    image_size: int | tuple[int, int] | list[int] | None = None,
    num_frames: int = 1,
    latent_shape: tuple[int, ...] | list[int] | None = None,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device = "cpu",
    token: str | bool | None = None,
    most_bytes: int | None = None,
) -> DiffusersDecoder:
    """The entry point of the scheme ``diffusers``: an autoencoder from a folder or from the Hub.

    Only its config.json and its weights are downloaded. In the repository of a pipeline it is looked for in ``vae``,
    ``movq`` and ``vqvae``.

    Args:
        reference: an existing folder, or ``user/repo[/subfolder][@revision]``.
        image_size: side of an image in pixels, or (height, width); by default the size in its config.json, at most
            256.
        num_frames: frames of a clip, for video autoencoders.
        latent_shape: shape of one code, for LTX2VideoDiffusionDecoderModel, which has no encoder.
        dtype: of its weights: "float32", "float16", "bfloat16", or the torch type; codes and images stay float32.
        device: of the decoder.
        token: of a Hub user; by default the one that is logged in.
        most_bytes: most bytes of one download, configuration or weights; by default any number.

    Returns:
        The decoder; its ``source`` includes the commit.

    Raises:
        ImportError: diffusers is not installed, or too old for the class.
        ValueError: there is no autoencoder of images, no safetensors weights or ones that do not fit its config.json;
            it does not work on this size, or it is larger than ``most_bytes``.
        huggingface_hub.errors.RepositoryNotFoundError: no such repository, or it is private.

    Example:
        >>> f_d = load_diffusers("madebyollin/taesd", image_size=64)  # doctest: +SKIP
        >>> f_d.latent_shape, f_d.options  # doctest: +SKIP
        ((4, 8, 8), {'image_size': 64})
    """
    number_type = dtype if isinstance(dtype, torch.dtype) else DTYPES.get(str(dtype))
    if number_type not in DTYPES.values():
        raise ValueError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}.")
    target = as_device(device)
    diffusers = _diffusers()
    get, base, name = _opened(reference, token, most_bytes)
    places = [f"{base}/{place}".strip("/") for place in SUBFOLDERS]
    small = ("config.json", *(f"{WEIGHTS}.safetensors.index{variant}.json" for variant in VARIANTS))
    root = get([f"{place}/{file}".strip("/") for place in places for file in small])
    place, config = _find(root, places, reference)
    vae = _built(diffusers, config, _weight_files(get, root, place))
    kept = {"bn", "latents_mean", "latents_std", *(getattr(vae, "_keep_in_fp32_modules", None) or ())}
    for path, tensor in (*vae.named_parameters(), *vae.named_buffers()):
        if tensor.is_floating_point() and not kept & set(path.split(".")):
            tensor.data = tensor.data.to(number_type)
    decoder = DiffusersDecoder(vae.to(target), image_size, num_frames, latent_shape)
    decoder.source = name(place)
    if number_type != torch.float32:
        decoder.options["dtype"] = str(number_type).removeprefix("torch.")
    return decoder


def _diffusers() -> Any:
    try:
        return importlib.import_module("diffusers")
    except ModuleNotFoundError as error:
        raise ImportError('diffusers is missing: pip install "latent-vizae[diffusers]".') from error


def _opened(
    reference: str, token: str | bool | None, most_bytes: int | None
) -> tuple[Callable[[list[str]], Path], str, Callable[[str], str]]:
    """A folder or a repository: what makes files of these names be there, where to look, what a place is called."""
    folder = Path(reference).expanduser()
    if reference and folder.is_dir():
        return lambda names: folder, "", lambda place: f"diffusers:{folder.absolute()}"
    try:
        repo, base, revision = parse_reference(reference)
    except ValueError as error:
        raise ValueError(f"There is no folder {reference!r}. {error}") from error
    commits = [revision]

    def get(names: list[str]) -> Path:
        root, commit = fetch_folder(repo, names, commits[-1], token, most_bytes=most_bytes)
        commits.append(commit)  # the next files come from the same one
        return root

    return get, base, lambda place: f"diffusers:{repo}/{place}".rstrip("/") + f"@{commits[-1]}"


def _read(path: Path, largest: int) -> dict[str, Any]:
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


def _find(root: Path, places: list[str], reference: str) -> tuple[str, dict[str, Any]]:
    """The first place with an autoencoder of images, and its configuration."""
    others = []
    for place in places:
        path = root / place / "config.json"
        if path.is_file():
            config = _read(path, 2**20)
            kind = config.get("_class_name")
            if isinstance(kind, str) and kind in IMAGE | CLIP:
                if not _plausible(config):
                    raise ValueError(f"config.json of a {kind} has numbers that no autoencoder has.")
                return place, config
            others.append(kind)
    for kind in others:
        if isinstance(kind, str) and kind in REFUSED:
            raise ValueError(NO_IMAGES.format(kind, REFUSED[kind]))
    raise ValueError(
        f"No autoencoder of diffusers in {reference!r}: config.json was looked for in "
        + ", ".join(place or "." for place in places)
        + (f", found {', '.join(str(kind)[:80] for kind in others)}." if others else ".")
        + " In another folder: user/repo/subfolder. Of another library: load_decoder('module', module=...)."
    )


def _plausible(config: dict[str, Any]) -> bool:
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


def _weight_files(get: Callable[[list[str]], Path], root: Path, place: str) -> list[Path]:
    """The safetensors files of one set of weights."""
    prefix = f"{place}/".lstrip("/")
    for variant in VARIANTS:
        index, names = root / place / f"{WEIGHTS}.safetensors.index{variant}.json", [f"{WEIGHTS}{variant}.safetensors"]
        if index.is_file():
            shards = _read(index, 2**26).get("weight_map")
            names = sorted(map(str, set(shards.values()))) if isinstance(shards, dict) else []
            if not names or not all(re.fullmatch(r"\w[\w.-]*\.safetensors", name) for name in names):
                raise ValueError(f"{index.name} names files that are no safetensors beside it: {names[:3]}.")
        folder = get([prefix + name for name in names]) / place
        missing = [name for name in names if not (folder / name).is_file()]
        if not missing:
            return [folder / name for name in names]
        if index.is_file():
            raise ValueError(f"{index.name} names files that are missing: {', '.join(missing[:3])}.")
    raise ValueError(
        f"There are no weights {prefix}{WEIGHTS}.safetensors. Weights in pickles (.bin, .pt, .ckpt) are not read, "
        "since a pickle can run any program: convert them where you trust them, once, with "
        "from_pretrained(...).save_pretrained(folder, safe_serialization=True) of diffusers, and load the folder."
    )


def _built(diffusers: Any, config: dict[str, Any], files: list[Path]) -> Any:
    """The autoencoder with all of its weights and no others."""
    kind = config["_class_name"]
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
    state: dict[str, Tensor] = {}
    wrong: list[str] = []
    try:
        for file in files:
            with safe_open(file, "pt") as header:
                names = {_modern(name, wanted): name for name in header.keys()}  # noqa: SIM118 (it is no dictionary)
                wrong += [name for name in names if name not in wanted and not name.startswith(optional)]
                shapes = {name: header.get_slice(old).get_shape() for name, old in names.items() if name in wanted}
            wrong += [f"{name} {shape}, not {wanted[name]}" for name, shape in shapes.items() if shape != wanted[name]]
            if not wrong:
                loaded = load_file(file)
                state |= {name: loaded[names[name]] for name in shapes}
    except SafetensorError as error:
        raise ValueError(f"{file.name} is broken: {error}.") from error
    missing = [] if wrong else [name for name in wanted if name not in state and "num_batches_tracked" not in name]
    if wrong or missing:
        raise ValueError(
            f"These are not the weights of this {kind}: {len(missing)} missing, {len(wrong)} wrong or too many "
            f"({'; '.join((missing + wrong)[:3])})."
        )
    with torch.random.fork_rng([]):
        vae = factory.from_config(dict(config))
    vae.load_state_dict(state, strict=False)
    return vae


def _modern(name: str, wanted: dict[str, Any]) -> str:
    """Attention in weights from before 2023 has other names."""
    new = name
    for old, now in {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}.items():
        new = new.replace(f".{old}.", f".{now}.")
    return new if name not in wanted and new in wanted else name
