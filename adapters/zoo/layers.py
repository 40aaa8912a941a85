"""Layers of progressive GANs and StyleGAN that torch does not have."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, linear

__all__ = [
    "AdaIN",
    "EqualConv2d",
    "EqualLinear",
    "MinibatchDeviation",
    "Noise",
    "PixelNorm",
    "blend",
    "halve",
    "start_normal",
    "twice",
]


def start_normal(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill with draws from N(mean, std^2) and return it; a tensor without memory is left: torch takes 4 s for one."""
    return tensor if tensor.is_meta else nn.init.normal_(tensor, mean, std)


class EqualLinear(nn.Linear):
    """A linear layer with equalised learning rate (Karras et al. 2018, section 4.1).

    Weights are drawn from N(0, 1) and multiplied by He's constant, ``gain / sqrt(inputs)``, at run time rather than
    once: Adam's steps do not depend on the size of a weight, so all layers then learn at one pace.

    Args:
        inputs: numbers in.
        outputs: numbers out.
        gain: sqrt(2) before a leaky ReLU, 1 before nothing.
        bias: what biases start at.
        rate: factor of the learning rate (StyleGAN's mapping network: 0.01).
    """

    def __init__(
        self, inputs: int, outputs: int, gain: float = math.sqrt(2), bias: float = 0.0, rate: float = 1.0
    ) -> None:
        super().__init__(inputs, outputs)
        start_normal(self.weight, std=1 / rate)
        nn.init.constant_(self.bias, bias / rate)
        self.scale, self.rate = rate * gain / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        return linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv2d(nn.Conv2d):
    """A convolution of odd size, "same" padding, with equalised learning rate: see `EqualLinear`."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, gain: float = math.sqrt(2)) -> None:
        super().__init__(inputs, outputs, size, padding=size // 2)
        start_normal(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.scale = gain / math.sqrt(inputs * size**2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class PixelNorm(nn.Module):
    """Features of each pixel, (B, C, ...), to a mean square of 1 (Karras et al. 2018, section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape: ``x / sqrt(mean over channels of x^2 + 1e-8)``."""
        normed: Tensor = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        return normed


class MinibatchDeviation(nn.Module):
    """One more channel: how different the images of a batch are from each other (Karras et al. 2018, section 3).

    The standard deviation over the batch of every feature at every place, averaged to one number. With it a
    discriminator recognises a generator whose images vary too little.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + 1, H, W)."""
        deviation = (x.var(0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], 1)


class Noise(nn.Module):
    """White noise added to every channel, by a learned amount each, 0 at first (Karras et al. 2019).

    In training the noise is drawn anew each time; otherwise it is ``fixed``, a buffer, so that a code has one image.
    """

    fixed: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("fixed", start_normal(torch.empty(1, 1, size, size)))

    def forward(self, x: Tensor, random: torch.Generator | None = None) -> Tensor:
        """(B, C, size, size) -> the same; ``random`` is a generator on the CPU, or None for the fixed noise."""
        noise = self.fixed if random is None else torch.randn(len(x), 1, *x.shape[2:], generator=random).to(x)
        return x + self.amount * noise


class AdaIN(nn.Module):
    """Adaptive instance normalisation: a style sets mean and deviation of every channel (Huang & Belongie 2017).

    Args:
        channels: of the images, C.
        style_size: numbers of a style.
    """

    def __init__(self, channels: int, style_size: int) -> None:
        super().__init__()
        self.scale = EqualLinear(style_size, channels, gain=1, bias=1)
        self.shift = EqualLinear(style_size, channels, gain=1)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, C, H, W) and (B, style_size) -> channels with deviation |scale(style)| and mean shift(style)."""
        centred = x - x.mean((2, 3), keepdim=True)
        normed = centred * (centred.square().mean((2, 3), keepdim=True) + 1e-8).rsqrt()
        styled: Tensor = normed * self.scale(style)[..., None, None] + self.shift(style)[..., None, None]
        return styled


def twice(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 2H, 2W), nearest neighbour."""
    return interpolate(x, scale_factor=2.0)


def halve(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H/2, W/2), means of 2x2 pixels."""
    return avg_pool2d(x, 2)


def blend(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) old + alpha new: the new one fades in."""
    return new if alpha >= 1 else torch.lerp(old, new, alpha)
