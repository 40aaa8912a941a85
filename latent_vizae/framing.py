"""The frame that v works in: the subspace of the codes, scaled so that distances mean image change.

A code-space error is not an image error. With M = E[J^T J] of the decoder (the average pull-back metric, from a few
hundred Jacobian products), distances in ``x = (z - mean) @ basis @ M^(1/2)`` are image changes to first order, so
least squares in x is nearly least squares in images, at the price of a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .decoder import decode_images, differentiable_images
from .geometry import jacobian, metric_samples

__all__ = ["Frame", "code_frame", "completed_frame"]

MAX_RANK = 512
MAX_EXACT = 2048
SHRINKAGE = 0.2
MAX_DIRECTIONS = 64


@dataclass
class Frame:
    """``x = (z - mean) @ basis @ frame`` and back ``z = mean + x @ unframe @ basis.T``; float64, basis float32.

    ``pca_fvu`` is what the best linear map of a dimension leaves unexplained of these codes.
    """

    mean: Tensor
    basis: Tensor
    frame: Tensor
    unframe: Tensor
    lost_variance: float
    variances: Tensor

    def __call__(self, codes: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Codes (k, n), or the chosen ones of them, to x (k, rank), float32."""
        chosen = torch.arange(len(codes), device=codes.device) if chosen is None else chosen.to(codes.device)
        return torch.cat([self._parts(codes[part]) for part in chosen.split(rows_at_a_time(codes.shape[1]))])

    def _parts(self, codes: Tensor) -> Tensor:
        inside = torch.zeros(len(codes), self.basis.shape[1], dtype=torch.float64, device=codes.device)
        for part in _columns(codes):
            inside += (codes[:, part].double() - self.mean[part]) @ self.basis[part].double()
        return (inside @ self.frame).float()

    def pca_fvu(self, dim: int) -> float:
        """1 - the first ``dim`` variances over all of them, what the frame lost among them."""
        total = self.variances.sum().item() / max(1e-300, 1 - self.lost_variance)
        return 1 - self.variances[:dim].sum().item() / total if total > 0 else 0.0


def rows_at_a_time(n: int) -> int:
    """So many codes of n numbers are worked on at a time: at most 4 million numbers, one code at least."""
    return max(1, min(8192, 2**22 // n))


def _columns(codes: Tensor) -> list[slice]:
    size = 2**21 // len(codes) + 1
    return [slice(start, start + size) for start in range(0, codes.shape[1], size)]


def _subspace(codes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    """Mean (n,), orthonormal basis (n, r), variances (r,) and lost share of variance; exact for small k or n."""
    k, n = codes.shape
    mean = torch.zeros(n, dtype=torch.float64, device=codes.device)
    for batch in codes.split(rows_at_a_time(n)):
        mean += batch.sum(0, dtype=torch.float64)
    mean /= k
    rows = codes
    if min(k, n) > MAX_EXACT:
        rows = codes[torch.randperm(k, generator=generator)[:MAX_EXACT].to(codes.device)]
    parts = _columns(rows)
    if n <= len(rows):  # covariance
        second = torch.zeros(n, n, dtype=torch.float64, device=codes.device)
        for batch in rows.split(rows_at_a_time(n)):
            centred = batch.double() - mean
            second += centred.T @ centred
    else:  # Gram matrix: cost follows k, not n
        second = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=codes.device)
        for part in parts:
            centred = rows[:, part].double() - mean[part]
            second += centred @ centred.T
    values, vectors = torch.linalg.eigh(second)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    total = values.sum()
    floor = max(1e-10 * values[0].item(), 1e-13 * (mean.square().sum().item() * len(rows)))
    rank = min(int((values > floor).sum()), MAX_RANK)
    values, basis = values[:rank], vectors[:, :rank]
    if n > len(rows):
        turn = basis / values.sqrt()
        basis = torch.empty(n, rank, device=codes.device)
        for _ in range(2 if rank else 0):  # once more, against rounding
            square = torch.zeros(rank, rank, dtype=torch.float64, device=codes.device)
            for part in parts:
                basis[part] = ((rows[:, part].double() - mean[part]).T @ turn).float()
                square += basis[part].double().T @ basis[part].double()
            lengths, axes = torch.linalg.eigh(square)
            turn = turn @ (axes / lengths.sqrt()) @ axes.T
    lost = 1 - (values.sum() / total).item() if total > 0 else 0.0
    return mean, basis.float(), values / len(rows), max(0.0, lost)


def _gradients(
    decoder: Callable[[Tensor], Tensor],
    codes: Tensor,
    latent_shape: tuple[int, ...],
    rank: int,
    generator: torch.Generator,
) -> Tensor | None:
    """Samples g (N, n) with E[g g^T] = the average pull-back metric at the codes; None without gradients.

    N follows the rank of the metric, and is bounded by what large images cost.
    """
    pixels = decode_images(decoder, codes[:1].unflatten(1, latent_shape))[0].numel()
    wanted = max(32, min(16 * rank, 1024, 2**20 // pixels))
    size = max(1, min(64, 2**18 // pixels))
    rows = codes[torch.randint(len(codes), (wanted,), generator=generator).to(codes.device)]

    def images_of(batch: Tensor) -> Tensor:
        return differentiable_images(decoder, batch.unflatten(1, latent_shape))

    found = []
    probes = 2
    for batch in rows[: -(-wanted // probes)].split(size):
        samples = metric_samples(images_of, batch, probes, generator)
        if samples is None:
            return None
        found.append(samples.to(codes))
    return torch.cat(found)


def code_frame(
    codes: Tensor,
    latent_shape: tuple[int, ...],
    decoder: Callable[[Tensor], Tensor] | None,
    generator: torch.Generator,
) -> Frame:
    """The frame of codes (k, n) that vary in more directions than the map has."""
    mean, basis, variances, lost = _subspace(codes, generator)
    rank = basis.shape[1]
    root = torch.eye(rank, dtype=torch.float64, device=codes.device)
    gradients = None if decoder is None or rank == 0 else _gradients(decoder, codes, latent_shape, rank, generator)
    if gradients is not None:
        inside = gradients.double() @ basis.double()
        metric = inside.T @ inside / len(inside)
        average = metric.diagonal().mean()
        if average > 0:
            metric = (1 - SHRINKAGE) * metric / average + SHRINKAGE * root
            values, vectors = torch.linalg.eigh(metric)
            root = (vectors * values.clamp(min=SHRINKAGE / 2).sqrt()) @ vectors.T
    covariance = root @ torch.diag(variances) @ root
    scale = (rank / covariance.trace().clamp(min=1e-300)).sqrt() if rank else torch.ones(())
    return Frame(mean, basis, root * scale, torch.linalg.inv(root) / scale, lost, variances)


IMAGE_CHANGE = 0.005
"""Mean square image change from the middle of a completed direction to its ends: visible, and still the same thing
(0.008 turns some MNIST digits into others)."""


def completed_frame(
    codes: Tensor,
    latent_shape: tuple[int, ...],
    dim: int,
    decoder: Callable[[Tensor], Tensor] | None,
    generator: torch.Generator,
) -> Frame | None:
    """The frame of codes that vary in at most ``dim`` directions, completed to exactly ``dim``; else None.

    The missing directions are those in which the decoder changes the images of these codes most: the leading
    eigenvectors of the pull-back metric, without what the codes span. Each reaches so far that at the edge of the
    map the image has changed by 0.005 (mean square over pixels). Without a decoder they are random and
    reach as far as the codes lie apart (or half the norm of the only code, or 1 for a code of 0).
    """
    mean, basis, variances, lost = _subspace(codes, generator)
    rank = basis.shape[1]
    if rank > dim:
        return None
    basis = basis.double()
    spread = ((codes.double() - mean) @ basis).abs().amax(0)
    typical = spread.max() if rank else (mean.norm() / 2 if mean.norm() > 0 else torch.ones_like(mean[0]))
    more = _leading_directions(codes, latent_shape, basis, dim - rank, decoder, typical.item(), generator)
    reach = [_reach(decoder, mean, direction, typical, latent_shape) for direction in more.T]
    half = torch.cat([spread, *(r.reshape(1) for r in reach)]) * (1 + 1e-6)
    return Frame(mean, torch.cat([basis, more], 1).float(), torch.diag(1 / half), torch.diag(half), lost, variances)


def _leading_directions(
    codes: Tensor,
    latent_shape: tuple[int, ...],
    basis: Tensor,
    count: int,
    decoder: Callable[[Tensor], Tensor] | None,
    typical: float,
    generator: torch.Generator,
) -> Tensor:
    """Orthonormal directions (n, count), orthogonal to the basis, in which the images of the codes change most.

    The exact Jacobian inside a subspace of at most 64 dimensions: all of them, or, for longer codes, those that
    random Jacobian products point to (a randomised singular value decomposition).
    """
    n = codes.shape[1]
    if count == 0:
        return basis[:, :0]
    if decoder is not None and n <= MAX_DIRECTIONS:
        candidates = torch.eye(n, dtype=torch.float64, device=codes.device)
    else:
        found = None if decoder is None else _gradients(decoder, codes, latent_shape, MAX_DIRECTIONS, generator)
        found = torch.randn(MAX_DIRECTIONS, n, generator=generator).to(codes) if found is None else found
        candidates = torch.linalg.svd(found.double(), full_matrices=False)[2][:MAX_DIRECTIONS].T
    candidates = candidates - basis @ (basis.T @ candidates)
    u, values, _ = torch.linalg.svd(candidates, full_matrices=False)
    inside: Tensor = u[:, : int((values > 1e-6 * values[0]).sum())]
    if decoder is None:
        first: Tensor = inside[:, :count]
        return first
    metric = torch.zeros(inside.shape[1], inside.shape[1], dtype=torch.float64, device=codes.device)
    for code in codes[:4]:

        def images_of(moves: Tensor, code: Tensor = code) -> Tensor:
            moved = (code.double() + moves.double() @ inside.T).float()
            return decode_images(decoder, moved.unflatten(1, latent_shape))

        jac = jacobian(images_of, torch.zeros(1, inside.shape[1], device=codes.device), 1e-2 * typical)[0].double()
        metric += (jac.T @ jac).to(metric)
    leading: Tensor = inside @ torch.linalg.eigh(metric)[1].flip(1)[:, :count]
    return leading


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
    for distance in distances:  # outwards, and no further than need be: far away a decoder may break its contract
        codes = (mean + torch.stack([distance, -distance]).unsqueeze(1) * direction).float()
        if (decode_images(decoder, codes.unflatten(1, latent_shape)) - middle).square().mean() >= IMAGE_CHANGE:
            return distance
    return distances[-1]
