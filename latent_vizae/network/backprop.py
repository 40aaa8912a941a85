"""Slopes of v's networks by hand: forward and backward of one half of v.

Networks this small are bound by what surrounds the arithmetic; without autograd and a loop over parameters, a step
takes half the time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .abtanh import AbTanh
from .perceptron import affine, bent

__all__ = ["Half", "gradient_of"]


class Half:
    """v_e or v_d: `forward`, then `backward` into the weights' ``.grad``, which must be there (`Adam` makes them).

    Scales and locations are taken into the weights and biases, where they cost little: see `affine`.

    Args:
        network: linear layers with an abTanh (per channel) between them.
        by_inputs: whether `backward` goes on to the inputs, or stops behind the first layer.
    """

    def __init__(self, network: nn.Sequential, by_inputs: bool = False) -> None:
        self.network, self.by_inputs = network, by_inputs
        self.linear = [layer for layer in network if isinstance(layer, nn.Linear)]
        self.bends = [layer for layer in network if isinstance(layer, AbTanh)]
        self._weights: list[Tensor] = []
        self._inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs); what `backward` needs is kept."""
        *before, (last, last_bias) = affine(self.network, x)
        self._weights, self._inputs = [*(weight for weight, _ in before), last], [x]
        for weight, bias in before:
            x = bent(x, weight, bias)
            self._inputs.append(x)
        return torch.addmm(last_bias, x, last.T)

    def backward(self, slope: Tensor) -> Tensor:
        """Slope of the loss by the outputs (B, outputs) -> by the inputs (B, inputs) or the first layer's outputs."""
        for index in reversed(range(len(self.linear))):
            linear, inputs, weight = self.linear[index], self._inputs[index], self._weights[index]
            by_bias = torch.sum(slope, 0, out=gradient_of(linear.bias))
            if index < len(self.bends):
                torch.neg(by_bias, out=gradient_of(self.bends[index].location))
            by_weight = torch.mm(slope.T, inputs, out=gradient_of(linear.weight))
            if index > 0 or self.by_inputs:
                slope = torch.mm(slope, weight)
            if index > 0:
                scale = self.bends[index - 1].log_scale
                torch.sum(by_weight * weight, 0, out=gradient_of(scale))
                by_weight *= scale.exp()
                slope = torch.ops.aten.tanh_backward(slope, inputs)
        return slope


def gradient_of(weight: Tensor) -> Tensor:
    """The memory where an optimiser looks for a weight's gradient."""
    if weight.grad is None:
        raise RuntimeError("These weights need gradients: make an Adam of them first.")
    return weight.grad
