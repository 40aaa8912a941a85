"""abTanh, the paper's activation: bounded, smooth and one-to-one, with a learnable scale and location.

A layer of full rank followed by a one-to-one activation loses nothing that it does not have to lose.
ReLU, leaky ReLU's cousins SiLU and GELU, and clipping all fold different inputs together; tanh does not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AbTanh"]


class AbTanh(nn.Module):
    """Parametric tanh, ``a * tanh(x - b)`` with a > 0, both learnable.

    The paper (Ko et al. 2023, Table 1 and ref. 28) names the activation and says that its scale and its
    location are learned, but prints no formula; this one is ours. a is stored as its logarithm, so that
    no step of an optimiser can make it zero or negative: the activation stays strictly increasing.

    Args:
        num_parameters: 1 for one (a, b) per layer, or the number of channels for one pair per channel
            (dimension 1 of the input), as in ``torch.nn.PReLU``.

    Shape:
        Any input with at least 2 dimensions; the output has the input's shape and lies in (-a, a).

    Example:
        >>> AbTanh()(torch.zeros(1, 3)).tolist()
        [[0.0, 0.0, 0.0]]
    """

    def __init__(self, num_parameters: int = 1) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.log_scale = nn.Parameter(torch.zeros(num_parameters))
        self.location = nn.Parameter(torch.zeros(num_parameters))

    def forward(self, x: Tensor) -> Tensor:
        """Apply ``exp(log_scale) * tanh(x - location)`` elementwise."""
        scale: Tensor = self.log_scale.exp()
        location: Tensor = self.location
        if self.num_parameters > 1 and x.dim() > 2:
            shape = (-1,) + (1,) * (x.dim() - 2)
            scale, location = scale.view(shape), location.view(shape)
        return scale * torch.tanh(x - location)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"num_parameters={self.num_parameters}"
