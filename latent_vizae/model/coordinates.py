"""The coordinates that v works in: written once, for `fit`, v and what is added to its codes.

``x = (z - mean) @ basis @ frame`` takes a flat code z of n numbers to x of rank numbers, in which distances are image
changes to first order; ``z = mean + x @ unframe @ basis.T`` takes it back, but for what lies outside of the basis.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Coordinates", "columns_of"]


def columns_of(codes: Tensor) -> list[slice]:
    """Columns of codes (B, n) to work on at a time: few enough for a processor's cache."""
    size = 2**18 // max(1, len(codes)) + 1
    return [slice(start, start + size) for start in range(0, codes.shape[1], size)]


class Coordinates(NamedTuple):
    """Mean (n,), orthonormal basis (n, rank), frame (rank, rank) and its inverse; all of one dtype and device."""

    mean: Tensor
    basis: Tensor
    frame: Tensor
    unframe: Tensor

    def into(self, codes: Tensor) -> Tensor:
        """Flat codes (B, n) to x (B, rank)."""
        inside: Tensor | None = None
        for part in columns_of(codes):
            some = (codes[:, part] - self.mean[part]) @ self.basis[part]
            inside = some if inside is None else inside + some
        if inside is None:
            raise ValueError(f"Codes of this map have {len(self.mean)} numbers, got none.")
        return inside @ self.frame

    def back(self, x: Tensor) -> Tensor:
        """Coordinates x (B, rank) to flat codes (B, n)."""
        codes: Tensor = (x @ self.unframe @ self.basis.T).add_(self.mean)
        return codes
