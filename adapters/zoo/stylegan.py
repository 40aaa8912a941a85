"""StyleGAN at 32 pixels: a code is mapped to a style, which modulates a learned constant (Karras et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latent_vizae.adapters.zoo.autoencoder import as_share, as_sizes
from latent_vizae.adapters.zoo.base import architecture, in_the_order_of_pixels
from latent_vizae.adapters.zoo.gan import AdversarialGenerator
from latent_vizae.adapters.zoo.layers import AdaIN, EqualConv2d, EqualLinear, Noise, PixelNorm, start_normal, twice
from latent_vizae.adapters.zoo.progressive import MOST_LEVELS, SMALLEST, GrowingDiscriminator
from latent_vizae.inputs.checks import as_whole

__all__ = ["StyleGAN"]


class _Styled(nn.Module):
    """[Conv k3] -> noise -> leaky ReLU -> AdaIN, at one resolution; the first has no convolution."""

    def __init__(self, inputs: int | None, outputs: int, size: int, style_size: int) -> None:
        super().__init__()
        self.conv = nn.Identity() if inputs is None else EqualConv2d(inputs, outputs)
        self.noise = Noise(outputs, size)
        self.bend = nn.LeakyReLU(0.2)
        self.style = AdaIN(outputs, style_size)

    def forward(self, x: Tensor, style: Tensor, random: torch.Generator | None) -> Tensor:
        styled: Tensor = self.style(self.bend(self.noise(self.conv(x), random)), style)
        return styled


@architecture
class StyleGAN(AdversarialGenerator):
    """The code does not enter the image: mapped to a style, it sets the statistics of every layer.

        mapping     n, pixel norm -> Linear + LeakyReLU for each of ``depth`` layers -> style (n)
        synthesis   constant 64x4x4 -> styled -> Conv k3, styled | twice -> two of Conv k3, styled | ... to 32x32
                    -> Conv k1, tanh;   styled: noise, LeakyReLU, AdaIN
        discriminator: the progressive GAN's

    Style mixing: in training, some images have the style of one code up to a layer and of another from there on,
    so that neighbouring layers do not come to depend on each other. Decoding uses noise that is fixed. Unlike the
    paper's it is trained at full size from the start, upsamples without a blur, and ends in a tanh.

    Args:
        channels: at 4x4, 8x8, ... pixels.
        latent_size: n, of codes (B, n) and of styles.
        depth: layers of the mapping network.
        mixing: share of the images that mix two styles in training, in [0, 1].
        image_channels: 1 for grey images, 3 for colour.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 64, 32, 16),
        latent_size: int = 64,
        depth: int = 4,
        mixing: float = 0.9,
        image_channels: int = 1,
    ) -> None:
        self.channels = as_sizes(channels, "channels")
        if len(self.channels) > MOST_LEVELS or not 1 <= as_whole(depth, "depth", 1) <= 16:
            raise ValueError(f"At most {MOST_LEVELS} channels and a depth of 16, got {self.channels} and {depth}.")
        self.mixing = as_share(mixing, "mixing")
        super().__init__(
            channels=self.channels,
            latent_size=latent_size,
            depth=depth,
            mixing=self.mixing,
            image_channels=image_channels,
        )
        side = SMALLEST * 2 ** (len(self.channels) - 1)
        self.image_shape = (as_whole(image_channels, "image_channels", 1), side, side)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        mapping: list[nn.Module] = [PixelNorm()]
        for _ in range(depth):
            mapping += [EqualLinear(latent_size, latent_size, rate=0.01), nn.LeakyReLU(0.2)]
        self.mapping = nn.Sequential(*mapping)
        self.constant = nn.Parameter(start_normal(torch.empty(1, self.channels[0], SMALLEST, SMALLEST)))
        layers, last = [], None
        for level, width in enumerate(self.channels):
            size = SMALLEST * 2**level
            layers += [_Styled(last, width, size, latent_size), _Styled(width, width, size, latent_size)]
            last = width
        self.layers = nn.ModuleList(layers)
        self.to_image = EqualConv2d(self.channels[-1], image_channels, 1, gain=1)
        in_the_order_of_pixels(self)

    def synthesise(self, styles: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Styles (B, layers, n), one a layer, to images (B, C, H, W) in [-1, 1]; ``random`` draws new noise."""
        x = self.constant.expand(len(styles), -1, -1, -1)
        for index, layer in enumerate(self.layers):
            x = twice(x) if index and index % 2 == 0 else x
            x = layer(x, styles[:, index], random)
        image: Tensor = self.to_image(x)
        return image.tanh()

    def mixed(self, codes: Tensor, others: Tensor, crossover: Tensor) -> Tensor:
        """Styles (B, layers, n): of ``codes`` in the layers before ``crossover`` (B,), of ``others`` from there on."""
        first = torch.arange(len(self.layers), device=codes.device) < crossover[:, None]
        return torch.where(first[..., None], self.mapping(codes)[:, None], self.mapping(others)[:, None])

    def pictures(self, codes: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Codes (B, n) to images (B, C, H, W) in [-1, 1]; with ``random``, with mixed styles and new noise."""
        count, layers = len(codes), len(self.layers)
        if random is None:
            return self.synthesise(self.mapping(codes)[:, None].expand(-1, layers, -1))
        others = self.draw(count, random)
        crossover = torch.randint(1, layers, (count,), generator=random)
        crossover[torch.rand(count, generator=random) >= self.mixing] = layers
        return self.synthesise(self.mixed(codes, others, crossover.to(codes.device)), random)

    def opponent(self) -> nn.Module:
        """The progressive GAN's discriminator, grown up."""
        grown = torch.tensor(len(self.channels) - 1.0, device=self.constant.device)
        return GrowingDiscriminator(self.channels, self.image_shape[0], grown)
