"""Measures of directions: length of a step, agreement of its effect between codes, explained image change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

__all__ = ["calibrate", "change_of", "explained", "largest_cosine", "moved", "random_sets", "sameness"]


Decode = Callable[[Tensor], Tensor]
"""Flat codes (B, n) -> images (B, C, H, W)."""

GRID = (1 / 16, 1 / 4, 1.0, 4.0)
"""Where steps are first looked for, in shifts; the last is the longest a step may be."""

MOST_ITERATIONS, EXACT = 10, 1e-3

LEAST = 0.3
"""Directions that reach less than this share of the wanted change are reported as not changing images."""


def moved(decode: Decode, codes: Tensor, move: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) of codes (B, n) moved forwards and backwards by a move (n,)."""
    both = decode(torch.cat([codes + move, codes - move]))
    return both[: len(codes)], both[len(codes) :]


def change_of(decode: Decode, codes: Tensor, moves: Tensor) -> Tensor:
    """Image change (D,) of moves (D, n): root mean square over pixels, mean over codes (B, n) and both ways."""
    before, changes = decode(codes), []
    for move in moves:
        sides = [(side - before).flatten(1).square().mean(1).sqrt() for side in moved(decode, codes, move)]
        changes.append(torch.cat(sides).mean())
    return torch.stack(changes)


def calibrate(
    decode: Decode, sets: list[tuple[Tensor, Tensor]], wanted: float, shift: float
) -> tuple[list[Tensor], float, Tensor]:
    """Lengths of moves that change images by the same amount in every direction.

    The amount is that of `change_of`. The shortest such length within a factor of 4 is found by bracketing and the
    Illinois method, every direction by itself.

    Args:
        decode: flat codes -> images.
        sets: directions (D, n), and the codes (B, n) to measure them at.
        wanted: the change, in [0, 1]; lowered to the largest change of the least effective direction.
        shift: a typical move, in code units; steps are at most 4 times as long.

    Returns:
        For each set the lengths (D,) in code units; the change; and a mask over all directions, set after set, of
        those that do not change images enough (they get the largest length).
    """
    grid = shift * torch.tensor(GRID, dtype=torch.float64)

    def change(directions: Tensor, lengths: Tensor, codes: Tensor) -> Tensor:
        return change_of(decode, codes, directions * lengths.to(directions).unsqueeze(1)).double().cpu()

    tables = [
        torch.stack([change(some, length.expand(len(some)), codes) for length in grid], 1) for some, codes in sets
    ]
    reached = torch.cat([table.amax(1) for table in tables])
    moving = reached >= LEAST * wanted
    amount = min(wanted, 0.98 * reached[moving].min().item()) if moving.any() else 0.0
    all_lengths = []
    for (directions, codes), table in zip(sets, tables, strict=True):
        live = table.amax(1) >= LEAST * wanted
        lengths = grid[-1].expand(len(directions)).clone()
        if amount and live.any():
            lengths[live] = _solve(
                partial(change, codes=codes), directions[live.to(directions.device)], grid, table[live], amount
            )
        all_lengths.append(lengths.float())
    return all_lengths, amount, ~moving


def _solve(
    change: Callable[[Tensor, Tensor], Tensor], directions: Tensor, grid: Tensor, table: Tensor, amount: float
) -> Tensor:
    """Lengths (D,) at which ``change`` is ``amount``, from its values (D, points) on a grid: the Illinois method."""
    first = (table >= amount).long().argmax(1)  # the first point that goes far enough
    before = (first - 1).clamp(min=0)
    low = torch.where(first > 0, grid[before], 0.0)
    low_value = torch.where(first > 0, table.gather(1, before[:, None])[:, 0], 0.0) - amount
    high, high_value = grid[first], table.gather(1, first[:, None])[:, 0] - amount
    best, error = high.clone(), high_value.abs()
    for _ in range(MOST_ITERATIONS):
        unsolved = (error > EXACT * amount).nonzero().squeeze(1)
        if len(unsolved) == 0:
            break
        left, right, under, over = low[unsolved], high[unsolved], low_value[unsolved], high_value[unsolved]
        middle = (left * over - right * under) / (over - under).clamp(min=1e-300)
        value = change(directions[unsolved.to(directions.device)], middle) - amount
        better = value.abs() < error[unsolved]
        best[unsolved] = torch.where(better, middle, best[unsolved])
        error[unsolved] = torch.where(better, value.abs(), error[unsolved])
        below = value < 0
        high_value[unsolved] = torch.where(below, over / 2, value)  # the end that stays counts half
        low_value[unsolved] = torch.where(below, value, under / 2)
        low[unsolved], high[unsolved] = torch.where(below, middle, left), torch.where(below, right, middle)
    return best


def sameness(changed: Tensor) -> float:
    """Agreement of image changes (B, C, H, W) at different codes: mean cosine of two of them.

    ``(|sum u|^2 - B) / (B (B - 1))`` for the B changes u, scaled to unit length; in [-1/(B - 1), 1], 1 is best.
    Codes at which nothing changes are left out.
    """
    rows = changed.flatten(1).double()
    sizes = rows.norm(dim=1, keepdim=True)
    units = (rows / sizes.clamp(min=1e-12))[sizes[:, 0] > 1e-9]
    count = len(units)
    return (units.sum(0).square().sum().item() - count) / (count * (count - 1)) if count > 1 else 0.0


def explained(
    decode: Decode, start: Tensor, end: Tensor, shared: Tensor, sets: list[Tensor]
) -> tuple[float, list[float]]:
    """Share of the image change between pairs of codes that sets of directions explain.

    ``e(U) = sum |f(z + U^T U (z' - z)) - f(z')|^2`` over pairs (z, z'): the error at z' of a move that is projected
    onto the span of U. The global set explains ``1 - e(G) / e(none)``; a further set C explains
    ``1 - e(G and C) / e(G)`` of the rest. At most 1; below 0 where a set increases the error.

    Args:
        decode: flat codes -> images.
        start: (P, n).
        end: (P, n).
        shared: (K, n), the global set, orthonormal.
        sets: each (K, n), orthonormal and orthogonal to ``shared``.

    Returns:
        The share of the global set, and that of each further one.
    """
    wanted, way = decode(end), end - start

    def missing(directions: Tensor) -> float:
        moved = start + way @ directions.T @ directions
        return (decode(moved) - wanted).double().square().sum().item()

    nothing, alone = (decode(start) - wanted).double().square().sum().item(), missing(shared)
    further = [1 - missing(torch.cat([shared, more])) / alone if alone > 0 else 0.0 for more in sets]
    return 1 - alone / nothing if nothing > 0 else 0.0, further


def random_sets(shared: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random sets (count, K, n) of orthonormal directions, orthogonal to ``shared`` (K, n)."""
    size, n = shared.shape
    rows = torch.randn(count, n, size, generator=generator, dtype=torch.float64)
    common = shared.T.double().cpu()
    for _ in range(2):
        rows = torch.linalg.qr(rows - common @ (common.T @ rows)).Q
    return rows.transpose(1, 2).to(shared)


def largest_cosine(shared: Tensor, own: Tensor) -> tuple[float, float]:
    """Largest cosines, between the global set (K, n) and any of own (N, K, n), and within a set."""
    sets = torch.cat([shared.unsqueeze(0), own]).double()
    inside = (sets @ sets.transpose(1, 2) - torch.eye(len(shared), dtype=torch.float64, device=sets.device)).abs()
    across = (own.double() @ shared.double().T).abs()
    return float(across.max()) if len(own) else 0.0, float(inside.max())
