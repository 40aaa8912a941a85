"""Adam and Muon over one flat buffer of all weights.

Networks this small are bound by the overhead of each operation: one buffer takes a handful of operations a step,
``torch.optim`` some for every parameter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor

from latent_vizae.network.backprop import gradient_of

__all__ = ["Adam", "Muon", "near_orthogonal"]


FAST = 0.9
"""How much of the running mean of slopes stays at a step."""

SPECTRAL, ITERATIONS = 13, 3


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
        self.gradient, self._first, self._second = (torch.zeros_like(self._weights) for _ in range(3))
        self._rate, self._slow, self.steps, start = rate, slow, 0, 0
        for weight in self._parameters:
            part = slice(start, start + weight.numel())
            weight.data = self._weights[part].view(weight.shape)
            weight.grad = self.gradient[part].view(weight.shape)
            start = part.stop

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """The running means of the slopes and of their squares; with ``steps``, all that Adam remembers."""
        return self._first, self._second

    def step(self, share: float = 1.0) -> None:
        """Change the weights by their ``.grad``; ``share`` scales the step size."""
        self.steps += 1
        slow, mine = self._slow, slice(len(self._second))  # Muon keeps no squares of its matrices, which come last
        self._first.lerp_(self.gradient, 1 - FAST)
        self._second.mul_(slow).addcmul_(self.gradient[mine], self.gradient[mine], value=1 - slow)
        spread = (self._second / (1 - slow**self.steps)).sqrt_().add_(1e-8)
        rate = self._rate * share / (1 - FAST**self.steps)
        self._weights[mine].addcdiv_(self._first[mine], spread, value=-rate)

    def descend(self, loss: Tensor, share: float = 1.0) -> None:
        """A step down the slope of a loss, by autograd."""
        for weight, slope in zip(self._parameters, torch.autograd.grad(loss, self._parameters), strict=True):
            gradient_of(weight).copy_(slope)
        self.step(share)

    def release(self) -> None:
        """Give every parameter a tensor of its own again."""
        for weight in self._parameters:
            weight.data, weight.grad = weight.detach().clone(), None


class Muon(Adam):
    """Muon (Jordan et al. 2024) for matrices, Adam for the other weights; both remember the same running mean.

    A matrix is changed by its mean slope with all singular values brought near 1: what little the slope says in most
    directions is learned as fast as what it says aloud in a few, and singular values of the matrix stay apart from 0.
    Trained for half the steps v is as good as with Adam alone. ``torch.optim.Muon`` takes one matrix at a time in
    bfloat16, four to eight times as long on a processor, and keeps a mean of its own.

    Args:
        parameters: to train.
        matrices: those of them that get Muon's steps.
        rate: Adam's step size; Muon's, in singular values, is 13 times it.
    """

    def __init__(self, parameters: Iterable[Tensor], matrices: Iterable[Tensor], rate: float) -> None:
        matrices = sorted(matrices, key=lambda matrix: tuple(matrix.shape))  # those alike go through together
        others = [weight for weight in parameters if all(weight is not matrix for matrix in matrices)]
        super().__init__([*others, *matrices], rate)
        self._second = self._second[: sum(weight.numel() for weight in others)].clone()
        self._alike, start = [], len(self._second)
        for shape, group in itertools.groupby(matrices, key=lambda matrix: matrix.shape):
            count = len(list(group))
            part = slice(start, start + count * shape.numel())
            self._alike.append((part, (count, *shape)))
            start = part.stop

    def step(self, share: float = 1.0) -> None:
        """Change the weights by their ``.grad``; ``share`` scales the step size."""
        super().step(share)
        for part, shape in self._alike:
            ahead = torch.lerp(self.gradient[part], self._first[part], FAST).view(shape)
            self._weights[part].view(shape).sub_(near_orthogonal(ahead), alpha=SPECTRAL * self._rate * share)


def near_orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (N, r, c) with their singular values brought near 1, by `ITERATIONS` of Newton and Schulz's iteration.

    Each round takes a singular value s to ``3.4445 s - 4.7750 s^3 + 2.0315 s^5`` (Jordan et al. 2024). To begin with
    they are divided by ``(sum of s^4)^(1/4)``, which is above the greatest.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    for iteration in range(ITERATIONS):
        gram = x @ x.mT
        if iteration == 0:
            size = torch.linalg.matrix_norm(gram, keepdim=True).clamp(min=1e-30)
            gram, x = gram / size, x / size.sqrt()
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x
