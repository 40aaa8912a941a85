"""The base class of the zoo's autoencoders, and the two plainest ones: linear and stacked.

An autoencoder is trained to reconstruct an image from a smaller code. `Autoencoder.losses` returns its training loss
as named terms: the reconstruction, and the terms of the architecture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, linear, mse_loss

from latent_vizae.adapters.zoo.base import ZooGenerator, architecture
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.surroundings import own_surroundings

__all__ = [
    "Autoencoder",
    "LinearAutoencoder",
    "StackedAutoencoder",
    "as_image_shape",
    "as_share",
    "as_sizes",
    "dense",
    "start_glorot",
]


def as_image_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """(C, H, W) of images.

    Raises:
        TypeError: not whole numbers.
        ValueError: not three, or one below 1.
    """
    channels, height, width = (as_whole(size, "a size in image_shape", 1) for size in image_shape)
    return channels, height, width


def as_sizes(sizes: Sequence[int], what: str) -> list[int]:
    """One or more whole numbers above 0.

    Raises:
        TypeError: not whole numbers.
        ValueError: none, or one below 1.
    """
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not sizes:
        raise ValueError(f"{what} is a list of whole numbers, at least one, got {sizes!r}.")
    return [as_whole(size, f"a size in {what}", 1) for size in sizes]


def as_share(value: Any, what: str, least: float = 0.0, most: float = 1.0) -> float:
    """A number from ``least`` to ``most``.

    Raises:
        ValueError: another one, or none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{what} is a number from {least:g} to {most:g}, got {value!r}.")
    return float(value)


def dense(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them, none after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]


def start_glorot(module: nn.Module) -> None:
    """Glorot's uniform weights and zero biases, as in Keras: training leaves the plateau of the mean image sooner."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Autoencoder(ZooGenerator):
    """``encoder``: images (B, C, H, W) in [0, 1] -> codes; ``decoder``: codes -> logits of images.

    Subclasses set both, and ``latent_shape`` and ``image_shape``; a new kind overrides `losses`.
    """

    encoder: nn.Module
    decoder: nn.Module

    def check_images(self, images: Tensor) -> None:
        """Raise a ValueError for what is not a batch of images of this shape."""
        if images.dim() != 4 or tuple(images.shape[1:]) != tuple(self.image_shape):
            wanted = ", ".join(map(str, self.image_shape))
            raise ValueError(f"This autoencoder takes images of shape (B, {wanted}), got {tuple(images.shape)}.")

    @own_surroundings()
    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to codes (B, *latent_shape)."""
        self.check_images(images)
        codes: Tensor = self.encoder(images)
        return codes

    def logits(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) to images (B, C, H, W) before the sigmoid."""
        raw: Tensor = self.decoder(codes)
        return raw

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) to images (B, C, H, W) in [0, 1]."""
        return self.logits(codes).sigmoid()

    def reconstruction(self, codes: Tensor, images: Tensor) -> Tensor:
        """Binary cross-entropy of decoded codes, in nats: sum over pixels, mean over images."""
        return binary_cross_entropy_with_logits(self.logits(codes), images, reduction="sum") / len(images)

    def losses(self, images: Tensor, random: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The terms of the training loss, weighted: their sum is what to minimise.

        Args:
            images: (B, C, H, W) in [0, 1].
            random: on the CPU; what noise is drawn from.
            progress: share of the training that is done, in [0, 1).
        """
        return {"reconstruction": self.reconstruction(self.encode(images), images)}

    def learns_from(self, images: Tensor) -> Tensor:
        """What `losses` takes, made once of all images of a training (N, C, H, W), uint8: by default they stay."""
        return images

    def start_at_mean(self, mean: float) -> None:
        """Set the last bias so that the untrained network decodes to about this grey, in (0, 1), everywhere."""
        last = [layer for layer in self.decoder.modules() if isinstance(layer, nn.Linear | nn.ConvTranspose2d)][-1]
        if last.bias is not None:
            nn.init.constant_(last.bias, math.log(mean / (1 - mean)))


@architecture
class LinearAutoencoder(Autoencoder):
    """Undercomplete and linear: its optimum is principal component analysis (PCA).

        f_e  C*H*W -> Linear n
        f_d  n -> Linear C*H*W, clamped to [0, 1]

    With the mean squared error its optimum spans the subspace of the first n principal components (Baldi & Hornik
    1989, Neural Networks 2); the codes are some basis of it, not PCA's own.

    Args:
        latent_size: n, codes are (B, n).
        image_shape: (C, H, W).
    """

    def __init__(self, latent_size: int = 32, image_shape: Sequence[int] = (1, 28, 28)) -> None:
        super().__init__(latent_size=latent_size, image_shape=list(image_shape))
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        pixels = math.prod(self.image_shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, latent_size))
        self.decoder = nn.Sequential(nn.Linear(latent_size, pixels), nn.Unflatten(1, self.image_shape))
        start_glorot(self)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, n) to images (B, C, H, W), clamped to [0, 1]."""
        return self.logits(codes).clamp(0, 1)

    def reconstruction(self, codes: Tensor, images: Tensor) -> Tensor:
        """Squared error of decoded, unclamped codes: sum over pixels, mean over images."""
        return mse_loss(self.logits(codes), images, reduction="sum") / len(images)

    def start_at_mean(self, mean: float) -> None:
        """Set the last bias to the mean grey."""
        nn.init.constant_(self.decoder.get_parameter("0.bias"), mean)


@architecture
class StackedAutoencoder(Autoencoder):
    """Deep and dense: several layers in the encoder, the same ones in reverse in the decoder.

        f_e  C*H*W -> Linear + ReLU for each hidden size -> Linear n
        f_d  the same sizes backwards, sigmoid

    Tied: layer k of the decoder uses the transposed weights of its counterpart in the encoder, with a bias of its own,
    so there are half as many weights. Pretrained: in the first share of the training each pair of layers is trained
    alone, from the image inwards, to reconstruct the output of the layer before it (Hinton & Salakhutdinov 2006, with
    plain autoencoders in place of their restricted Boltzmann machines: Bengio et al. 2007); then all together.

    Args:
        hidden: sizes of the layers between image and code.
        latent_size: n, codes are (B, n).
        tied: whether the decoder's weights are the encoder's, transposed.
        pretrain: share of the training that goes layer by layer, in [0, 1]; 0 for none.
        image_shape: (C, H, W).
    """

    def __init__(
        self,
        hidden: Sequence[int] = (256, 128),
        latent_size: int = 16,
        tied: bool = False,
        pretrain: float = 0.0,
        image_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        sizes = as_sizes([*hidden, latent_size], "hidden")
        if not isinstance(tied, bool):
            raise TypeError(f"tied is True or False, got {tied!r}.")
        super().__init__(
            hidden=sizes[:-1],
            latent_size=latent_size,
            tied=tied,
            pretrain=as_share(pretrain, "pretrain"),
            image_shape=list(image_shape),
        )
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (latent_size,)
        self.tied, self.pretrain = tied, float(pretrain)
        sizes = [math.prod(self.image_shape), *sizes]
        self.encoder = nn.Sequential(nn.Flatten(), *dense(sizes))
        self.decoder = nn.Sequential(*dense(sizes[::-1]), nn.Unflatten(1, self.image_shape))
        start_glorot(self)
        if self.tied:
            for down in self._downs:
                del down.weight  # only its bias is its own
        self._mirrors = len(sizes) - 1

    @property
    def _ups(self) -> list[nn.Linear]:
        return [layer for layer in self.encoder.children() if isinstance(layer, nn.Linear)]

    @property
    def _downs(self) -> list[nn.Linear]:
        return [layer for layer in self.decoder.children() if isinstance(layer, nn.Linear)]

    def _down(self, index: int, x: Tensor) -> Tensor:
        """Layer ``index`` of the decoder, counted from the code."""
        down = self._downs[index]
        if not self.tied:
            out: Tensor = down(x)
            return out
        return linear(x, self._ups[self._mirrors - 1 - index].weight.T, down.bias)

    def logits(self, codes: Tensor) -> Tensor:
        """Codes (B, n) to images (B, C, H, W) before the sigmoid."""
        x = codes
        for index in range(self._mirrors):
            x = self._down(index, x.relu() if index else x)
        images: Tensor = x.unflatten(1, self.image_shape)
        return images

    def losses(self, images: Tensor, random: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The reconstruction; while pretraining, the squared error of one pair of layers (sum, mean over images)."""
        if progress >= self.pretrain:
            return super().losses(images, random, progress)
        pair = int(progress / self.pretrain * self._mirrors)
        with torch.no_grad():
            x = images.flatten(1)
            for up in self._ups[:pair]:
                x = up(x).relu()
        code = self._ups[pair](x)
        code = code if pair == self._mirrors - 1 else code.relu()
        again = self._down(self._mirrors - 1 - pair, code)
        if pair == 0:
            return {"layer 1": binary_cross_entropy_with_logits(again, x, reduction="sum") / len(x)}
        return {f"layer {pair + 1}": mse_loss(again.relu(), x, reduction="sum") / len(x)}
