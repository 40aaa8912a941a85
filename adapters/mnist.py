"""``load_decoder("mnist")``: the paper's f, trained on MNIST, with the codes of the 60,000 training images.

The bundled files (weights, codes, labels, a hundred test images) are made by ``demos/train_mnist.py`` from MNIST
(Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0).
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from latent_vizae.adapters.examples import chosen_rows
from latent_vizae.adapters.zoo.base import in_the_order_of_pixels
from latent_vizae.adapters.zoo.table1 import Table1Autoencoder
from latent_vizae.inputs.checks import as_device, as_whole
from latent_vizae.inputs.surroundings import methods_in_own_surroundings

__all__ = ["MnistDecoder", "load_mnist"]

DATA = Path(__file__).parent / "data" / "mnist"
WEIGHTS = DATA / "table1.safetensors"


@methods_in_own_surroundings
class MnistDecoder(nn.Module):
    """The paper's f_d, with f_e as ``encode`` and the 10-D codes of MNIST's training images as ``examples``.

    Example:
        >>> f_d = load_mnist()
        >>> codes, labels = f_d.examples(label=5, count=4)
        >>> f_d(codes).shape, f_d.encode(f_d(codes)).shape
        (torch.Size([4, 1, 28, 28]), torch.Size([4, 10]))
    """

    source = "mnist"
    latent_shape = (10,)
    image_shape = (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):  # nothing drawn from the global generator
            self.autoencoder = Table1Autoencoder()
        self.autoencoder.load_state_dict(load_file(WEIGHTS), strict=True, assign=True)
        in_the_order_of_pixels(self.autoencoder)
        self.eval().requires_grad_(False)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, 10) to images (B, 1, 28, 28) in [0, 1]."""
        images: Tensor = self.autoencoder.decoder(codes)
        return images

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) in [0, 1], white digits on black, to codes (B, 10)."""
        if images.dim() != 4 or tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(f"MNIST images have the shape (B, 1, 28, 28), got {tuple(images.shape)}.")
        codes: Tensor = self.autoencoder.encoder(images)
        return codes

    @cached_property
    def _bundle(self) -> dict[str, Tensor]:
        return load_file(DATA / "codes.safetensors")

    @property
    def losses(self) -> dict[str, float]:
        """BCE of f, summed over pixels, mean over images, of MNIST's "train" and "test" images."""
        with safe_open(WEIGHTS, "pt") as file:
            losses: dict[str, float] = json.loads(file.metadata()["losses"])
        return losses

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def examples(
        self, label: int | None = None, count: int | None = None, seed: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Codes and labels of MNIST training images.

        Args:
            label: only this digit, 0 to 9; None for all.
            count: number of codes; None for all.
            seed: draw ``count`` at random; None takes the first ones, in MNIST's order.

        Returns:
            Codes (count, 10) float32 and labels (count,) int64.

        Raises:
            ValueError: no such digit, or a count above the number of codes.
        """
        codes, labels = self._bundle["codes"], self._bundle["labels"]
        rows = chosen_rows(labels, label, count, seed, "MNIST has the digits 0 to 9")
        return codes[rows].float().to(self._device), labels[rows].long().to(self._device)

    def images(self) -> tuple[Tensor, Tensor]:
        """The first 100 MNIST test images (100, 1, 28, 28) in [0, 1], and their labels (100,)."""
        bundle = self._bundle
        return bundle["images"].float().to(self._device) / 255, bundle["image_labels"].long().to(self._device)

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Codes (count, 10) between training codes of one digit, in place of a prior.

        A plain autoencoder has no prior. Each code is a random convex combination of two training codes of the same
        digit.
        """
        count = as_whole(count, "count", 1)
        generator = torch.Generator().manual_seed(as_whole(seed, "seed"))
        codes, labels = self._bundle["codes"].float(), self._bundle["labels"]
        rows = torch.randint(len(codes), (count,), generator=generator)
        share = torch.rand(count, 1, generator=generator)
        by_label = [(labels == digit).nonzero().squeeze(1) for digit in range(10)]
        picks = torch.rand(count, generator=generator)
        alike = [by_label[label] for label in labels[rows].tolist()]
        partners = torch.stack([same[int(pick * len(same))] for same, pick in zip(alike, picks.tolist(), strict=True)])
        return torch.lerp(codes[rows], codes[partners], share).to(self._device)


def load_mnist(reference: str = "", device: str | torch.device = "cpu") -> MnistDecoder:
    """The entry point of the scheme ``mnist``; it takes no reference.

    Raises:
        ValueError: a reference after ``mnist:``, or no such device.
    """
    if reference:
        raise ValueError(f"The bundled decoder is called 'mnist', got 'mnist:{reference}'.")
    return MnistDecoder().to(as_device(device))
