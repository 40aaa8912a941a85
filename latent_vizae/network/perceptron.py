"""The networks of v: linear layers with an abTanh between them, made, run fast, and run with their slopes."""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn

from .abtanh import AbTanh

__all__ = ["affine", "bent", "is_perceptron", "linear_layer", "perceptron", "through", "with_slopes"]


def perceptron(sizes: list[int]) -> nn.Sequential:
    """Linear layers with an abTanh (per channel) between them; nothing after the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        if layers:
            layers.append(AbTanh(inputs))
        layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


def is_perceptron(network: nn.Sequential) -> bool:
    """Whether these are linear layers with an abTanh between them, and not somebody's own."""
    kinds = [AbTanh if index % 2 else nn.Linear for index in range(len(network))]
    return len(kinds) % 2 == 1 and all(isinstance(layer, kind) for layer, kind in zip(network, kinds, strict=True))


def through(network: nn.Sequential, x: Tensor) -> Tensor:
    """``network(x)``, (B, d) -> (B, r), in three operations a layer of a perceptron, and in the precision of x.

    There are gradients only where x requires them.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
        if not is_perceptron(network):
            return cast(Tensor, network(x.to(next(network.parameters()))))
        *before, (last, last_bias) = affine(network, x)
        for weight, bias in before:
            x = bent(x, weight, bias)
        return torch.addmm(last_bias, x, last.T)


def with_slopes(network: nn.Sequential, points: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (B, r) of a perceptron, and their slopes (B, d, r) along each of its inputs (B, d), as `through`."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and points.requires_grad):
        *before, (last, last_bias) = affine(network, points)
        x, slopes = points, None
        for weight, bias in before:
            x = bent(x, weight, bias)
            rise = (1 - x.square()).unsqueeze(1)
            slopes = weight.T.contiguous() * rise if slopes is None else (slopes @ weight.T).mul_(rise)
        along = last.T if slopes is None else slopes @ last.T
        return torch.addmm(last_bias, x, last.T), along.expand(len(x), -1, -1)


def bent(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``tanh(x @ weight.T + bias)`` to 2e-7 (float32), as ``1 - 2 sigmoid(-2 ...)``: tanh takes five times as long."""
    return torch.rsub(torch.addmm(bias, x, weight.T, beta=-2, alpha=-2).sigmoid_(), 1.0, alpha=2.0)


def affine(network: nn.Sequential, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases with plain tanhs between them: locations go into the bias before, scales into the weights."""
    layers: list[tuple[Tensor, Tensor]] = []
    scale: Tensor | float = 1.0
    for layer in network:
        if isinstance(layer, nn.Linear):
            layers.append((layer.weight.to(like) * scale, layer.bias.to(like)))
        elif isinstance(layer, AbTanh):
            weight, bias = layers[-1]
            layers[-1] = weight, bias - layer.location.to(like)
            scale = layer.log_scale.to(like).exp()
    return layers


def linear_layer(network: nn.Sequential, index: int) -> nn.Linear:
    """The first (0) or last (-1) layer of one half of v."""
    layer = network[index]
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"layer {index} of v is linear, got {type(layer).__name__}.")
    return layer
