"""One direction of a latent space: a unit vector, the length of a step, and a name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from latent_vizae.inputs.arrays import ArrayLike, as_tensor
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.sources import as_codes
from latent_vizae.inputs.surroundings import methods_in_own_surroundings

__all__ = ["DEFAULT_REACH", "Direction", "as_direction"]


DEFAULT_REACH = 3.0


@methods_in_own_surroundings
@dataclass(frozen=True, eq=False)
class Direction:
    """One direction of a latent space.

    Attributes:
        vector: (n,), of unit length.
        step: length of a step of 1, in code units.
        name: for people, such as "class 8, 2"; numbers count from 0.
        label: id of its class, None for a global one.
        latent_shape: of one code.
    """

    vector: Tensor
    step: float
    name: str
    label: int | None
    latent_shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Direction({self.name!r}, step={self.step:.4g}, latent_shape={self.latent_shape})"

    def move(self, codes: ArrayLike, steps: ArrayLike = 1.0) -> Tensor:
        """Codes (k, *latent_shape), each moved by so many steps: a number, or one per code."""
        batch = as_codes(codes, self.latent_shape)
        far = torch.as_tensor(steps, dtype=torch.float32, device=batch.device).reshape(-1, *[1] * (batch.dim() - 1))
        if not torch.isfinite(far).all() or len(far) not in (1, len(batch)):
            raise ValueError(f"steps are finite, one number or one per code ({len(batch)}), got {steps!r:.80}.")
        return batch + far * self.step * self.vector.to(batch.device).reshape(self.latent_shape)

    def along(self, code: ArrayLike, steps: int = 13, reach: float = DEFAULT_REACH) -> Tensor:
        """Codes (steps, *latent_shape) from ``-reach`` to ``reach`` steps along the direction, the code in the middle.

        Args:
            code: (*latent_shape), or (1, *latent_shape).
            steps: number of codes, odd and at least 3.
            reach: distance to both sides, in steps, above 0.
        """
        steps = as_whole(steps, "steps", 3)
        if steps % 2 == 0:
            raise ValueError(f"steps is odd, so that the middle one is the code itself; got {steps}. Try {steps + 1}.")
        if isinstance(reach, bool) or not isinstance(reach, int | float) or not 0 < reach < math.inf:
            raise ValueError(f"reach is a number of steps above 0, got {reach!r}.")
        start = as_codes(code if _is_batch(code, self.latent_shape) else [code], self.latent_shape, "the code")
        if len(start) != 1:
            raise ValueError(f"A traverse starts at one code, got {len(start)}.")
        side = torch.arange(1, steps // 2 + 1).float() * (reach / (steps // 2))
        far = torch.cat([-side.flip(0), torch.zeros(1), side])
        return self.move(start.expand(steps, *self.latent_shape), far)


def _is_batch(code: ArrayLike, latent_shape: tuple[int, ...]) -> bool:
    shape = getattr(code, "shape", None)
    return shape is not None and len(shape) == len(latent_shape) + 1


def as_direction(vector: ArrayLike, latent_shape: tuple[int, ...], name: str = "given") -> Direction:
    """A vector of code space as a direction, whose step of 1 is the vector; a direction stays what it is.

    Args:
        vector: (n,), (*latent_shape) or (1, *latent_shape), of any length above 0.
        latent_shape: of one code; n is its product.
        name: for people.

    Raises:
        TypeError: not real numbers.
        ValueError: another shape, NaN or infinity, or a vector of 0.
    """
    if isinstance(vector, Direction):
        return vector
    tensor, n = as_tensor(vector, "a direction"), math.prod(latent_shape)
    if tuple(tensor.shape) not in ((n,), tuple(latent_shape), (1, *latent_shape)):
        raise ValueError(
            f"A direction of codes of shape {tuple(latent_shape)} is a vector of {n} numbers, flat or of that shape, "
            f"got shape {tuple(tensor.shape)}."
        )
    flat = tensor.flatten().double()
    length = flat.norm().item()
    if not 0 < length < math.inf:
        raise ValueError("A direction is a vector of finite numbers that are not all 0.")
    return Direction((flat / length).float(), length, name, None, tuple(latent_shape))
