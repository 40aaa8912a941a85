"""``load_decoder("emoji")``: a variational autoencoder of colour emoji, with the codes, names and groups of all.

The bundled files are made by ``python -m latent_vizae.demos.zoo.bundle_emoji`` from what
``python -m latent_vizae.demos.train_zoo convolutional-vae --data emoji`` trained on Microsoft's Fluent 3D emoji (MIT).
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from latent_vizae.adapters.examples import chosen_rows
from latent_vizae.adapters.zoo.base import ZooGenerator
from latent_vizae.inputs.checks import as_device
from latent_vizae.inputs.surroundings import methods_in_own_surroundings

__all__ = ["EmojiDecoder", "load_emoji"]

DATA = Path(__file__).parent / "data" / "emoji"
CODES = DATA / "codes.safetensors"


@methods_in_own_surroundings
class EmojiDecoder(nn.Module):
    """A variational autoencoder of emoji, 64 x 64 pixels in colour on white, from codes of 64 numbers.

    Attributes:
        label_names: the group of each label, such as 3: "Food & Drink".

    Example:
        >>> f_d = load_emoji()
        >>> codes, labels = f_d.examples(label="Food & Drink", count=4)
        >>> f_d(codes).shape, f_d.code("red heart").shape
        (torch.Size([4, 3, 64, 64]), torch.Size([1, 64]))
    """

    source = "emoji"
    latent_shape = (64,)
    image_shape = (3, 64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.autoencoder: Any = ZooGenerator.from_folder(DATA)  # of an autoencoder
        self.eval().requires_grad_(False)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, 64) to images (B, 3, 64, 64) in [0, 1]."""
        images: Tensor = self.autoencoder.decode(codes)
        return images

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, 64, 64) in [0, 1], on white, to codes (B, 64)."""
        codes: Tensor = self.autoencoder.encode(images)
        return codes

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Codes (count, 64) of the prior, N(0, I)."""
        codes: Tensor = self.autoencoder.sample(count, seed)
        return codes

    @cached_property
    def _bundle(self) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
        with safe_open(CODES, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in ("codes", "labels")}
            return tensors, json.loads(file.metadata()["words"])

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def names(self) -> list[str]:
        """What the emoji are called, in the order of `examples`: "red heart", "cat face", ..."""
        return list(self._bundle[1]["names"])

    @property
    def label_names(self) -> dict[int, str]:
        """The names of the nine groups, by label."""
        return dict(enumerate(self._bundle[1]["groups"]))

    def examples(
        self, label: int | str | None = None, count: int | None = None, seed: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Codes and groups of the emoji without a skin tone.

        Args:
            label: only this group, 0 to 8, or its name; None for all.
            count: number of codes; None for all.
            seed: draw ``count`` at random; None takes the first ones, in Unicode's order.

        Returns:
            Codes (count, 64) float32 and labels (count,) int64; the names of labels are `label_names`.

        Raises:
            ValueError: no such group, or a count above the number of codes.
        """
        bundle = self._bundle[0]
        if isinstance(label, str) and not label.isdecimal():
            by_name = {name: number for number, name in self.label_names.items()}
            if label not in by_name:
                raise ValueError(f"The groups of emoji are {', '.join(by_name)}; asked for label={label!r}.")
            label = by_name[label]
        rows = chosen_rows(bundle["labels"], label, count, seed, "Emoji have the groups 0 to 8")
        return bundle["codes"][rows].float().to(self._device), bundle["labels"][rows].long().to(self._device)

    def code(self, name: str) -> Tensor:
        """The code (1, 64) of the emoji of that name.

        Raises:
            ValueError: there is none; the nearest names are in the message.
        """
        names = self._bundle[1]["names"]
        if name not in names:
            near = [other for other in names if name and name.lower() in other.lower()][:8]
            known = f"; there are {', '.join(near)}" if near else ""
            raise ValueError(f"No emoji is called {name!r}{known}. f_d.names has all {len(names)} names.")
        row = names.index(name)
        return self._bundle[0]["codes"][row : row + 1].float().to(self._device)


def load_emoji(reference: str = "", device: str | torch.device = "cpu") -> EmojiDecoder:
    """The entry point of the scheme ``emoji``; it takes no reference.

    Raises:
        ValueError: a reference after ``emoji:``, or no such device.
    """
    if reference:
        raise ValueError(f"The bundled decoder is called 'emoji', got 'emoji:{reference}'.")
    return EmojiDecoder().to(as_device(device))
