"""``latent-vizae encode`` and ``place``: long work in shards, by one process or by those of torchrun."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file

from latent_vizae.bulk.encode import UNIT_SIZE, encode_images
from latent_vizae.bulk.place import place_codes
from latent_vizae.decoders.load import load_decoder
from latent_vizae.inputs.checks import as_device
from latent_vizae.storage.processes import rank
from latent_vizae.storage.shards import MANIFEST_FILE

from .files import load_v

__all__ = ["encode", "place"]


Out = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder for the shards: new, empty, or one with some of this work.")
]

OnDevice = Annotated[
    str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, ...; under torchrun, cuda is one of its own for each.")
]

Count = Annotated[
    Optional[int],  # noqa: UP045 (typer reads this at run time, on Python 3.10 too)
    typer.Option(metavar="N", help="Refuse to work with more or fewer processes.  [default: as many as there are]"),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]


def encode(
    images: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Folder of pictures, or images (B, C, H, W), bytes or [0, 1], in a .npy, .npz or .safetensors.",
        ),
    ],
    out: Out,
    decoder: Annotated[str, typer.Option(metavar="NAME", help="Decoder, as load_decoder takes it.")] = "mnist",
    unit_size: Annotated[int, typer.Option(help="Pictures a shard; their codes are in memory.")] = UNIT_SIZE,
    batch_size: Annotated[int, typer.Option(help="Pictures a call of the decoder's encode.")] = 32,
    labels: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="folder", help="`folder`: the subfolder of each picture is its class."),
    ] = None,
    background: Annotated[
        str, typer.Option(metavar="COLOUR", help="Colour under transparent parts: a name, or #rrggbb.")
    ] = "black",
    processes: Count = None,
    device: OnDevice = "cpu",
    as_json: Json = False,
) -> None:
    """Encode pictures into a folder of shards of codes, resumable.

    \b
    Examples:
      latent-vizae encode --images holiday --out codes
      torchrun --nproc-per-node 2 -m latent_vizae.cli encode --images holiday --out codes --processes 2

    Writes codes-00000-of-00010.safetensors, ... (a tensor `codes`) and manifest.json, which has the file names of the
    rows. After Ctrl-C or a failure the same command makes the missing and the damaged shards. Several machines need a
    shared folder. The result does not depend on the number of processes. When one of them ends, the others end with an
    error.
    """
    pictures: Any = _images_in(images) if images.is_file() else images
    f_d = load_decoder(decoder, **({} if device == "cpu" else {"device": _own(device)}))
    folder = encode_images(
        f_d, pictures, batch_size, labels=labels, background=background, out=out, unit_size=unit_size,
        processes=processes, progress=True,
    )  # fmt: skip
    _say(folder, as_json)


def place(
    v: Annotated[str, typer.Option("--v", metavar="V", help="Folder of a v, or user/name of the Hub.")],
    codes: Annotated[
        Path, typer.Option(metavar="PATH", help="A folder of shards, or a .safetensors, .npy or .npz file.")
    ],
    out: Out,
    unit_size: Annotated[int, typer.Option(help="Points a shard.")] = 100_000,
    processes: Count = None,
    device: OnDevice = "cpu",
    as_json: Json = False,
) -> None:
    """Place codes on a map: a folder of shards of points, resumable.

    \b
    Examples:
      latent-vizae place --v digits --codes codes --out points
      torchrun --nproc-per-node 2 -m -- latent_vizae.cli place --v digits --codes codes --out points

    Writes points-00000-of-00010.safetensors, ... (a tensor `points`) and manifest.json, resumable as `encode`. A part
    of the codes is in memory at a time. The `--` keeps torchrun from reading --v as its own option.
    """
    loaded = load_v(v).to(_own(device))
    _say(place_codes(loaded, codes, out, unit_size, processes=processes, progress=True), as_json)


def _images_in(path: Path) -> Any:
    """The images (B, C, H, W) in a .npy, a .npz or a .safetensors, such as `grid` writes."""
    ending = path.suffix.lower()
    if ending not in (".npy", ".npz", ".safetensors"):
        raise ValueError(f"--images is a folder of pictures, or a .npy, .npz or .safetensors of images, got {path}.")
    try:
        if ending == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        arrays: Any = load_file(path) if ending == ".safetensors" else dict(np.load(path, allow_pickle=False))
    except (ValueError, EOFError, SafetensorError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from error
    name = "images" if "images" in arrays or len(arrays) != 1 else next(iter(arrays))
    if name not in arrays:
        raise ValueError(f"{path} has no tensor `images`; it holds {', '.join(arrays) or 'none'}.")
    return arrays[name]


def _own(device: str) -> str:
    """A device that is there; under torchrun, this process' share of the accelerators of its machine."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{int(os.environ['LOCAL_RANK']) % max(1, torch.cuda.device_count())}"
    as_device(device)
    return device


def _say(folder: Path, as_json: bool) -> None:
    if rank() > 0:
        return
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    if as_json:
        typer.echo(json.dumps({"out": str(folder), "shape": manifest["shape"], "units": manifest["units"]}))
    else:
        typer.echo(f"wrote {folder}: {manifest['shape'][0]} rows in {len(manifest['units'])} shards, {MANIFEST_FILE}")
