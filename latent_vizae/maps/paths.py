"""Curves on a map: with a constant pace of image change, and of least image change (geodesics)."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from latent_vizae.measures.geometry import VALUES_HELD, pull_back_metric, resample
from latent_vizae.training.optimisers import Adam

__all__ = ["constant_pace", "frame_changes", "lengths_along", "shortest_curve"]


Images = Callable[[Tensor], Tensor]

CELLS = {1: 2, 2: 24, 3: 9}


def frame_changes(images: Tensor) -> Tensor:
    """Root mean square over pixels of the change from image to image, (F - 1,)."""
    return (images[1:] - images[:-1]).flatten(1).square().mean(1).sqrt()


def _steps(images_of: Images, rows: Tensor) -> Tensor:
    """`frame_changes` of the images of rows (F, m), of which a bounded number is held at a time."""
    last, steps = images_of(rows[:1]), []
    for part in rows[1:].split(max(1, VALUES_HELD // last.numel())):
        images = torch.cat([last, images_of(part)])
        steps.append(frame_changes(images))
        last = images[-1:]
    return torch.cat(steps)


def constant_pace(images_of: Images, curve: Tensor, lengths: Tensor, frames: int, rounds: int = 6) -> Tensor:
    """Points along a polyline with equal image changes between them.

    The length of the curve in images is measured at 8 times as many points; then the frames are moved until the
    changes between them are equal.

    Args:
        images_of: (P, m) rows of the curve -> images.
        curve: (M, m) corners.
        lengths: (M,) a parameter that increases along them, from 0.
        frames: number of points to return.
        rounds: largest number of corrections.

    Returns:
        (frames, m), the ends included.
    """
    wanted = torch.linspace(0, 1, frames).to(lengths)

    def evened(at: Tensor, steps: Tensor) -> Tensor:
        """Positions of frames, by how much images change between positions ``at``."""
        travelled = torch.cat([steps.new_zeros(1), (steps + 1e-6 * steps.mean()).cumsum(0)])
        moved = resample(at.unsqueeze(1), travelled, wanted * travelled[-1]).squeeze(1)
        moved[-1] = lengths[-1]  # though images may change no more before it
        return moved

    fine = torch.linspace(0, 1, 8 * frames + 1).to(lengths) * lengths[-1]
    steps = _steps(images_of, resample(curve, lengths, fine)).to(lengths)
    if steps.sum() <= 0:
        return resample(curve, lengths, wanted * lengths[-1])
    best, evenness = None, math.inf
    at = evened(fine, steps)
    for _ in range(rounds):
        rows = resample(curve, lengths, at)
        steps = _steps(images_of, rows).to(lengths)
        spread = (steps.std(unbiased=False) / steps.mean().clamp(min=1e-30)).item()
        if spread < evenness:
            best, evenness = rows, spread
        if spread < 0.01:
            break
        at = evened(at, steps)
    return resample(curve, lengths, at) if best is None else best


def lengths_along(line: Tensor, where: list[int], residuals: Tensor | None) -> Tensor:
    """Length of a polyline from its start to each row, (M,).

    Between two corners with the same point but other residuals it increases by the mean length between corners: there
    only the residual changes.

    Args:
        line: (M, d).
        where: rows of its corners.
        residuals: (c, ...), those of the corners.
    """
    steps = (line[1:] - line[:-1]).norm(dim=1)
    if residuals is not None:
        parts = [steps[start:end] for start, end in itertools.pairwise(where)]
        sizes = torch.stack([part.sum() for part in parts])
        turns = (residuals[1:] != residuals[:-1]).flatten(1).any(1)
        for part, still in zip(parts, (turns & (sizes <= 1e-6 * sizes.sum())).tolist(), strict=True):
            if still:
                part[:] = (sizes.mean().item() or 1) / len(part)
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


def shortest_curve(images_of: Images, corners: Tensor, smoothing: int = 100) -> tuple[Tensor, list[int]]:
    """The path through the corners along which the images change least: a geodesic of the pull-back metric.

    The metric G = J^T J is measured on a grid over the map and interpolated linearly (24 x 24 cells in 2-D, 9^3 in
    3-D). Dijkstra's algorithm on that grid finds a rough path; then the curve's energy, the sum of dx^T G dx, is
    minimised. The result is the shortest in images of these curves and the straight line.

    Args:
        images_of: (P, d) -> images.
        corners: (c, d), c >= 2.
        smoothing: steps of the minimisation.

    Returns:
        (M, d), a fine polyline through the corners, and the numbers of their rows; on a 1-D map the corners alone.
    """
    dim = corners.shape[1]
    if dim == 1:
        return corners, list(range(len(corners)))
    low = torch.minimum(corners.amin(0), corners.new_full((dim,), -1.0))
    high = torch.maximum(corners.amax(0), corners.new_full((dim,), 1.0))
    cells = CELLS[dim]
    axes = [torch.linspace(0, 1, cells + 1).to(corners) for _ in range(dim)]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, dim)
    metric = pull_back_metric(images_of, low + nodes * (high - low)).to(corners)  # the decoder may be elsewhere
    scale = torch.diag_embed(high - low)
    metric = scale @ metric @ scale  # of the unit cube
    metric = metric + 1e-6 * metric.diagonal(dim1=1, dim2=2).mean() * torch.eye(dim).to(metric)
    field = metric.reshape(*(cells + 1,) * dim, dim * dim).movedim(-1, 0).unsqueeze(0)
    unit = (corners - low) / (high - low)
    pieces = []
    for (start, end), ends in zip(itertools.pairwise(unit), itertools.pairwise(corners), strict=True):
        rough = _dijkstra(nodes, metric, cells, start, end)
        straight = torch.stack([start, end])
        candidates = [straight, *(_relax(field, line, smoothing) for line in (rough, straight))]
        curves = [low + line * (high - low) for line in candidates]
        piece = min(curves, key=lambda curve: _image_length(images_of, curve))
        piece[0], piece[-1] = ends  # without rounding
        pieces.append(piece)
    where = [0, *itertools.accumulate(len(piece) - 1 for piece in pieces)]
    return torch.cat([pieces[0], *(piece[1:] for piece in pieces[1:])]), where


def _metric_at(field: Tensor, points: Tensor) -> Tensor:
    """Metric (P, d, d), linearly interpolated at points of the unit cube."""
    dim = points.shape[1]
    where = (points.flip(1) * 2 - 1).reshape(1, *(1,) * (dim - 1), -1, dim)
    values = torch.nn.functional.grid_sample(field, where, align_corners=True, padding_mode="border")
    return values.reshape(dim, dim, -1).permute(2, 0, 1)


def _energies(field: Tensor, line: Tensor) -> Tensor:
    steps, middles = line[1:] - line[:-1], (line[1:] + line[:-1]) / 2
    return torch.einsum("pi,pij,pj->p", steps, _metric_at(field, middles), steps).clamp(min=0)


def _image_length(images_of: Images, line: Tensor, samples: int = 65) -> float:
    lengths = torch.cat([line.new_zeros(1), (line[1:] - line[:-1]).norm(dim=1).cumsum(0)])
    points = resample(line, lengths, torch.linspace(0, 1, samples).to(line) * lengths[-1])
    return _steps(images_of, points).sum().item()


def _relax(field: Tensor, line: Tensor, steps: int, size: int = 33) -> Tensor:
    """Minimise the energy of a curve with fixed ends."""
    lengths = torch.cat([line.new_zeros(1), (line[1:] - line[:-1]).norm(dim=1).cumsum(0)])
    start = resample(line, lengths, torch.linspace(0, 1, size).to(line) * lengths[-1])
    with torch.inference_mode(False):  # a caller's no_grad or inference_mode does not reach in here
        field, start = field.clone(), start.clone()
        inner = start[1:-1].clone().requires_grad_()
        optimiser = Adam([inner], 5e-3, 0.999)
        for _ in range(steps):
            optimiser.descend(_energies(field, torch.cat([start[:1], inner, start[-1:]])).sum() * size)
    return torch.cat([start[:1], inner.detach(), start[-1:]])


def _dijkstra(nodes: Tensor, metric: Tensor, cells: int, start: Tensor, end: Tensor) -> Tensor:
    """Shortest path on the grid of nodes, from start to end, along axes and diagonals."""
    dim, side = nodes.shape[1], cells + 1
    strides = [side**power for power in range(dim - 1, -1, -1)]
    lengths = {}
    for offset in itertools.product((-1, 0, 1), repeat=dim):
        if any(offset):
            step = torch.tensor(offset).to(nodes) / cells
            lengths[offset] = torch.einsum("i,pij,j->p", step, metric, step).clamp(min=0).sqrt().tolist()

    def cell_of(point: Tensor) -> tuple[int, ...]:
        return tuple(int(value) for value in (point * cells).round().clamp(0, cells).tolist())

    def number(cell: tuple[int, ...]) -> int:
        return sum(c * s for c, s in zip(cell, strides, strict=True))

    source, target = cell_of(start), cell_of(end)
    distance, previous = {source: 0.0}, {}
    queue = [(0.0, source)]
    while queue:
        here_distance, here = heapq.heappop(queue)
        if here == target:
            break
        if here_distance > distance[here]:
            continue
        for offset, costs in lengths.items():
            there = tuple(a + b for a, b in zip(here, offset, strict=True))
            if not all(0 <= c <= cells for c in there):
                continue
            through = here_distance + (costs[number(here)] + costs[number(there)]) / 2
            if through < distance.get(there, math.inf):
                distance[there], previous[there] = through, here
                heapq.heappush(queue, (through, there))
    cells_on_way = [target]
    while cells_on_way[-1] != source:
        cells_on_way.append(previous[cells_on_way[-1]])
    return torch.cat([start[None], nodes[[number(cell) for cell in reversed(cells_on_way)]][1:-1], end[None]])
