"""The first weights of v's networks."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["initialise"]


@torch.no_grad()
def initialise(
    network: nn.Sequential, generator: torch.Generator, features: float | None = None, bias: float = 0.0
) -> None:
    """Glorot's uniform weights (square layers: orthogonal, so of full rank), uniform biases, a = 1, b = 0.

    Args:
        network: of linear layers and abTanh.
        generator: source of the randomness, on the CPU.
        features: with it, the first layer gets units of that steepness, spread over [-1, 1]^d (Nguyen & Widrow
            1990): about as many of them as there are codes to tell apart.
        bias: largest bias of the other layers. With none at all the network is an odd function.
    """
    first = True
    for layer in network:
        if not isinstance(layer, nn.Linear):
            for parameter in layer.parameters():
                parameter.zero_()
            continue
        weight = torch.empty(layer.weight.shape)
        if first and features is not None:
            weight.normal_(generator=generator)
            weight *= features / weight.norm(dim=1, keepdim=True)
            layer.bias.copy_((torch.rand(len(weight), generator=generator) * 2 - 1) * features)
        else:
            if weight.shape[0] == weight.shape[1]:
                nn.init.orthogonal_(weight, generator=generator)
            else:
                nn.init.xavier_uniform_(weight, generator=generator)
            layer.bias.copy_((torch.rand(len(weight), generator=generator) * 2 - 1) * bias)
        layer.weight.copy_(weight)
        first = False
