"""The frame of fewer codes than the map has dimensions: completed by the directions that change images most."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.inputs.sources import CodeReader
from latent_vizae.measures.geometry import jacobian
from latent_vizae.model.coordinates import Coordinates

from .frame import LARGE_IMAGE, Frame, sampled_gradients
from .subspace import Subspace

__all__ = ["completed_frame", "cost_of_directions"]


MAX_DIRECTIONS = 64

IMAGE_CHANGE = 0.005
"""Mean square image change from the middle of a completed direction to its ends: visible, and still the same thing
(0.008 turns some MNIST digits into others)."""


def completed_frame(
    rows: CodeReader,
    inside: Subspace,
    dim: int,
    decoder: Callable[[Tensor], Tensor] | None,
    pixels: int,
    generator: torch.Generator,
    allowed: float = math.inf,
) -> Frame:
    """The frame of codes that vary in at most ``dim`` directions, completed to exactly ``dim``.

    The missing directions are those in which the decoder changes the images of these codes most: the leading
    eigenvectors of the pull-back metric, without what the codes span. Each reaches so far that at the edge of the
    map the image has changed by 0.005 (mean square over pixels). Without a decoder, or where it may not be asked for
    enough images (``allowed``), they are random and reach as far as the codes lie apart (or half the norm of the only
    code, or 1 for a code of 0).
    """
    if cost_of_directions(rows.n) > allowed:
        decoder = None
    mean, basis, rank = inside.mean, inside.basis.double(), inside.basis.shape[1]
    reaches = [((part.double() - mean) @ basis).abs().amax(0) for part in rows.parts()]
    spread = torch.stack(reaches).amax(0)
    typical = spread.max() if rank else (mean.norm() / 2 if mean.norm() > 0 else torch.ones_like(mean[0]))
    more, guided_by = _leading_directions(rows, basis, dim - rank, decoder, pixels, typical.item(), generator, allowed)
    reach = [_reach(decoder, mean, direction, typical, rows.latent_shape) for direction in more.T]
    half = torch.cat([spread, *(r.reshape(1) for r in reach)]) * (1 + 1e-6)
    parts = (mean, torch.cat([basis, more], 1), torch.diag(1 / half), torch.diag(half))
    coordinates = Coordinates(*(part.float().contiguous() for part in parts))
    return Frame(coordinates, inside.variances, inside.lost, guided_by=guided_by)


def cost_of_directions(n: int) -> float:
    """Images that are asked for at one code of n numbers: both ways along each candidate, and some to find reaches."""
    return 2 * min(n, MAX_DIRECTIONS) + 20


def _leading_directions(
    rows: CodeReader,
    basis: Tensor,
    count: int,
    decoder: Callable[[Tensor], Tensor] | None,
    pixels: int,
    typical: float,
    generator: torch.Generator,
    allowed: float,
) -> tuple[Tensor, str]:
    """Orthonormal directions (n, count), orthogonal to the basis, in which the images of the codes change most.

    With them what they are found from, as `FitReport.guided_by` has it.

    The exact Jacobian inside a subspace of at most 64 dimensions: all of them, or, for longer codes, those that random
    Jacobian products point to (a randomised singular value decomposition), or random ones where a decoder has no
    gradients. Of large images and longer codes the products alone decide.
    """
    n = rows.n
    if count == 0:
        return basis[:, :0], "codes"
    guided_by = "images"
    if decoder is not None and n <= MAX_DIRECTIONS:
        candidates = torch.eye(n, dtype=torch.float64, device=basis.device)
    else:
        most = MAX_DIRECTIONS
        slopes = None if decoder is None else sampled_gradients(decoder, rows, pixels, count, generator)
        if slopes is None:
            found = torch.randn(most, n, generator=generator).to(basis)
        else:
            found, most, guided_by = slopes.samples.to(basis), min(most, max(8, 2**17 // pixels)), "slopes"
            _, values, axes = torch.linalg.svd(found - (found @ basis) @ basis.T, full_matrices=False)
            if pixels > LARGE_IMAGE and values[count - 1] > 1e-6 * found.norm():
                leading: Tensor = axes[:count].T
                return leading, guided_by
        candidates = torch.linalg.svd(found, full_matrices=False)[2][:most].T
    candidates = candidates - basis @ (basis.T @ candidates)
    u, values, _ = torch.linalg.svd(candidates, full_matrices=False)
    kept: Tensor = u[:, : int((values > 1e-6 * values[0]).sum())]
    if decoder is None:
        first: Tensor = kept[:, :count]
        return first, "codes"
    metric = torch.zeros(kept.shape[1], kept.shape[1], dtype=torch.float64, device=basis.device)
    few = int(max(1, min(4, len(rows), allowed / cost_of_directions(n))))
    for code in rows[:few].flatten(1):

        def images_of(moves: Tensor, code: Tensor = code) -> Tensor:
            moved = (code.double() + moves.double() @ kept.T).float()
            return decode_images(decoder, moved.unflatten(1, rows.latent_shape))

        jac = jacobian(images_of, torch.zeros(1, kept.shape[1], device=basis.device), 1e-2 * typical)[0].double()
        metric += (jac.T @ jac).to(metric)
    leading = kept @ torch.linalg.eigh(metric)[1].flip(1)[:, :count]
    return leading, guided_by


def _reach(
    decoder: Callable[[Tensor], Tensor] | None,
    mean: Tensor,
    direction: Tensor,
    typical: Tensor,
    latent_shape: tuple[int, ...],
) -> Tensor:
    """How far to go from the mean until the image has changed by `IMAGE_CHANGE` on average of both ways."""
    if decoder is None:
        return typical
    middle = decode_images(decoder, mean.float().reshape(1, *latent_shape))
    distances: list[Tensor] = list(typical * torch.logspace(-3, 1, 41, dtype=torch.float64).to(mean))

    def share(index: int) -> float:
        codes = (mean + torch.stack([distances[index], -distances[index]]).unsqueeze(1) * direction).float()
        change = (decode_images(decoder, codes.unflatten(1, latent_shape)) - middle).square().mean()
        return change.item() / IMAGE_CHANGE

    # From a hundredth of the typical distance at most twice as far at a time, and only as far as it takes if the image
    # changes on in proportion: further out a decoder may break its contract.
    index = 10
    found = share(index)
    while found < 1 and index + 1 < len(distances):
        to_go = -5 * math.log10(max(found, 1e-9))  # ten distances are a factor of ten
        index = min(index + max(1, min(3, int(to_go))), len(distances) - 1)
        found = share(index)
    while index > 0 and share(index - 1) >= 1:
        index -= 1
    return distances[index]
