"""Generators that are trained against a discriminator: their base class, the plain GAN, and DCGAN.

A GAN has a prior, N(0, I), and no encoder. `AdversarialGenerator.opponent` makes the discriminator, which only
training needs and which is not saved. In training images are in [-1, 1], the range of tanh.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latent_vizae.adapters.zoo.autoencoder import as_image_shape, as_sizes
from latent_vizae.adapters.zoo.base import ZooGenerator, architecture, in_the_order_of_pixels
from latent_vizae.adapters.zoo.layers import start_normal
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.surroundings import own_surroundings

__all__ = ["DCGAN", "AdversarialGenerator", "PlainGAN"]


class AdversarialGenerator(ZooGenerator):
    """The methods of a generator that adversarial training calls; `grow` is for `ProgressiveGAN`."""

    def opponent(self) -> nn.Module:
        """A new discriminator: images (B, C, H, W) in [-1, 1] -> logits (B,), large for real ones."""
        raise NotImplementedError(f"{type(self).__name__} defines no opponent().")

    def pictures(self, codes: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Codes (B, n) to images in [-1, 1]; with ``random``, as in training."""
        raise NotImplementedError(f"{type(self).__name__} defines no pictures(codes).")

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, n) to images (B, C, H, W) in [0, 1]."""
        return (self.pictures(codes) + 1) / 2

    @own_surroundings()
    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Codes (count, n) from the prior, N(0, I)."""
        random = torch.Generator().manual_seed(as_whole(seed, "seed"))
        return self.draw(as_whole(count, "count", 1), random)

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Codes (count, n) from the prior with a generator on the CPU."""
        return torch.randn(count, *self.latent_shape, generator=random).to(next(self.parameters()).device)

    def grow(self, progress: float) -> None:
        """Grow to the resolution of this share of the training, in [0, 1]; by default nothing."""

    def real(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] as the input of the discriminator, in [-1, 1]."""
        return 2 * images - 1


@architecture
class PlainGAN(AdversarialGenerator):
    """The first kind: two dense networks (Goodfellow et al. 2014).

        generator       n -> Linear + LeakyReLU for each hidden size -> Linear C*H*W, tanh
        discriminator   C*H*W -> the same sizes backwards, LeakyReLU 0.2 -> Linear 1

    Args:
        latent_size: n, codes are (B, n).
        hidden: sizes of the layers.
        image_shape: (C, H, W).
    """

    def __init__(
        self, latent_size: int = 32, hidden: Sequence[int] = (256, 512), image_shape: Sequence[int] = (1, 28, 28)
    ) -> None:
        self.hidden = as_sizes(hidden, "hidden")
        super().__init__(latent_size=latent_size, hidden=self.hidden, image_shape=list(image_shape))
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        sizes = [latent_size, *self.hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(sizes, self.hidden, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        last = nn.Linear(sizes[-1], math.prod(self.image_shape))
        self.layers = nn.Sequential(*layers, last, nn.Tanh(), nn.Unflatten(1, self.image_shape))

    def pictures(self, codes: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Codes (B, n) to images (B, C, H, W) in [-1, 1]."""
        images: Tensor = self.layers(codes)
        return images

    def opponent(self) -> nn.Module:
        """The generator's mirror."""
        sizes = [math.prod(self.image_shape), *self.hidden[::-1]]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in zip(sizes, self.hidden[::-1], strict=False):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], 1), nn.Flatten(0))


@architecture
class DCGAN(AdversarialGenerator):
    """The deep convolutional GAN, by five rules for stable training (Radford, Metz & Chintala 2016).

    1. Strides, not pooling: convolutions in the discriminator, transposed ones in the generator.
    2. Batch normalisation in both, except for the generator's output and the discriminator's input.
    3. No fully connected hidden layers.
    4. ReLU in the generator, tanh at its end.
    5. Leaky ReLU in the discriminator.

        generator       n (n x 1 x 1) -> Dconv 128 k7 (7x7) -> Dconv 64 k4 s2 (14x14) -> Dconv 1 k4 s2 (28x28), tanh
        discriminator   1x28x28 -> Conv 64 k4 s2 -> Conv 128 k4 s2 (7x7) -> Conv 1 k7

    Weights start from N(0, 0.02^2), as there.

    Args:
        latent_size: n, codes are (B, n).
        channels: from 7x7 to 14x14.
        image_channels: 1 for grey images, 3 for colour.
    """

    def __init__(self, latent_size: int = 64, channels: Sequence[int] = (128, 64), image_channels: int = 1) -> None:
        self.channels = as_sizes(channels, "channels")
        if len(self.channels) != 2:
            raise ValueError(f"channels are two, at 7x7 and at 14x14 pixels, got {self.channels}.")
        super().__init__(latent_size=latent_size, channels=self.channels, image_channels=image_channels)
        self.image_shape = (as_whole(image_channels, "image_channels", 1), 28, 28)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        many, few = self.channels
        self.layers = nn.Sequential(
            nn.Unflatten(1, (latent_size, 1, 1)),
            nn.ConvTranspose2d(latent_size, many, 7, bias=False),
            nn.BatchNorm2d(many),
            nn.ReLU(),
            nn.ConvTranspose2d(many, few, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(few),
            nn.ReLU(),
            nn.ConvTranspose2d(few, image_channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        _start_dcgan(self)

    def pictures(self, codes: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Codes (B, n) to images (B, C, 28, 28) in [-1, 1]."""
        images: Tensor = self.layers(codes)
        return images

    def opponent(self) -> nn.Module:
        """The generator's mirror."""
        many, few = self.channels
        layers = nn.Sequential(
            nn.Conv2d(self.image_shape[0], few, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(few, many, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(many),
            nn.LeakyReLU(0.2),
            nn.Conv2d(many, 1, 7),
            nn.Flatten(0),
        )
        _start_dcgan(layers)
        return layers


def _start_dcgan(network: nn.Module) -> None:
    """Weights N(0, 0.02^2), factors of batch normalisation N(1, 0.02^2)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            start_normal(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            start_normal(layer.weight, 1.0, 0.02)
    in_the_order_of_pixels(network)
