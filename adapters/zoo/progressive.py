"""The progressive GAN: from 4 to 32 pixels, one doubling after the other, each fading in (Karras et al. 2018)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latent_vizae.adapters.zoo.autoencoder import as_sizes
from latent_vizae.adapters.zoo.base import architecture, in_the_order_of_pixels
from latent_vizae.adapters.zoo.gan import AdversarialGenerator
from latent_vizae.adapters.zoo.layers import (
    EqualConv2d,
    EqualLinear,
    MinibatchDeviation,
    PixelNorm,
    blend,
    halve,
    twice,
)
from latent_vizae.inputs.checks import as_whole

__all__ = ["GrowingDiscriminator", "ProgressiveGAN", "growth_at", "level_and_alpha"]

SMALLEST = 4
MOST_LEVELS = 7


def growth_at(progress: float, levels: int) -> float:
    """How far a network of ``levels`` resolutions has grown after a share of its training, in [0, levels - 1].

    2.3 means that resolution 3 has faded in by 0.3 over resolution 2. The first resolution is trained for one part of
    the time, each further one fades in during one part and then stays for another, the last one stays for two.
    """
    part = progress * 2 * levels
    level, since = divmod(part + 1, 2)
    return min(level - 1 + min(since, 1.0), levels - 1.0)


def level_and_alpha(growth: float) -> tuple[int, float]:
    """The newest resolution's index, and how far it has faded in, in (0, 1]."""
    level = math.ceil(growth)
    return level, 1.0 if level == growth else growth - (level - 1)


@architecture
class ProgressiveGAN(AdversarialGenerator):
    """Trained on coarse images first and then on finer ones, so that each step is easy.

        generator, n = 64   n, pixel norm -> Linear 64x4x4 -> Conv k3 | twice -> Conv k3 -> Conv k3 | ... to 32x32
                            and at every resolution a Conv k1 to an image, of which the newest fades in; tanh
        discriminator       its mirror, with the batch's standard deviation as one more channel before the end

    Leaky ReLU and pixel norm after every convolution of the generator, equalised learning rates everywhere. Unlike
    the paper's, images end in a tanh, which keeps them in [-1, 1]. ``growth`` is saved with the weights; a generator
    that has not reached the last resolution decodes small images, enlarged.

    Args:
        channels: at 4x4, 8x8, ... pixels; as many as there are resolutions.
        latent_size: n, codes are (B, n).
        image_channels: 1 for grey images, 3 for colour.
    """

    growth: Tensor

    def __init__(
        self, channels: Sequence[int] = (64, 64, 32, 16), latent_size: int = 64, image_channels: int = 1
    ) -> None:
        self.channels = as_sizes(channels, "channels")
        if len(self.channels) > MOST_LEVELS:
            raise ValueError(f"channels are at most {MOST_LEVELS}, one a resolution, got {len(self.channels)}.")
        super().__init__(channels=self.channels, latent_size=latent_size, image_channels=image_channels)
        side = SMALLEST * 2 ** (len(self.channels) - 1)
        self.image_shape = (as_whole(image_channels, "image_channels", 1), side, side)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        first = self.channels[0]
        start = nn.Sequential(
            PixelNorm(),
            EqualLinear(latent_size, first * SMALLEST**2, gain=math.sqrt(2) / 4),
            nn.Unflatten(1, (first, SMALLEST, SMALLEST)),
            nn.LeakyReLU(0.2),
            PixelNorm(),
            *_normed(first, first),
        )
        rest = [
            nn.Sequential(*_normed(coarse, fine), *_normed(fine, fine))
            for coarse, fine in itertools.pairwise(self.channels)
        ]
        self.blocks = nn.ModuleList([start, *rest])
        self.to_image = nn.ModuleList([EqualConv2d(width, image_channels, 1, gain=1) for width in self.channels])
        self.register_buffer("growth", torch.tensor(len(self.channels) - 1.0))
        in_the_order_of_pixels(self)

    def grow(self, progress: float) -> None:
        """Set the resolution, and how far it has faded in, of this share of the training."""
        self.growth.fill_(growth_at(progress, len(self.channels)))

    def at(self, codes: Tensor, growth: float) -> Tensor:
        """Codes (B, n) to images (B, C, S, S) in [-1, 1], of the newest resolution S at this growth."""
        level, alpha = level_and_alpha(min(max(growth, 0.0), len(self.blocks) - 1.0))  # a file may say anything
        x = last = self.blocks[0](codes)
        for block in self.blocks[1 : level + 1]:
            last, x = x, block(twice(x))
        image: Tensor = self.to_image[level](x)
        if alpha < 1:
            image = blend(twice(self.to_image[level - 1](last)), image, alpha)
        return image.tanh()

    def pictures(self, codes: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Codes (B, n) to images in [-1, 1]; with ``random``, of the newest resolution, else (B, C, H, W)."""
        images = self.at(codes, float(self.growth))
        while random is None and images.shape[-1] < self.image_shape[-1]:
            images = twice(images)
        return images

    def real(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of the newest resolution, faded in as the generator's are, in [-1, 1]."""
        level, alpha = level_and_alpha(float(self.growth))
        images = 2 * images - 1
        for _ in range(len(self.channels) - 1 - level):
            images = halve(images)
        return images if alpha == 1 else blend(twice(halve(images)), images, alpha)

    def opponent(self) -> nn.Module:
        """The generator's mirror; it shares the generator's buffer ``growth``."""
        return GrowingDiscriminator(self.channels, self.image_shape[0], self.growth)


class GrowingDiscriminator(nn.Module):
    """Images (B, C, S, S) in [-1, 1] -> logits (B,), at any of its resolutions.

    Args:
        channels: at 4x4, 8x8, ... pixels.
        image_channels: of the images.
        growth: the generator's, shared.
    """

    growth: Tensor

    def __init__(self, channels: Sequence[int], image_channels: int, growth: Tensor) -> None:
        super().__init__()
        self.register_buffer("growth", growth, persistent=False)
        self.from_image = nn.ModuleList([EqualConv2d(image_channels, width, 1) for width in channels])
        first = channels[0]
        end = nn.Sequential(
            MinibatchDeviation(),
            EqualConv2d(first + 1, first),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            EqualLinear(first * SMALLEST**2, first),
            nn.LeakyReLU(0.2),
            EqualLinear(first, 1, gain=1),
            nn.Flatten(0),
        )
        rest = [
            nn.Sequential(EqualConv2d(fine, fine), nn.LeakyReLU(0.2), EqualConv2d(fine, coarse), nn.LeakyReLU(0.2))
            for coarse, fine in itertools.pairwise(channels)
        ]
        self.blocks = nn.ModuleList([end, *rest])
        in_the_order_of_pixels(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B,) of images of the newest resolution."""
        return self.at(images, float(self.growth))

    def at(self, images: Tensor, growth: float) -> Tensor:
        """The same for any growth."""
        level, alpha = level_and_alpha(growth)
        x = nn.functional.leaky_relu(self.from_image[level](images), 0.2)
        for index in range(level, 0, -1):
            x = halve(self.blocks[index](x))
            if index == level and alpha < 1:
                old = nn.functional.leaky_relu(self.from_image[level - 1](halve(images)), 0.2)
                x = blend(old, x, alpha)
        logits: Tensor = self.blocks[0](x)
        return logits


def _normed(inputs: int, outputs: int) -> list[nn.Module]:
    return [EqualConv2d(inputs, outputs), nn.LeakyReLU(0.2), PixelNorm()]
