"""Generators of colour images: a variational autoencoder whose loss keeps edges sharp, and a GAN."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from latent_vizae.adapters.zoo.autoencoder import as_image_shape, as_share, as_sizes, start_glorot
from latent_vizae.adapters.zoo.base import architecture, in_the_order_of_pixels
from latent_vizae.adapters.zoo.gan import AdversarialGenerator
from latent_vizae.adapters.zoo.layers import MinibatchDeviation
from latent_vizae.adapters.zoo.regularised import Variational
from latent_vizae.inputs.checks import as_whole

__all__ = ["ColourGAN", "ConvolutionalVAE", "laplacian_l1"]


def laplacian_l1(images: Tensor, others: Tensor, least: int = 4) -> Tensor:
    """Absolute differences of two Laplacian pyramids: sum over levels, mean over images.

    Every level weighs as much as the finest, so that edges count as much as colour; with squared errors they blur
    (Bojanowski et al. 2018, "Optimizing the latent space of generative networks", eq. 2). Levels are halved by means
    of 2x2 pixels.

    Args:
        images: (B, C, H, W).
        others: (B, C, H, W).
        least: pixels on a side of the coarsest level, at least.

    Returns:
        A scalar, in units of one pixel's value, as a sum over the pixels of the finest level.
    """
    difference, total, weight = images - others, images.new_zeros(()), 1.0
    while min(difference.shape[2:]) % 2 == 0 and min(difference.shape[2:]) > least:
        coarse = avg_pool2d(difference, 2)
        total = total + weight * (difference - interpolate(coarse, scale_factor=2.0)).abs().sum()
        difference, weight = coarse, 4 * weight
    result: Tensor = (total + weight * difference.abs().sum()) / len(images)
    return result


@architecture
class ConvolutionalVAE(Variational):
    """A variational autoencoder with convolutions, for colour images of 64 pixels.

        f_e  3x64x64 -> Conv k3 s2 for each width of down -> Linear 2n: mean and log variance
        f_d  n -> Linear -> Dconv k4 s2 for each width of up, one Conv k3 at a quarter of the side -> 3x64x64, sigmoid

    SiLU after every layer but the last of each side. The reconstruction is `laplacian_l1`, not a likelihood, so beta
    is in its units per nat.

    Args:
        latent_size: n, codes are (B, n).
        down: channels of the encoder's convolutions, each halving the side.
        up: channels of the decoder's, from the smallest image to the one of half the side.
        beta: weight of the KL term.
        image_shape: (C, H, W); H and W are multiples of ``2 ** len(down)`` and of ``2 ** len(up)``.
    """

    def __init__(
        self,
        latent_size: int = 64,
        down: Sequence[int] = (24, 48, 96, 128),
        up: Sequence[int] = (192, 128, 96, 48),
        beta: float = 1.0,
        image_shape: Sequence[int] = (3, 64, 64),
    ) -> None:
        down, up = as_sizes(down, "down"), as_sizes(up, "up")
        super().__init__(
            latent_size=latent_size,
            down=down,
            up=up,
            beta=as_share(beta, "beta", 0, 1e4),
            image_shape=list(image_shape),
        )
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        self.beta = float(beta)
        channels, height, width = self.image_shape
        halvings = 2 ** max(len(down), len(up))
        if height % halvings or width % halvings:
            raise ValueError(f"Layers that halve need sides that are multiples of {halvings}, got {height}x{width}.")
        layers: list[nn.Module] = []
        for fine, coarse in itertools.pairwise([channels, *down]):
            layers += [nn.Conv2d(fine, coarse, 3, stride=2, padding=1), nn.SiLU()]
        flat = down[-1] * (height >> len(down)) * (width >> len(down))
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 2 * latent_size))
        small = (up[0], height >> len(up), width >> len(up))
        layers = [nn.Linear(latent_size, small[0] * small[1] * small[2]), nn.SiLU(), nn.Unflatten(1, small)]
        for step, (coarse, fine) in enumerate(itertools.pairwise([*up, channels]), start=1):
            layers += [nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1), nn.SiLU()]
            if step == len(up) - 2:
                layers += [nn.Conv2d(fine, fine, 3, padding=1), nn.SiLU()]
        self.decoder = nn.Sequential(*layers[:-1])
        start_glorot(self)
        in_the_order_of_pixels(self)

    def reconstruction(self, codes: Tensor, images: Tensor) -> Tensor:
        """`laplacian_l1` of decoded codes and images."""
        return laplacian_l1(self.decode(codes), images)


@architecture
class ColourGAN(AdversarialGenerator):
    """A small convolutional GAN of colour images of 64 pixels.

        generator       n -> Linear -> 4x4 -> Dconv k4 s2, batch norm, ReLU for each width -> Dconv k4 s2 3, tanh
        discriminator   3x64x64 -> Conv k4 s2, LeakyReLU 0.2 for each width backwards -> 4x4 and their deviation over
                        the batch -> Linear 1

    `DCGAN` at 64 pixels, without normalisation in the discriminator, which R1 replaces.

    Args:
        latent_size: n, codes are (B, n).
        channels: from 4x4 pixels on; each doubles the side, and so does the last layer.
        image_channels: 3 for colour.
    """

    def __init__(
        self, latent_size: int = 64, channels: Sequence[int] = (128, 96, 48, 24), image_channels: int = 3
    ) -> None:
        self.channels = as_sizes(channels, "channels")
        super().__init__(latent_size=latent_size, channels=self.channels, image_channels=image_channels)
        side = 4 * 2 ** len(self.channels)
        self.image_shape = (as_whole(image_channels, "image_channels", 1), side, side)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        layers: list[nn.Module] = [nn.Linear(latent_size, 16 * self.channels[0], bias=False)]
        layers += [nn.Unflatten(1, (self.channels[0], 4, 4)), nn.BatchNorm2d(self.channels[0]), nn.ReLU()]
        for coarse, fine in itertools.pairwise(self.channels):
            layers += [nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(fine), nn.ReLU()]
        last = nn.ConvTranspose2d(self.channels[-1], image_channels, 4, stride=2, padding=1)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())
        start_glorot(self)
        in_the_order_of_pixels(self)

    def pictures(self, codes: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Codes (B, n) to images (B, C, S, S) in [-1, 1]."""
        images: Tensor = self.layers(codes)
        return images

    def opponent(self) -> nn.Module:
        """The generator's mirror."""
        layers: list[nn.Module] = []
        for fine, coarse in itertools.pairwise([self.image_shape[0], *self.channels[::-1]]):
            layers += [nn.Conv2d(fine, coarse, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        network = nn.Sequential(
            *layers, MinibatchDeviation(), nn.Flatten(), nn.Linear(16 * (self.channels[0] + 1), 1), nn.Flatten(0)
        )
        start_glorot(network)
        in_the_order_of_pixels(network)
        return network
