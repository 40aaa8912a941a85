"""Directions in closed form: principal components of codes or features, leading eigenvectors of the pull-back metric.

The sets of classes are found in the orthogonal complement of the global set. The trained method starts from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from latent_vizae.decoders.contract import within_a_second
from latent_vizae.decoders.spending import BACKWARD, note_work
from latent_vizae.inputs.surroundings import callers_surroundings
from latent_vizae.measures.geometry import metric_samples

from .pool import Pool

__all__ = ["METHODS", "Features", "closed_form", "cost_of_closed_form"]


METHODS = ("codes", "features", "metric")

Features = Callable[[Tensor], Tensor] | str | None
"""Codes (B, *latent_shape) -> features (B, ...); or the name of a submodule of the decoder; None: its images."""

MOST_ROWS = 1000

METRIC_CODES, CLASS_METRIC_CODES, PROBES = 256, 64, 4

DIFFERENCED, DIFFERENCE_CODES = 64, 16

WIDTH = 0.25
"""Half-distance of finite differences, in standard deviations of the codes: wide enough for images of 256 greys."""

MOST_FEATURES = 2**16


def closed_form(
    pool: Pool, size: int, method: str, features: Features, seed: int, share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """A global set (n, K) and the classes' sets (N, n, K) of orthonormal directions, the most important first.

    Args:
        pool: codes; held-out ones are not used.
        size: K.
        method: "codes", principal components of the codes; "features", those of features, brought to the codes by
            least squares (Härkönen et al. 2020, GANSpace); "metric", the leading eigenvectors of the pull-back metric
            ``E[J^T J]``, along which images change most (the local Jacobian of Zhu et al. 2021, LowRankGAN, averaged;
            what Shen & Zhou 2021, SeFa, read off a first layer's weights).
        features: of the method "features", see `discover_directions`.
        seed: of random probes.
        share: of the codes at which images or features are asked for.

    One more method, "start", initialises the training: "metric", weighted by the covariance of the codes.
    """
    generator = torch.Generator().manual_seed(seed)
    samples_of: Callable[[Tensor, int], Tensor]
    if method == "codes":

        def samples_of(rows: Tensor, _: int) -> Tensor:
            codes = _some(pool, rows, generator)
            return codes - codes.mean(0)

    elif method == "features":

        def samples_of(rows: Tensor, _: int) -> Tensor:
            count = _part(share, min(MOST_ROWS, len(rows)))
            chosen = rows[torch.randperm(len(rows), generator=generator)[:count]].to(pool.codes.device)
            return _through_features(pool.codes[chosen], features_of(pool, features, chosen), size)

    else:
        differenced = not pool.has_gradients

        def samples_of(rows: Tensor, count: int) -> Tensor:
            count = _part(share, min(DIFFERENCE_CODES if differenced else count, len(rows)))
            chosen = rows[torch.randperm(len(rows), generator=generator)[:count]].to(pool.codes.device)
            return _differences(pool, chosen) if differenced else _probed(pool, chosen, generator)

    def found_in(kind: int | None, count: int, shared: Tensor | None) -> Tensor:
        samples = samples_of(pool.rows(kind), count)
        if method == "start":
            samples = _weighted(samples, _some(pool, pool.rows(kind), generator))
        return _leading(samples, size, shared, generator)

    shared = found_in(None, METRIC_CODES, None)
    own = [found_in(kind, CLASS_METRIC_CODES, shared) for kind in range(len(pool.labels))]
    empty = shared.new_zeros(0, *shared.shape)
    return shared.float(), (torch.stack(own) if own else empty).float()


def _part(share: float, count: int) -> int:
    return max(1, round(share * count))


def cost_of_closed_form(codes: int, n: int, classes: int, gradients: bool, method: str, features: Features) -> float:
    """Images that `closed_form` asks for, about; features of a submodule cost as much."""
    if method == "codes":
        return 0
    if method == "features":
        return (1 + classes) * min(MOST_ROWS, codes) if isinstance(features, str) else 0
    if not gradients:
        return (1 + classes) * min(DIFFERENCE_CODES, codes) * 2 * min(n, DIFFERENCED)
    rows = min(METRIC_CODES, codes) + classes * min(CLASS_METRIC_CODES, codes)
    return rows * (1 + BACKWARD * PROBES)


def _some(pool: Pool, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Codes of rows, of at most 1000 of them; drawn, for they may come sorted."""
    if len(rows) > MOST_ROWS:
        rows = rows[torch.randperm(len(rows), generator=generator)[:MOST_ROWS]]
    return pool.codes[rows.to(pool.codes.device)]


def _leading(samples: Tensor, size: int, shared: Tensor | None, generator: torch.Generator) -> Tensor:
    """Leading right singular vectors (n, K) of samples (S, n), outside of the span of ``shared`` (n, K)."""
    rows = samples.double()
    if shared is not None:
        rows = rows - rows @ shared @ shared.T
    count, n = rows.shape
    if count < n:
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        basis = rows.T @ vectors.flip(1)[:, :size]
        basis = basis / basis.norm(dim=0).clamp(min=1e-300)
    else:
        values, vectors = torch.linalg.eigh(rows.T @ rows)
        basis = vectors.flip(1)[:, :size]
    values = values.flip(0)[:size]
    basis = basis[:, : int((values > 1e-9 * values[:1].clamp(min=1e-300)).sum())]
    # Where the samples span too little, any directions will do.
    more = torch.randn(n, size - basis.shape[1], generator=generator, dtype=torch.float64).to(basis)
    known = basis if shared is None else torch.cat([shared, basis], 1)
    for _ in range(2):
        more = more - known @ (known.T @ more)
    columns = torch.cat([known, more], 1)
    q, r = torch.linalg.qr(columns)
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0).to(q)
    leading: Tensor = (q * signs)[:, known.shape[1] - basis.shape[1] :]
    return leading


def _weighted(samples: Tensor, codes: Tensor) -> Tensor:
    """Samples (S, n) times the square root of the codes' covariance; as they are where there are too few codes."""
    count, n = codes.shape
    if count < 4 * n:
        return samples
    centred = (codes - codes.mean(0)).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred / count)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    weighted: Tensor = samples.double() @ root
    return weighted


def _probed(pool: Pool, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Samples g with E[g g^T] = J^T J / pixels at codes, by gradients."""

    def note(count: int, seconds: float) -> None:
        note_work(count * (1 + BACKWARD * PROBES), seconds)

    parts = []
    with torch.enable_grad():
        for part in chosen.split(min(64, pool.at_once)):
            size = min(len(part), within_a_second(pool.decoder))
            samples = metric_samples(pool.differentiable, pool.codes[part], PROBES, generator, size, note)
            assert samples is not None  # pool.has_gradients said so
            parts.append(samples)
    return torch.cat(parts)


@torch.no_grad()
def _differences(pool: Pool, chosen: Tensor) -> Tensor:
    """Rows whose Gram matrix is the average J^T J / pixels at codes, by central differences.

    Of codes of more than 64 numbers, in the 64 principal directions of all of them.
    """
    codes = pool.codes[chosen]
    known = _some(pool, pool.rows(), torch.Generator().manual_seed(0)).double()
    known = known - known.mean(0)
    n = known.shape[1]
    if n > DIFFERENCED:
        axes = _leading(known, min(DIFFERENCED, len(known) - 1), None, torch.Generator().manual_seed(0)).float()
    else:
        axes = torch.eye(n, device=codes.device)
    width = WIDTH * known.square().mean().sqrt().item()
    total = torch.zeros(axes.shape[1], axes.shape[1], dtype=torch.float64)
    for code in codes:
        ahead, behind = (pool.decode_seen(code + sign * width * axes.T).flatten(1) for sign in (1, -1))
        change = ((ahead - behind) / (2 * width)).double().cpu()
        total += change @ change.T / change.shape[1]
    values, vectors = torch.linalg.eigh(total / len(codes))
    rows: Tensor = (vectors * values.clamp(min=0).sqrt()).T.to(axes) @ axes.T
    return rows


def _through_features(codes: Tensor, features: Tensor, size: int) -> Tensor:
    """Rows (K, n): along row j the codes change as the features do along their j-th principal component."""
    rows = features.double() - features.double().mean(0)
    z = codes.double() - codes.double().mean(0)
    if rows.shape[0] <= rows.shape[1]:
        _, vectors = torch.linalg.eigh(rows @ rows.T)
        coordinates = vectors.flip(1)[:, :size]
    else:
        _, axes = torch.linalg.eigh(rows.T @ rows)
        coordinates = rows @ axes.flip(1)[:, :size]
        coordinates = coordinates / coordinates.norm(dim=0).clamp(min=1e-300)
    along = coordinates.T @ z.to(coordinates)
    importance = torch.logspace(0, -4, len(along), dtype=torch.float64, device=along.device)
    scaled: Tensor = along / along.norm(dim=1, keepdim=True).clamp(min=1e-300) * importance.unsqueeze(1)
    return scaled


@torch.no_grad()
def features_of(pool: Pool, features: Features, chosen: Tensor) -> Tensor:
    """Features (B, m) of codes.

    Raises:
        ValueError: no such submodule, or what came is not one row of numbers per code.
    """
    codes = pool.codes[chosen].unflatten(1, pool.latent_shape)
    if features is None:
        return pool.images[chosen.to(pool.images.device)].flatten(1)
    outputs: list[Any] = []
    if isinstance(features, str):
        names = dict(pool.decoder.named_modules()) if isinstance(pool.decoder, nn.Module) else {}
        if features not in names or not features:
            known = ", ".join(name for name in list(names)[:12] if name) or "none: this decoder is no nn.Module"
            raise ValueError(f"features is the name of a submodule of the decoder, got {features!r}. Known: {known}.")
        hook = names[features].register_forward_hook(lambda module, inputs, output: outputs.append(output))
        try:
            for part in pool.codes[chosen].split(pool.at_once):
                before = len(outputs)
                pool.decode_once(part)
                del outputs[before + 1 :]
        finally:
            hook.remove()
    else:
        with callers_surroundings():
            outputs = [features(part) for part in codes.split(pool.at_once)]
    if not all(isinstance(part, Tensor) and part.dim() > 1 for part in outputs) or sum(map(len, outputs)) != len(
        codes
    ):
        what = f"shape {tuple(outputs[0].shape)}" if outputs and isinstance(outputs[0], Tensor) else "something else"
        raise ValueError(f"features are a tensor (B, ...), one row per code; for {len(codes)} codes got {what}.")
    rows = torch.cat([part.detach().float().flatten(1).cpu() for part in outputs])
    if not torch.isfinite(rows).all():
        raise ValueError("features hold NaN or infinity.")
    if rows.shape[1] > MOST_FEATURES:
        rows = torch.nn.functional.adaptive_avg_pool1d(rows.unsqueeze(1), MOST_FEATURES).squeeze(1)
    return rows
