"""MNIST and Fashion-MNIST, or a folder of idx files, as bytes: what the training scripts learn from.

A name is looked for in ``shared/data`` beside the checkout first, then on the Hugging Face Hub (which needs the
package ``datasets``). What comes from there is pinned by its contents, not by a commit: the same images, in any order,
have the same `checksum`, and others are refused. Order differs between copies (some are sorted by class), so that one
training from two of them gives two results, equally good ones.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from latent_vizae.demos.zoo.emoji import FILE, read_emoji

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "trainer", "bag", "boot")
"""Classes of Fashion-MNIST, by label."""
ON_THE_HUB = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
CHECKSUMS = {
    "mnist": (
        "03a8a048601ebb4610dcd79cd759c718bed893982a4c153c4f33a41885101c0b",
        "e2842441ab1468bab7eeaa886875a3a7662245f3768610c4b4ca84d7ac309c70",
    ),
    "fashion-mnist": (
        "aa670e63ae523d8fb206db0595287cd9ecee8f29b1b8ea690da7712c7444eb56",
        "f966ad9a453e7d5ef297476fd4939780e707ce15a852b67597069832263d31bd",
    ),
}
"""Of the canonical training and test images."""


def read_idx(path: Path) -> Tensor:
    """Read one idx file of unsigned bytes (the format of MNIST), gzipped or not, as a uint8 tensor."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an idx file of unsigned bytes: it starts with {raw[:4].hex()}.")
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4).tolist()
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())


def read_mnist(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, H, W) and labels (N,), both uint8; split is "train" or "t10k"."""

    def read(kind: str) -> Tensor:
        names = [f"{split}-{kind}-ubyte.gz", f"{split}-{kind}-ubyte"]
        files = [folder / name for name in names if (folder / name).is_file()]
        if not files:
            raise FileNotFoundError(f"{folder} has no {names[0]}: --data is a folder with the four idx files.")
        return read_idx(files[0])

    return read("images-idx3").unsqueeze(1), read("labels-idx1")


def _splits_on_the_hub(repo: str) -> list[Any]:
    """The training and the test split of a dataset of the Hub; without bars where nobody would see them."""
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f"Reading {repo} from the Hub needs: pip install datasets. Or give --data a folder of idx files."
        ) from error
    silent = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if silent:
        datasets.disable_progress_bars()
    try:
        return [datasets.load_dataset(repo, split=split) for split in ("train", "test")]
    except OSError as error:
        raise FileNotFoundError(
            f"{repo} could not be read from the Hub: {error} Or give --data a folder of idx files."
        ) from error
    finally:
        if silent:
            datasets.enable_progress_bars()


def read_from_hub(repo: str) -> tuple[Tensor, Tensor]:
    """Training and test images (N, 1, 28, 28), uint8, of a dataset with a column ``image``."""
    splits = [split["image"] for split in _splits_on_the_hub(repo)]
    train, test = (torch.from_numpy(np.stack([np.asarray(image) for image in split]))[:, None] for split in splits)
    return train, test


def checksum(images: Tensor) -> str:
    """SHA-256 of images (N, 1, H, W), uint8, in whatever order: of their own SHA-256s, sorted."""
    each = sorted(hashlib.sha256(image.numpy().tobytes()).digest() for image in images)
    return hashlib.sha256(b"".join(each)).hexdigest()


def read_labels_from_hub(repo: str) -> tuple[Tensor, Tensor]:
    """Training and test labels (N,), uint8, of a dataset with a column ``label``."""
    train, test = (torch.tensor(list(split["label"]), dtype=torch.uint8) for split in _splits_on_the_hub(repo))
    return train, test


def _place_of(data: str) -> Path | str:
    """The folder of idx files that is meant, or the repository on the Hub."""
    folder = Path(data) if Path(data).is_dir() else SHARED / data
    if data and folder.is_dir():
        return folder
    if data not in ON_THE_HUB:
        raise ValueError(f"--data is {', '.join(ON_THE_HUB)} or a folder of idx files; there is no {data!r}.")
    return ON_THE_HUB[data]


def load_images(data: str) -> tuple[Tensor, Tensor]:
    """Training and test images (N, C, H, W), uint8; of emoji those without a skin tone, and their variants with one.

    Args:
        data: "mnist", "fashion-mnist", "emoji", or a folder that holds idx files or ``fluent-64.npz``.

    Raises:
        ValueError: it is none of these, a file of it is not what it says, or the Hub has other images than it had.
        FileNotFoundError: the folder lacks a file, or the Hub is not there.
        ImportError: only the Hub has it, and ``datasets`` is not installed.
    """
    place = _place_of(data)
    if isinstance(place, Path) and (place / FILE).is_file():
        return read_emoji(place).images, read_emoji(place, skin_tones=True).images
    if isinstance(place, Path):
        return read_mnist(place, "train")[0], read_mnist(place, "t10k")[0]
    parts = read_from_hub(place)
    for part, images, wanted in zip(("training", "test"), parts, CHECKSUMS[data], strict=True):
        if (has := checksum(images)) != wanted:
            raise ValueError(
                f"The {part} images of {place} are not those of {data}: {tuple(images.shape)}, checksum "
                f"{has[:12]}, should be {wanted[:12]}. Give --data a folder with the idx files."
            )
    return parts


def load_labels(data: str) -> tuple[Tensor, Tensor]:
    """Training and test labels (N,), uint8, in the order of `load_images`; it takes and raises the same."""
    place = _place_of(data)
    if isinstance(place, Path) and (place / FILE).is_file():
        return read_emoji(place).groups, read_emoji(place, skin_tones=True).groups
    if isinstance(place, Path):
        return read_mnist(place, "train")[1], read_mnist(place, "t10k")[1]
    return read_labels_from_hub(place)


def some(images: Tensor, count: int) -> Tensor:
    """``count`` images (or all, if there are fewer) drawn at random, always the same: data may be sorted by class."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count]]


def framed(images: Tensor, side: int) -> Tensor:
    """Images (N, 1, H, W) with a black frame, to ``side`` pixels: 28 to 32.

    Raises:
        ValueError: they are larger, or not square.
    """
    height, width = images.shape[2:]
    if height != width or height > side:
        raise ValueError(f"This architecture takes images of {side}x{side} pixels, the data has {height}x{width}.")
    before = (side - height) // 2
    after = side - height - before
    return pad(images, (before, after, before, after))


def as_input(images: Tensor, device: str | torch.device) -> Tensor:
    """Bytes to floats in [0, 1], floats as they are, in the memory layout in which convolutions are fastest."""
    moved = images.to(device)
    return (moved if moved.is_floating_point() else moved.float() / 255).contiguous(memory_format=torch.channels_last)
