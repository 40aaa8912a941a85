"""The layers of a network: ranks of linear maps, and injectivity of activations."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from latent_vizae.network.abtanh import AbTanh

__all__ = ["Activation", "LinearMap", "activations", "linear_maps", "measure_map", "noting_calls"]


INJECTIVE = (nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.SELU, nn.Tanhshrink, AbTanh)

INJECTIVE_IF_POSITIVE = {nn.LeakyReLU: "negative_slope", nn.ELU: "alpha", nn.CELU: "alpha", nn.PReLU: "weight"}

NOT_INJECTIVE = (
    nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Mish, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Softshrink,
    nn.Hardshrink, nn.Threshold, nn.RReLU, nn.GLU, nn.Softmax, nn.Softmin, nn.LogSoftmax,
)  # fmt: skip


@dataclass(frozen=True)
class LinearMap:
    """Rank of one linear map, counted as the paper's Table 1 counts it.

    A convolution is the matrix of (input channels * kernel) x (output channels). The rank is the number of singular
    values above ``max(shape) * eps * sigma_max`` with float32's eps (numpy's and MATLAB's rule).
    """

    name: str
    inputs: int
    outputs: int
    rank: int
    sigma_min: float
    sigma_max: float

    @property
    def full(self) -> bool:
        """Whether the rank is min(inputs, outputs)."""
        return self.rank == min(self.inputs, self.outputs)

    @property
    def narrows(self) -> bool:
        """Whether it has fewer outputs than inputs, and so is not one-to-one for any rank."""
        return self.outputs < self.inputs


@dataclass(frozen=True)
class Activation:
    """Whether one activation is injective; None if it is of an unknown kind."""

    name: str
    kind: str
    injective: bool | None


def measure_map(name: str, matrix: Tensor, shape: tuple[int, int] | None = None) -> LinearMap:
    """Rank of a matrix; ``shape`` is that of the map if the matrix is a smaller one with the same singular values."""
    inputs, outputs = shape or (matrix.shape[0], matrix.shape[1])
    values = torch.linalg.svdvals(matrix.detach().double())
    tolerance = max(inputs, outputs) * torch.finfo(torch.float32).eps * values[0].item()
    return LinearMap(name, inputs, outputs, int((values > tolerance).sum()), values[-1].item(), values[0].item())


@contextlib.contextmanager
def noting_calls(module: nn.Module) -> Iterator[set[str]]:
    """Names of the layers of a module that are called in the meantime."""
    called: set[str] = set()
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: called.add(name)) for name, layer in module.named_modules()
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def linear_maps(module: nn.Module, prefix: str, among: Container[str] | None = None) -> tuple[LinearMap, ...]:
    """Rank of every linear and convolutional layer of a module, in the order in which they are defined.

    Args:
        module: any module.
        prefix: put before the layers' names.
        among: names of layers; None for all.
    """
    maps = []
    for name, layer in module.named_modules():
        if among is not None and name not in among:
            continue
        if isinstance(layer, nn.Linear):
            matrix = layer.weight.T
        elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            matrix = layer.weight.flatten(1).T
        elif isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            matrix = layer.weight.movedim(1, -1).flatten(0, -2)
        else:
            continue
        maps.append(measure_map(f"{prefix}.{name}".rstrip("."), matrix))
    return tuple(maps)


def activations(module: nn.Module, prefix: str, among: Container[str] | None = None) -> tuple[Activation, ...]:
    """Whether each activation of a module is injective; activations called as functions are not found.

    Args:
        module: any module.
        prefix: put before the layers' names.
        among: names of layers; None for all.
    """
    kinds = []
    for name, layer in module.named_modules():
        if among is not None and name not in among:
            continue
        verdict: bool | None
        conditional = next((key for kind, key in INJECTIVE_IF_POSITIVE.items() if isinstance(layer, kind)), None)
        if isinstance(layer, INJECTIVE):
            verdict = True
        elif conditional is not None:
            verdict = bool((torch.as_tensor(getattr(layer, conditional)) > 0).all())
        elif isinstance(layer, NOT_INJECTIVE):
            verdict = False
        elif type(layer).__module__ == "torch.nn.modules.activation" and not isinstance(layer, nn.MultiheadAttention):
            verdict = None
        else:
            continue
        kinds.append(Activation(f"{prefix}.{name}".rstrip("."), type(layer).__name__, verdict))
    return tuple(kinds)
