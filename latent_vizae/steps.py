"""Steps of training, by hand: forward and backward of one half of v, and Adam over all weights at once.

Networks this small are bound by what surrounds the arithmetic; without autograd and a loop over parameters, a step
takes half the time.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .activations import AbTanh

__all__ = ["Adam", "Half"]


class Half:
    """v_e or v_d: `forward`, then `backward` into the weights' ``.grad``, which must be there (`Adam` makes them).

    Args:
        network: linear layers with an abTanh (per channel) between them.
    """

    def __init__(self, network: nn.Sequential) -> None:
        self.linear = [layer for layer in network if isinstance(layer, nn.Linear)]
        self.bends = [layer for layer in network if isinstance(layer, AbTanh)]
        self._inputs: list[Tensor] = []
        self._tanhs: list[Tensor] = []
        self._scales: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs); what `backward` needs is kept."""
        self._inputs, self._tanhs, self._scales = [x], [], [bend.log_scale.exp() for bend in self.bends]
        for linear, bend, scale in zip(self.linear[:-1], self.bends, self._scales, strict=True):
            tanh = torch.addmm(linear.bias - bend.location, x, linear.weight.T).tanh_()
            x = tanh * scale
            self._tanhs.append(tanh)
            self._inputs.append(x)
        return torch.addmm(self.linear[-1].bias, x, self.linear[-1].weight.T)

    def backward(self, slope: Tensor) -> Tensor:
        """Slope of the loss by the outputs (B, outputs) -> by the inputs (B, inputs)."""
        for index in reversed(range(len(self.linear))):
            linear = self.linear[index]
            if index < len(self.bends):
                torch.sum(slope * self._inputs[index + 1], 0, out=_gradient(self.bends[index].log_scale))
                slope = torch.ops.aten.tanh_backward(slope * self._scales[index], self._tanhs[index])
            by_bias = torch.sum(slope, 0, out=_gradient(linear.bias))
            if index < len(self.bends):
                torch.neg(by_bias, out=_gradient(self.bends[index].location))
            torch.mm(slope.T, self._inputs[index], out=_gradient(linear.weight))
            slope = torch.mm(slope, linear.weight)
        return slope


def _gradient(weight: Tensor) -> Tensor:
    if weight.grad is None:
        raise RuntimeError("These weights need gradients: make an Adam of them first.")
    return weight.grad


class Adam:
    """Adam (Kingma & Ba 2015) over one buffer that holds all weights.

    Args:
        parameters: to train. They are views of the buffer until `release`.
        rate: the step size.
        slow: how much of the running mean of squares stays at a step.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, slow: float = 0.98) -> None:
        self._parameters = list(parameters)
        self._weights = torch.cat([weight.detach().flatten() for weight in self._parameters])
        self._gradient, self._first, self._second = (torch.zeros_like(self._weights) for _ in range(3))
        self._rate, self._slow, self.steps, start = rate, slow, 0, 0
        for weight in self._parameters:
            part = slice(start, start + weight.numel())
            weight.data = self._weights[part].view(weight.shape)
            weight.grad = self._gradient[part].view(weight.shape)
            start = part.stop

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """The running means of the slopes and of their squares; with ``steps``, all that Adam remembers."""
        return self._first, self._second

    def step(self, share: float = 1.0) -> None:
        """Change the weights by their ``.grad``; ``share`` scales the step size."""
        self.steps += 1
        fast, slow = 0.9, self._slow
        self._first.lerp_(self._gradient, 1 - fast)
        self._second.mul_(slow).addcmul_(self._gradient, self._gradient, value=1 - slow)
        spread = (self._second / (1 - slow**self.steps)).sqrt_().add_(1e-8)
        self._weights.addcdiv_(self._first, spread, value=-self._rate * share / (1 - fast**self.steps))

    def descend(self, loss: Tensor, share: float = 1.0) -> None:
        """A step down the slope of a loss, by autograd."""
        for weight, slope in zip(self._parameters, torch.autograd.grad(loss, self._parameters), strict=True):
            _gradient(weight).copy_(slope)
        self.step(share)

    def release(self) -> None:
        """Give every parameter a tensor of its own again."""
        for weight in self._parameters:
            weight.data, weight.grad = weight.detach().clone(), None
