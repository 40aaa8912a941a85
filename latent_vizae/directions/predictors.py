"""Shift predictors: small CNNs that predict the direction and length of a move from the images before and after."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu

__all__ = ["ShiftPredictors"]


CHANNELS = (16, 32, 32, 32)

UNITS, SLOPE = 64, 0.1


class ShiftPredictors:
    """One predictor for each set of directions, computed together as grouped convolutions.

    The input is the image before the move and the difference of the two images.

    Args:
        sets: S, number of predictors.
        directions: K, number of directions in a set.
        image: (C, h, w) of one image.
        scale: root mean square difference of two images, to which differences are scaled.
        generator: of the first weights, on the CPU.
        device: where to compute.
    """

    def __init__(
        self,
        sets: int,
        directions: int,
        image: tuple[int, int, int],
        scale: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.sets, self.directions, self.scale = sets, directions, max(scale, 1e-6)
        inputs, height, width = 2 * image[0], image[1], image[2]
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []

        def layer(*size: int) -> None:
            spread = math.sqrt(2 / math.prod(size[2:]))
            weight = torch.randn(size, generator=generator, dtype=torch.float32) * spread
            self.weights.append(weight.to(device).requires_grad_())
            self.biases.append(torch.zeros(size[:2], device=device, dtype=torch.float32, requires_grad=True))

        depth = 3 if max(height, width) <= 32 else 4
        for channels in CHANNELS[:depth]:
            layer(sets, channels, inputs, 3, 3)
            inputs, height, width = channels, (height + 1) // 2, (width + 1) // 2
        layer(sets, UNITS, inputs * height * width)
        layer(sets, directions + 1, UNITS)

    @property
    def parameters(self) -> list[Tensor]:
        """All weights and biases."""
        return [*self.weights, *self.biases]

    def __call__(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Predict direction and shift.

        Args:
            before: (S, B, C, h, w).
            after: (S, B, C, h, w), of the moved codes.

        Returns:
            Logits (S, B, K) of the direction, and shifts (S, B), in units of the largest one.
        """
        sets = self.sets
        x = torch.cat([before, (after - before) / self.scale], 2).transpose(0, 1).flatten(1, 2)
        last = len(self.weights) - 2
        for weight, bias in zip(self.weights[:last], self.biases[:last], strict=True):
            x = conv2d(x, weight.flatten(0, 1), bias.flatten(), stride=2, padding=1, groups=sets)
            x = leaky_relu(x, SLOPE)
        x = x.unflatten(1, (sets, -1)).flatten(2).transpose(0, 1)  # (S, B, values)
        for at, (weight, bias) in enumerate(zip(self.weights[last:], self.biases[last:], strict=True)):
            x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
            x = leaky_relu(x, SLOPE) if at == 0 else x
        return x[..., :-1], x[..., -1]
