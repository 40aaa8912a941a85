"""``load_decoder("hub:user/repo[@revision]")``: generators from the Hugging Face Hub, or from a folder of that form.

It loads a generator of the zoo (weights as safetensors, and a config.json with the name of its architecture), an ONNX
graph, or weights into a network that the user passes. No code of a repository is run: a config only chooses from an
allowlist, and pickles (.bin, .pt, .pth, .ckpt, .pkl), which can run code when they are opened, are neither opened nor
downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from latent_vizae.adapters.module import ModuleDecoder
from latent_vizae.adapters.onnx_graph import OnnxDecoder
from latent_vizae.adapters.zoo import ARCHITECTURES, LatentVAE, ZooGenerator
from latent_vizae.adapters.zoo.files import read_json, read_weights
from latent_vizae.inputs.checks import as_device
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE
from latent_vizae.storage.hub import fetch_folder, full_reference, list_files, parse_reference

__all__ = ["load_hub"]

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
LOADABLE = f"""What can be loaded:
- a generator of the zoo, saved with save_pretrained or push_to_hub: {MODEL_FILE} and {CONFIG_FILE};
- one ONNX graph (.onnx) with its weights inside; file="name.onnx" chooses among several;
- one .safetensors with the weights of your network: load_decoder("hub:...", module=MyGenerator())."""
CONVERT = """Pickled weights can run code when they are opened, so they are not. If you trust them, convert them:
    weights = torch.load("weights.bin", weights_only=True)
    safetensors.torch.save_file(weights, "model.safetensors")"""


class _Repository:
    """A folder, or a commit of a Hub repository of which only what is asked for gets downloaded."""

    def __init__(self, reference: str, token: str | bool | None, most_bytes: int | None) -> None:
        self.folder = Path(reference).expanduser().absolute()
        self.local = bool(reference) and self.folder.is_dir()
        self.source = f"hub:{self.folder if self.local else reference}"
        if not self.local:
            try:
                self._wanted = parse_reference(reference)
            except ValueError as error:
                raise ValueError(f"{error} There is no folder of that name either.") from error
            _check_path(self._wanted.subfolder)
            self._token, self._revision, self._most_bytes = token, self._wanted.revision, most_bytes

    def fetch(self, *patterns: str) -> None:
        """Download the files that match, unless the folder is local."""
        if self.local:
            return
        repo, subfolder, _ = self._wanted
        prefix = f"{subfolder}/" if subfolder else ""
        wanted = [prefix + pattern for pattern in patterns]
        folder, commit = fetch_folder(repo, wanted, self._revision, self._token, most_bytes=self._most_bytes)
        self._revision = commit  # what is fetched next is of the same commit
        self.folder, self.source = folder / subfolder, f"hub:{repo}/{prefix}".rstrip("/") + f"@{commit}"

    def files(self, suffix: str = "") -> list[str]:
        """Names of the files in the folder itself, fetched or not; offline, of those that are in the cache."""
        listed = None if self.local else list_files(self._wanted.repo, self._revision, self._token)
        if listed is not None:
            prefix = f"{self._wanted.subfolder}/" if self._wanted.subfolder else ""
            names = [name.removeprefix(prefix) for name in listed if name.startswith(prefix)]
            return [name for name in names if "/" not in name and Path(name).suffix.lower().endswith(suffix)]
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.is_file() and p.suffix.lower().endswith(suffix))

    def one(self, suffix: str, preferred: str) -> Path | None:
        """The preferred file, or the only one with that suffix; None if there is none."""
        names = self.files(suffix)
        if len(names) > 1 and preferred not in names:
            raise ValueError(
                f"{self.source} holds {len(names)} {suffix} files, {_few(names)}: choose, file={names[0]!r}."
            )
        if not names:
            return None
        name = preferred if preferred in names else names[0]
        self.fetch(name)
        return self.folder / name

    def named(self, file: str) -> Path:
        """The file of that name."""
        self.fetch(file)
        if not (self.folder / file).is_file():
            raise FileNotFoundError(f"{self.source} has no file {file!r}.")
        return self.folder / file


def load_hub(
    reference: str,
    *,
    module: nn.Module | None = None,
    latent_shape: tuple[int, ...] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    output_range: tuple[float, float] | Literal["logits"] = (0.0, 1.0),
    file: str | None = None,
    taef2: str | None = None,
    subfolder: str | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    token: str | bool | None = None,
    most_bytes: int | None = None,
) -> ZooGenerator | OnnxDecoder | ModuleDecoder:
    """The entry point of the scheme ``hub``.

    Args:
        reference: ``user/repo[/subfolder or file][@revision]``, a folder, or a file.
        module: a network to load the repository's weights into, strictly. It is unchanged if that fails, and its mode
            stays.
        latent_shape: shape of one code; by default the generator's own (``module.latent_shape``, the graph's input).
        image_shape: (C, H, W) of one image; needed where the output is flat.
        output_range: values of black and white in the output of a module or graph, or "logits".
        file: the .safetensors (for a module) or .onnx file; needed where there are several. It may also be the end
            of the reference.
        taef2: for a `latent_vizae.adapters.zoo.LatentVAE`: the folder or repository with ``taef2.safetensors``.
        subfolder: the same as in the reference.
        revision: the same as in the reference.
        device: of the decoder; by default the CPU, or the module's. ONNX graphs stay on the CPU.
        token: of a Hub user; by default the one that is logged in.
        most_bytes: most bytes of one download, configuration and weights; by default any number.

    Returns:
        A decoder. Its ``source`` includes the commit, so that ``load_decoder(source, **options)`` loads the same one;
        it is None for a module.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: an ONNX graph, and onnxruntime is not installed.
        TypeError: ``module`` is not an ``nn.Module``.
        ValueError: the repository holds nothing that can be loaded safely, or its files are damaged, foreign, too
            large, or do not fit.
        huggingface_hub.errors.HfHubHTTPError: the Hub refused.

    Example:
        >>> from latent_vizae import load_decoder
        >>> from latent_vizae.adapters.zoo import Table1Autoencoder
        >>> Table1Autoencoder().save_pretrained("my-generator")
        >>> f_d = load_decoder("hub:my-generator")
        >>> f_d(torch.zeros(2, 10)).shape
        torch.Size([2, 1, 28, 28])
    """
    if module is not None and not isinstance(module, nn.Module):
        raise TypeError(f"module is an nn.Module to load the weights into, got {type(module).__name__}.")
    if device is not None:
        as_device(device)
    reference, named = _apart(full_reference(reference, subfolder, revision))
    if file is not None and named is not None:
        raise ValueError(f"Two files came, {named!r} in the reference and file={file!r}.")
    file = named if file is None else file
    if file is not None and not (file == MODEL_FILE and module is None):
        _check_path(file)
        if not file.endswith(".onnx" if module is None else ".safetensors"):
            raise ValueError(
                f"file names an .onnx graph, or with module= the .safetensors with its weights, got {file!r}. An "
                "autoencoder in one file: load_decoder('diffusers:...'). "
                f"{CONVERT if file.endswith(PICKLES) else ''}".rstrip()
            )
    repository = _Repository(reference, token, most_bytes)
    if module is not None:
        return _into_module(repository, module, file, latent_shape, image_shape, output_range, device)
    if file is None or file == MODEL_FILE:
        repository.fetch(CONFIG_FILE)
        config = repository.folder / CONFIG_FILE
        described = read_json(config) if config.is_file() else None
        if isinstance(described, dict) and "latent_vizae" in described:
            return _from_zoo(repository, described, latent_shape, image_shape, output_range, taef2, device)
    if taef2 is not None:
        raise ValueError(f"{repository.source} is not a LatentVAE: taef2= has no use here.")
    graph = repository.one(".onnx", "model.onnx") if file is None else repository.named(file)
    if graph is None or file == MODEL_FILE:
        raise ValueError(_nothing(repository))
    if device is not None and as_device(device).type != "cpu":
        raise ValueError(f"ONNX graphs run on the CPU here, asked for device={str(device)!r}.")
    decoder = OnnxDecoder(graph, _tuple(latent_shape), _tuple(image_shape), _tuple(output_range))
    decoder.source = repository.source
    said = {"file": file, "latent_shape": latent_shape, "image_shape": image_shape}
    decoder.options = {
        key: value if key == "file" else list(value) for key, value in said.items() if value is not None
    }
    if _tuple(output_range) != (0.0, 1.0):
        decoder.options["output_range"] = output_range if isinstance(output_range, str) else list(output_range)
    return decoder


def _apart(reference: str) -> tuple[str, str | None]:
    """A folder or repository, and the file that a reference ends with, if it does.

    Raises:
        FileNotFoundError: there is no such file here, and it names none of a repository.
    """
    path = Path(reference).expanduser()
    if path.is_file():
        return str(path.parent), path.name
    name, at, revision = reference.partition("@")
    folder, _, last = name.rpartition("/")
    if path.is_dir() or not last.lower().endswith((".onnx", ".safetensors", *PICKLES)):
        return reference, None
    if "/" not in folder or path.is_absolute():
        raise FileNotFoundError(f"There is no file {reference!r}.")
    return f"{folder}{at}{revision}", last


def _from_zoo(
    repository: _Repository,
    described: dict[str, Any],
    latent_shape: Any,
    image_shape: Any,
    output_range: Any,
    taef2: str | None,
    device: Any,
) -> ZooGenerator:
    if "architecture" not in described and "dim" in described:
        raise ValueError(f"{repository.source} holds a map v, not a generator: VizAE.from_pretrained loads it.")
    if described.get("architecture") in list(ARCHITECTURES):  # else it is refused before its weights are fetched
        repository.fetch(CONFIG_FILE, MODEL_FILE)
    generator = ZooGenerator.from_folder(repository.folder)
    for name, said in (("latent_shape", latent_shape), ("image_shape", image_shape)):
        if said is not None and tuple(said) != tuple(getattr(generator, name)):
            raise ValueError(f"{name}={tuple(said)} was given; this generator has {tuple(getattr(generator, name))}.")
    if _tuple(output_range) != (0.0, 1.0):
        raise ValueError(f"A generator of the zoo makes images in [0, 1]; output_range={output_range!r} was given.")
    if taef2 is not None and not isinstance(generator, LatentVAE):
        raise ValueError(f"taef2= is for a LatentVAE; {repository.source} holds a {type(generator).__name__}.")
    generator.source = repository.source
    if taef2 is not None:  # a folder by its whole path: a saved map finds it from elsewhere
        place = Path(taef2).expanduser()
        generator.options = {"taef2": str(place.absolute()) if place.is_dir() else taef2}
    return generator if device is None else generator.to(device)


def _into_module(
    repository: _Repository,
    module: nn.Module,
    file: str | None,
    latent_shape: Any,
    image_shape: Any,
    output_range: Any,
    device: Any,
) -> ModuleDecoder:
    latent_shape = getattr(module, "latent_shape", None) if latent_shape is None else latent_shape
    image_shape = getattr(module, "image_shape", None) if image_shape is None else image_shape
    if latent_shape is None:
        raise ValueError(f"{type(module).__name__} has no latent_shape: pass latent_shape=(n,).")
    decoder = ModuleDecoder(module, _tuple(latent_shape), _tuple(image_shape), _tuple(output_range))
    state = module.state_dict()
    if any(tensor.is_meta for tensor in state.values()):
        raise ValueError("The module is on the device 'meta', without memory for weights. Build it on the CPU.")
    weights = repository.one(".safetensors", MODEL_FILE) if file is None else repository.named(file)
    if weights is None:
        raise ValueError(_nothing(repository))
    module.load_state_dict(read_weights(weights, state, exact=False), strict=True)
    return decoder if device is None else decoder.to(device)


def _nothing(repository: _Repository) -> str:
    """The error message for a repository in which nothing can be loaded."""
    names = repository.files()
    entries = _few(names) if names else "nothing that can be loaded"
    lines = [f"{repository.source} holds {entries}."]
    config = repository.folder / CONFIG_FILE
    if config.is_file() and isinstance(described := read_json(config), dict):
        asked = [described.get(key) for key in ("_class_name", "architectures", "architecture", "model_type")]
        if named := next((value for value in asked if value), None):
            lines.append(
                f"Its {CONFIG_FILE} names {str(named)[:80]!r}; classes are not imported by a name from a file."
            )
    if any(name.lower().endswith(PICKLES) for name in names):
        lines.append(CONVERT)
    return "\n".join([*lines, LOADABLE])


def _few(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _tuple(value: Any) -> Any:
    """Lists, as JSON has them, to tuples."""
    return tuple(value) if isinstance(value, list) else value


def _check_path(path: str) -> None:
    """Raise ValueError for a path that leaves its folder or has wildcards."""
    if not isinstance(path, str):
        raise TypeError(f"A file of a repository is a name, got {type(path).__name__}.")
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts) or any(letter in path for letter in "\\*?[]:\0"):
        raise ValueError(f"A file of a repository is a relative path without '..' and wildcards, got {path!r}.")
