"""Two to 49 codes: their points first, then both halves of v solved to take them there and back.

Training from a random start fails on as few as ten codes on a line (a curve through ten points has to find their
order first). So the order comes first, from distances, and both halves of v then have a linear problem to solve.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine

from latent_vizae.network.initial import initialise
from latent_vizae.network.perceptron import linear_layer

from .last_layer import solve_last_layer

__all__ = ["FEW", "place_few", "solve_few"]


FEW = 50
"""Fewer codes are solved, not trained."""

OFF_SURFACE = 4
"""Noisy copies of the surface from which v_e learns to come back to it."""


def _shortest_tour(distances: list[list[float]]) -> list[int]:
    """A short open path through all points: nearest neighbours from every start, improved by 2-opt."""
    count = len(distances)
    best: tuple[float, list[int]] = (float("inf"), [])
    for start in range(count):
        tour, left = [start], set(range(count)) - {start}
        while left:
            tour.append(min(left, key=lambda j: (distances[tour[-1]][j], j)))
            left.remove(tour[-1])
        improved = True
        while improved:
            improved = False
            for i in range(count - 1):
                for j in range(i + 1, count):
                    before = distances[tour[i - 1]][tour[i]] - distances[tour[i - 1]][tour[j]] if i else 0.0
                    after = distances[tour[j]][tour[j + 1]] - distances[tour[i]][tour[j + 1]] if j + 1 < count else 0.0
                    if before + after > 1e-9 * distances[tour[i]][tour[j]] + 1e-300:
                        tour[i : j + 1] = tour[i : j + 1][::-1]
                        improved = True
        length = sum(distances[a][b] for a, b in itertools.pairwise(tour))
        if length < best[0]:
            best = (length, tour)
    return best[1]


def place_few(x: Tensor, dim: int, iterations: int = 200) -> Tensor:
    """Points (k, dim) in [-1, 1]^dim whose distances follow those of x (k, rank); k up to a hundred or so.

    dim 1: the shortest path through the codes, at their distances. dim 2 and 3: metric multidimensional scaling
    (SMACOF, de Leeuw 1977) from the principal components.
    """
    data = x.detach().cpu().double()
    distances = torch.cdist(data, data)
    if dim == 1:
        tour = _shortest_tour(distances.tolist())
        points = data.new_zeros(len(data), 1)
        points[tour[1:], 0] = torch.stack([distances[a, b] for a, b in itertools.pairwise(tour)]).cumsum(0)
    else:
        u, s, _ = torch.linalg.svd(data - data.mean(0), full_matrices=False)
        points = (u * s)[:, :dim]  # where codes lie symmetrically, some of these coincide: nudge them apart
        nudge = torch.randn(points.shape, generator=torch.Generator().manual_seed(0)).to(points)
        points = points + 1e-3 * points.std() * nudge
        for _ in range(iterations):
            stress = -distances / torch.cdist(points, points).clamp(min=1e-12)
            stress.fill_diagonal_(0)
            stress.diagonal().copy_(-stress.sum(1))
            points = stress @ points / len(points)
        points = points - points.mean(0)
        points = points @ torch.linalg.eigh(points.T @ points)[1].flip(1)
    low, high = points.amin(0), points.amax(0)
    return ((points - (low + high) / 2) / ((high - low) / 2).clamp(min=1e-12)).to(x)


@torch.no_grad()
def solve_few(
    encoder: nn.Sequential, decoder: nn.Sequential, x: Tensor, points: Tensor, generator: torch.Generator
) -> None:
    """Set v_e and v_d so that few codes come back, with a calm map between them and a way back from all of it.

    Random features and least squares, in closed form. The codes weigh 10,000 times as much as a cloud of points over
    the whole map, where v_d is to follow the codes' linear trend plus a mean of what they deviate from it, the nearer
    ones counting more (Shepard 1968; without the trend v_d would stand still around and beyond the codes, and not be
    one-to-one there), and v_e is to undo v_d, there and with noise of unit size added, so that other codes find a
    place on the map too.

    Args:
        encoder: v_e's network, rank -> dim.
        decoder: v_d's network, dim -> rank.
        x: (k, rank), k below the width of the networks.
        points: (k, dim) in [-1, 1]^dim, where they are to be.
        generator: source of the randomness, on the CPU.
    """
    dim, points = points.shape[1], 0.98 * points
    steepness = 0.5 * min(linear_layer(decoder, 0).out_features, max(4, len(x))) ** (1 / dim)
    initialise(encoder, generator, bias=0.5)
    initialise(decoder, generator, steepness)
    between = (SobolEngine(dim, scramble=True, seed=0).draw(256 * dim, dtype=torch.float32) * 2.4 - 1.2).to(x)
    spacing = 2 / len(x) ** (1 / dim)
    shares = torch.softmax(-torch.cdist(between, points).square() / (2 * (0.6 * spacing) ** 2), 1)
    weights = torch.cat([x.new_full((len(x),), 10_000.0), x.new_ones(len(between))])
    inputs = torch.cat([points, x.new_ones(len(x), 1)], 1)
    ridge = 0.05 * len(x) * torch.eye(dim + 1).to(x)
    trend = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ x)
    beyond = torch.cat([between, x.new_ones(len(between), 1)], 1) @ trend
    wanted = torch.cat([x, beyond + shares @ (x - inputs @ trend)])
    solve_last_layer(decoder, torch.cat([points, between]), wanted, weights)
    surface = decoder(between)
    around = surface.repeat(OFF_SURFACE, 1)
    around = around + torch.randn(around.shape, generator=generator).to(x)
    solve_last_layer(
        encoder,
        torch.cat([x, surface, around]),
        torch.cat([points, between, between.repeat(OFF_SURFACE, 1)]),
        torch.cat([weights, x.new_full((len(around),), 0.01)]),
    )
    excess = encoder(x).abs().max().item() * 1.001
    if excess > 1:  # the codes were not reached exactly; the map still ends at 1
        last = linear_layer(encoder, -1)
        last.weight.div_(excess)
        last.bias.div_(excess)
    solve_last_layer(decoder, torch.cat([encoder(x), between]), wanted, weights)
