"""The base class of the zoo's generators: a module with JSON arguments that saves, pushes and loads itself.

A folder holds ``model.safetensors``, ``config.json`` and a card. The architecture in ``config.json`` is looked up in
`ARCHITECTURES` only: no name from a file is imported. The network is built without memory and compared with the header
of the weights before the weights are read.

A new generator is a class and one decorator:

    @architecture
    class Tiny(ZooGenerator):
        latent_shape, image_shape = (8,), (1, 4, 4)

        def __init__(self, hidden: int = 32) -> None:
            super().__init__(hidden=hidden)
            self.layers = nn.Sequential(nn.Linear(8, hidden), nn.Tanh(), nn.Linear(hidden, 16), nn.Sigmoid())

        def decode(self, codes: Tensor) -> Tensor:
            return self.layers(codes).unflatten(1, self.image_shape)
"""

from __future__ import annotations

import inspect
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from latent_vizae.adapters.zoo.files import (
    FORMAT,
    HALF,
    carried_config,
    checked_config,
    differences,
    read_json,
    read_weights,
    signature,
)
from latent_vizae.inputs.checks import as_device
from latent_vizae.inputs.surroundings import own_surroundings
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE, PARTIAL, atomic_file, checksum, safetensors_bytes
from latent_vizae.storage.hub import fetch_folder, parse_reference, push_folder

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ARCHITECTURES", "ZooGenerator", "architecture"]

ARCHITECTURES: dict[str, type[ZooGenerator]] = {}
"""The allowlist of architectures in ``config.json``."""

Generator = TypeVar("Generator", bound="ZooGenerator")


def architecture(generator: type[Generator]) -> type[Generator]:
    """Put a class on the allowlist, under its name.

    Raises:
        ValueError: another class has that name.
    """
    name = generator.__name__
    known = ARCHITECTURES.get(name, generator)
    if (known.__module__, known.__qualname__) != (generator.__module__, generator.__qualname__):
        raise ValueError(f"The zoo has an architecture {name!r} already, {known.__module__}.{name}. Rename this one.")
    ARCHITECTURES[name] = generator
    return generator


class ZooGenerator(nn.Module):
    """A generator with the decoder's contract: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].

    Subclasses set ``latent_shape`` and ``image_shape``, take JSON-native arguments and pass them to
    ``super().__init__`` by keyword, keep every tensor in the state dict, define ``decode``, and may define ``encode``
    (images to codes) and ``sample(count, seed)``.

    Args:
        config: the arguments of the subclass.

    Attributes:
        config: the same, as they are saved.
        source: the string for `latent_vizae.load_decoder`, or None.
        options: the keywords for it.

    Example:
        >>> from latent_vizae.adapters.zoo import Table1Autoencoder, ZooGenerator
        >>> Table1Autoencoder().save_pretrained("my-generator")
        >>> f_d = ZooGenerator.from_pretrained("my-generator")
        >>> type(f_d).__name__, f_d(torch.zeros(2, 10)).shape, f_d.source
        ('Table1Autoencoder', torch.Size([2, 1, 28, 28]), 'hub:/.../my-generator')
    """

    latent_shape: tuple[int, ...]
    image_shape: tuple[int, int, int]

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = config
        self.source: str | None = None
        self.options: dict[str, Any] = {}

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) to images (B, C, H, W) in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} defines no decode(codes).")

    @own_surroundings()
    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) to images (B, C, H, W) in [0, 1]."""
        return self.decode(codes)

    def save_pretrained(self, folder: str | Path, *, half: bool = False) -> None:
        """Write ``model.safetensors``, ``config.json`` and a card into a folder.

        The file of the weights has the configuration too and is replaced first, in one step: a save that is killed
        leaves the old generator or the new one, whole. Weights in other precisions are saved as float32.

        Args:
            folder: a new or empty folder, or one that holds a generator of the zoo.
            half: round parameters (not buffers) to float16, for half the size. They load as float32; saving them
                in half precision again changes nothing.

        Raises:
            ValueError: the class is not on the allowlist, its ``config`` does not build this network, a weight is too
                large for half precision, or the folder holds something else or cannot be written.
        """
        self._save(Path(folder), "hub:this-folder", half)

    def _save(self, folder: Path, source: str, half: bool = False) -> None:
        name = type(self).__name__
        if ARCHITECTURES.get(name) is not type(self):
            raise ValueError(f"{name} is not on the zoo's allowlist, so it could not be loaded: add @architecture.")
        full = {"architecture": name, "config": self.config, "format": FORMAT, "latent_vizae": version("latent-vizae")}
        full |= {"precision": HALF} if half else {}
        try:
            config = checked_config(json.loads(json.dumps(full)), f"{name}'s config")["config"]
        except TypeError as error:
            raise ValueError(f"The config of {name} is not JSON: {error}.") from error
        wanted = _stored(_blank(type(self), config, f"{name}'s config"), half)
        mine = {key: tensor.detach() for key, tensor in self.state_dict().items()}
        if wrong := differences(signature(mine, exact=False), signature(wanted, exact=False)):
            raise ValueError(f"{name}(**{config}) does not build this network, so it cannot be saved: {wrong}.")
        tensors = {key: mine[key].to("cpu", wanted[key].dtype).clone().contiguous() for key in wanted}
        if broken := [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
            if half and all(torch.isfinite(mine[key]).all() for key in broken):
                raise ValueError(f"{name} has weights that half precision cannot hold (65,504 at most): half=False.")
            raise ValueError(f"{name} has NaN or infinity in {', '.join(broken[:4])}, so it could not be loaded.")
        _check_folder(folder)
        with (
            atomic_file(folder / "README.md") as readme,
            atomic_file(folder / CONFIG_FILE) as described,
            atomic_file(folder / MODEL_FILE) as model,
        ):  # replaced in the reverse order, the model first
            readme.write_text(_card(self, source, half), encoding="utf-8")
            described.write_text(json.dumps(full, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            with model.open("wb") as file:
                text = json.dumps(full, sort_keys=True)
                header = {"format": "pt", "config": text, "sha256": checksum(text, tensors)}
                file.write(safetensors_bytes(tensors, header))
                file.flush()
                os.fsync(file.fileno())

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Save and upload to the Hugging Face Hub, see `latent_vizae.storage.hub.push_folder`.

        Returns:
            Address of the commit or of the pull request.

        Raises:
            ValueError: ``repo`` is not ``user/name``, or it cannot be saved.
            huggingface_hub.errors.HfHubHTTPError: the Hub refused.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "generator"
            self._save(folder, f"hub:{repo}")
            return push_folder(
                folder,
                repo,
                message=f"{type(self).__name__} with latent_vizae",
                private=private,
                token=token,
                revision=revision,
                create_pr=create_pr,
            )

    @classmethod
    def from_pretrained(
        cls,
        reference: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load what `save_pretrained` or `push_to_hub` wrote, bit for bit. No code is run.

        Args:
            reference: a folder, or ``user/repo[/subfolder][@revision]`` on the Hub.
            revision: branch, tag or commit on the Hub; by default the main branch.
            token: of a Hub user; by default the one that is logged in.
            device: of the generator.

        Returns:
            The generator, in evaluation mode, its weights without gradients.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged, foreign, too large or of a newer version, or it is another generator.
            huggingface_hub.errors.HfHubHTTPError: the Hub refused.
        """
        place = as_device(device)
        if (folder := Path(reference).expanduser()).is_dir():
            if revision is not None:
                raise ValueError(f"{reference} is a folder; only the Hub has revisions, got revision={revision!r}.")
            source = f"hub:{folder.absolute()}"
        else:
            parsed = parse_reference(str(reference))
            if revision is not None and parsed.revision is not None:
                raise ValueError(f"Two revisions were given, {parsed.revision!r} and {revision!r}.")
            prefix = f"{parsed.subfolder}/" if parsed.subfolder else ""
            wanted = [prefix + name for name in (CONFIG_FILE, MODEL_FILE)]
            folder, commit = fetch_folder(parsed.repo, wanted, revision or parsed.revision, token)
            folder, source = folder / parsed.subfolder, f"hub:{parsed.repo}/{prefix}".rstrip("/") + f"@{commit}"
        generator = cls.from_folder(folder).to(place)
        generator.source = source
        return generator

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """`from_pretrained` for a folder on disk: nothing is downloaded, and ``source`` stays None."""
        described, weights = folder / CONFIG_FILE, folder / MODEL_FILE
        if not described.is_file():
            raise FileNotFoundError(f"{folder} is not a saved generator: {CONFIG_FILE} is missing.")
        config = checked_config(read_json(described), str(described))
        _check_known(config["architecture"], described)
        if not weights.is_file():
            raise FileNotFoundError(f"{folder} is not a saved generator: {MODEL_FILE} is missing.")
        carried = carried_config(weights)
        if carried is not None and carried != config:
            warnings.warn(f"{described} does not describe {MODEL_FILE} beside it; the latter is used.", stacklevel=3)
            config = carried
            _check_known(config["architecture"], weights)
        name = config["architecture"]
        architecture = ARCHITECTURES[name]
        if not issubclass(architecture, cls):
            raise ValueError(f"{folder} holds a {name}, not a {cls.__name__}: ZooGenerator.from_pretrained takes any.")
        generator = _blank(architecture, config["config"], str(described))
        tensors = read_weights(weights, _stored(generator, config["half"]))
        whole = {key: tensors[key].to(tensor.dtype) for key, tensor in generator.state_dict().items()}
        generator.load_state_dict(whole, strict=True, assign=True)
        if any(tensor.is_meta for tensor in (*generator.parameters(), *generator.buffers())):
            raise ValueError(f"{name} has tensors outside of its state dict; an architecture of the zoo must not.")
        in_the_order_of_pixels(generator)
        return generator.eval().requires_grad_(False)


def in_the_order_of_pixels(module: nn.Module) -> None:
    """Set weights of convolutions to channels last, which takes two thirds of the time on a CPU."""
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def _check_known(name: str, where: Path) -> None:
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(
            f"{where} names the architecture {name[:60]!r}, which is not in the zoo: {known}. "
            "Classes are not imported by a name from a file. Pass the network: "
            "load_decoder('hub:...', module=MyGenerator())."
        )


def _blank(generator: type[Generator], config: Mapping[str, Any], where: str) -> Generator:
    """The network without values or memory."""
    try:
        with torch.device("meta"):
            return generator(**config).float()  # whatever torch's default is
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError) as error:
        raise ValueError(f"{where} makes no {generator.__name__}: {error}") from error


def _stored(generator: ZooGenerator, half: bool) -> dict[str, Tensor]:
    """The state dict as it is stored: in half precision parameters are float16, buffers unchanged."""
    learned = dict(generator.named_parameters()) if half else {}
    return {name: x.half() if name in learned else x for name, x in generator.state_dict().items()}


def _check_folder(folder: Path) -> None:
    """Make the folder; raise ValueError if it holds something else than a generator of the zoo."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"A generator is saved as a folder; {folder} is a file.")
    holds = [] if not folder.is_dir() else [path for path in folder.iterdir() if not PARTIAL.fullmatch(path.name)]
    if holds:
        reason = "its weights carry no configuration"
        try:
            ours = carried_config(folder / MODEL_FILE) is not None
        except ValueError as error:
            ours, reason = False, str(error)
        if not ours:
            raise ValueError(
                f"{folder} holds something else than a generator of the zoo and was not changed: {reason}."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error


def _card(generator: ZooGenerator, source: str, half: bool) -> str:
    """The README.md of a saved generator."""
    name = type(generator).__name__
    rows = "".join(f"| {key} | {value} |\n" for key, value in generator.config.items())
    idea = inspect.cleandoc(type(generator).__doc__ or "").split("\nArgs:")[0].strip()
    arguments = f"\n| built with | |\n|---|---|\n{rows}" if rows else ""
    return f"""---
library_name: latent-vizae
tags:
- latent-vizae
- latent-vizae-generator
---
# {name}

{idea}

A generator of `latent_vizae`: codes of shape {tuple(generator.latent_shape)} to images of shape
{tuple(generator.image_shape)} in [0, 1].{" Its weights are stored in half precision." if half else ""}

```python
from latent_vizae import load_decoder

f_d = load_decoder("{source}")
```
{arguments}"""
