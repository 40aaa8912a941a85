"""What the lessons learn from: the zoo's trained generators, and labelled images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae import load_decoder
from latent_vizae.adapters.zoo import Autoencoder, ZooGenerator
from latent_vizae.adapters.zoo.taef2 import TAEF2_REPOSITORY
from latent_vizae.demos.zoo.data import CLOTHES, SHARED, framed, load_images, load_labels
from latent_vizae.demos.zoo.taef2 import convert
from latent_vizae.storage.folder import MODEL_FILE

__all__ = ["CLOTHES", "Labelled", "class_names", "encoded", "generator", "labelled", "table", "taef2"]

PICKLES = SHARED.parent / "models" / "taef2"
ZOO = Path(__file__).parents[1] / "zoo"
CODES_PER_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images and their classes.

    Attributes:
        images: (N, 1, H, W) float32 in [0, 1].
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def first(self, count: int) -> Labelled:
        """The first so many, in the data's order."""
        return Labelled(self.images[:count], self.labels[:count])


def taef2() -> str:
    """Where TAEF2 is, for ``taef2=``: the weights of ``../shared/models`` in a file here, or else the Hub."""
    if not PICKLES.is_dir():
        return TAEF2_REPOSITORY
    convert(PICKLES, Path("taef2"))
    return str(Path("taef2").absolute())


def generator(name: str, **options: Any) -> ZooGenerator:
    """A trained generator of the zoo, by its name: a folder of ``demos/zoo``, in eval mode and frozen.

    Args:
        name: of the folder.
        options: for `load_decoder`, such as ``taef2=`` for emoji-latents.

    Raises:
        FileNotFoundError: there is none of that name.
    """
    folder = ZOO / name
    if not folder.is_dir():
        known = sorted(path.parent.name for path in ZOO.glob(f"*/{MODEL_FILE}"))
        raise FileNotFoundError(
            f"{ZOO} has no generator {name!r}, but {known}. They come with the repository, not with the package; "
            "python -m latent_vizae.demos.train_zoo trains them."
        )
    loaded: ZooGenerator = load_decoder(f"hub:{folder}", **options)
    return loaded


def labelled(data: str, side: int = 28) -> tuple[Labelled, Labelled]:
    """Training and test images of "mnist", "fashion-mnist" or a folder of idx files, with their classes.

    Args:
        data: see `zoo.data.load_images`, which also says what is raised.
        side: pixels of a side, at least the data's; what is larger gets a black frame.
    """
    parts = zip(load_images(data), load_labels(data), strict=True)
    train, test = (Labelled(framed(images, side).float() / 255, labels.long()) for images, labels in parts)
    return train, test


def class_names(labels: Tensor, names: Sequence[str] | None = None) -> list[str]:
    """What the classes 0, 1, ... are called: numbers, where there are no ``names``."""
    count = int(labels.max()) + 1
    return [str(label) for label in range(count)] if names is None else list(names[:count])


@torch.no_grad()
def encoded(f_d: Autoencoder, images: Tensor) -> Tensor:
    """Codes (N, *latent_shape) of images (N, C, H, W) in [0, 1], a part at a time."""
    encode: Callable[[Tensor], Tensor] = f_d.encode
    return torch.cat([encode(batch) for batch in images.split(CODES_PER_BATCH)])


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows as a table of Markdown: words to the left, numbers (what is after the first column) to the right."""
    lines = [list(header), ["---"] + ["---:"] * (len(header) - 1), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
