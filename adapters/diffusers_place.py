"""Where weights of diffusers are: a folder, a file, or a commit of a repository of the Hub."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from latent_vizae.adapters.diffusers_building import read_object
from latent_vizae.storage.hub import fetch_folder, parse_reference

__all__ = ["CONVERT", "VARIANTS", "Place", "as_dtype", "index_name", "weight_files"]

WEIGHTS = "diffusion_pytorch_model"
VARIANTS = ("", "fp16", "bf16")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
CONVERT = (
    "Weights in pickles (.bin, .pt, .ckpt) are not read, since a pickle can run any program: convert them where you "
    "trust them, once, with from_pretrained(...).save_pretrained(folder, safe_serialization=True) of diffusers, and "
    "load the folder."
)


class Place:
    """A folder, a file, or a commit of a repository of which only what is asked for is downloaded.

    Args:
        scheme: of the source, as `load_decoder` takes it.
        reference: a path, or ``user/repo[/subfolder or file][@revision]``.
        token: of a Hub user.
        most_bytes: of one download.

    Attributes:
        base: folder in it.
        file: name of the one file that was asked for, or None.
        source: once it is known, the string for `load_decoder`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: neither a path nor a reference, or a file of pickles.
    """

    source = ""

    def __init__(self, scheme: str, reference: str, token: str | bool | None, most_bytes: int | None) -> None:
        path = Path(reference).expanduser().absolute()
        self.scheme = scheme
        self.reference, self.base = reference, ""
        self._folder = path if path.is_dir() else path.parent
        self._token, self._most_bytes, self._repo = token, most_bytes, ""
        self.file = path.name if path.is_file() else None
        if not path.exists():
            try:
                self._repo, self.base, self._revision = parse_reference(reference)
            except ValueError as error:
                raise ValueError(f"There is no folder or file {reference!r}. {error}") from error
            name = self.base.rpartition("/")[2]
            if Path(name).suffix in FILES:
                self.base, self.file = self.base.removesuffix(name).rstrip("/"), name
            elif Path(self._repo).suffix in FILES:
                raise FileNotFoundError(f"There is no file {reference!r}.")
        if self.file is not None and not self.file.endswith(".safetensors"):
            raise ValueError(f"A file of weights is .safetensors, got {self.file}. {CONVERT}")

    def get(self, names: list[str]) -> Path:
        """The folder, with what there is of these files below ``base``."""
        if not self._repo:
            return self._folder
        wanted = [f"{self.base}/{name}".strip("/") for name in names]
        root, self._revision = fetch_folder(
            self._repo, wanted, self._revision, self._token, most_bytes=self._most_bytes
        )  # what is asked for next is of the same commit
        return root / self.base

    def named(self, name: str) -> str:
        """The source that finds a folder or file of it again."""
        if not self._repo:
            return f"{self.scheme}:{self._folder / name}".rstrip("/")
        inside = "/".join(part for part in (self._repo, self.base, name) if part)
        return f"{self.scheme}:{inside}@{self._revision}"


def as_dtype(*said: str | torch.dtype | None) -> torch.dtype:
    """The type that was said by one name or the other.

    Raises:
        ValueError: it is none of the three, or the two differ.
    """
    named = {
        value if isinstance(value, torch.dtype) else DTYPES.get(str(value).removeprefix("torch."))
        for value in said
        if value is not None
    } or {torch.float32}
    (found, *others) = named
    if others or found is None or found not in DTYPES.values():
        raise ValueError(
            f"dtype is one of {', '.join(DTYPES)}, got {', '.join(repr(v) for v in said if v is not None)}."
        )
    return found


def index_name(variant: str, stem: str = WEIGHTS) -> str:
    """The file that says which of many files has which weights."""
    return f"{stem}.safetensors.index{'.' if variant else ''}{variant}.json"


def weight_files(
    looked_in: Place, root: Path, place: str, variants: tuple[str, ...], stem: str = WEIGHTS
) -> tuple[str, list[Path]]:
    """The first of the variants that there is, and its safetensors files.

    Args:
        looked_in: where they are.
        root: folder of what was fetched of it, indices among it.
        place: folder in that.
        variants: of the weights, "" for the one without a name.
        stem: of the names of the files.

    Raises:
        ValueError: there are none, or not all that the index names.
    """
    prefix = f"{place}/".lstrip("/")
    for variant in variants:
        index = root / place / index_name(variant, stem)
        names = [f"{stem}{'.' if variant else ''}{variant}.safetensors"]
        if index.is_file():
            shards = read_object(index, 2**26).get("weight_map")
            names = sorted(map(str, set(shards.values()))) if isinstance(shards, dict) else []
            if not names or not all(re.fullmatch(r"\w[\w.-]*\.safetensors", name) for name in names):
                raise ValueError(f"{index.name} names files that are no safetensors beside it: {names[:3]}.")
        folder = looked_in.get([prefix + name for name in names]) / place
        missing = [name for name in names if not (folder / name).is_file()]
        if not missing:
            return variant, [folder / name for name in names]
        if index.is_file():
            raise ValueError(f"{index.name} names files that are missing: {', '.join(missing[:3])}.")
    asked = " or ".join(f"{prefix}{stem}{'.' if variant else ''}{variant}.safetensors" for variant in variants)
    raise ValueError(f"There are no weights {asked}. {CONVERT}")
