"""First-order geometry of maps: Jacobian products, the pull-back metric, and curves of points."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["VALUES_HELD", "jacobian", "metric_samples", "pull_back_metric", "resample", "stretch"]


Images = Callable[[Tensor], Tensor]

VALUES_HELD = 2**23
"""Values of images that are held at a time where images are only measured."""

STEP, COARSE_STEP = 2e-3, 0.02
"""Half-distance of finite differences, in map units; the second for images of low precision."""


def metric_samples(
    images_of: Images,
    inputs: Tensor,
    probes: int,
    generator: torch.Generator,
    size: int | None = None,
    report: Callable[[int, float], object] = lambda count, seconds: None,
) -> Tensor | None:
    """Random vectors g with ``E[g g^T] = J^T J / pixels``, averaged over the inputs.

    g = J^T u for white noise u over the image: one backward pass of a batch gives one g for every input.

    Args:
        images_of: (B, *shape) -> (B, C, H, W), differentiable.
        inputs: (B, *shape), one batch.
        probes: number of noises per input.
        generator: source of the noise, on the CPU; what is drawn is the same for every ``size``.
        size: inputs in one call, by default all.
        report: called after each call with the number of its inputs and the seconds that it took.

    Returns:
        (B * probes, n), or None where ``images_of`` has no gradients.
    """
    noises: list[Tensor] = []
    parts: list[list[Tensor]] = []
    with torch.inference_mode(False):
        for start in range(0, len(inputs), size or len(inputs)):
            started = time.perf_counter()
            part = inputs[start : start + (size or len(inputs))].detach().clone().requires_grad_()
            images = images_of(part)
            if not images.requires_grad:
                return None
            noises = noises or [
                torch.randn((len(inputs), *images.shape[1:]), generator=generator) for _ in range(probes)
            ]
            rows = slice(start, start + len(part))
            parts.append([])
            for probe, noise in enumerate(noises):
                scaled = noise[rows].to(images) / images[0].numel() ** 0.5
                onto = (images * scaled).sum()  # torch would import sympy, a second, to be given the noise itself
                (gradient,) = torch.autograd.grad(
                    onto, part, retain_graph=probe + 1 < probes, allow_unused=True, materialize_grads=True
                )
                parts[-1].append(gradient.flatten(1))
            report(len(part), time.perf_counter() - started)
    return torch.cat([part[probe] for probe in range(probes) for part in parts])


def jacobian(images_of: Images, points: Tensor, step: float) -> Tensor:
    """Jacobian of points -> image by central differences: any decoder has one, differentiable or not.

    Args:
        images_of: (P, d) -> (P, C, H, W).
        points: (P, d).
        step: half-distance of the difference, in map units.

    Returns:
        (P, C * H * W, d), change of each pixel per map unit.
    """
    dim = points.shape[1]
    shifts = torch.eye(dim, device=points.device) * step
    around = points[:, None, None] + torch.stack([shifts, -shifts], 1)  # (P, d, 2, d)
    images = images_of(around.reshape(-1, dim)).flatten(1).unflatten(0, (len(points), dim, 2))
    change: Tensor = (images[:, :, 0] - images[:, :, 1]) / (2 * step)
    return change.transpose(1, 2)


def _jacobians(images_of: Images, points: Tensor, images: Tensor | None = None) -> Iterator[Tensor]:
    """`jacobian` of points (P, d), in batches of bounded memory.

    Images in bfloat16 or bytes get the larger step.
    """
    chosen = slice(None, None, -(-len(points) // 4))
    some = images_of(points[chosen]) if images is None else images[chosen]
    coarse = torch.equal(some, some.bfloat16().float()) or torch.equal(some, (some * 255).round() / 255)
    step = COARSE_STEP if coarse else STEP
    size = max(1, VALUES_HELD // (2 * points.shape[1] * some[0].numel()))
    return (jacobian(images_of, part, step) for part in points.split(size))


def pull_back_metric(images_of: Images, points: Tensor) -> Tensor:
    """Pull-back metric ``G = J^T J / pixels`` at points: (P, d, d), mean square image change per map unit squared."""
    return torch.cat([jac.transpose(1, 2) @ jac / jac.shape[1] for jac in _jacobians(images_of, points)])


def stretch(images_of: Images, points: Tensor, images: Tensor | None = None) -> Tensor:
    """Smallest and largest stretch of the map at points: root mean square image change per map unit.

    Args:
        images_of: (P, d) -> (P, C, H, W).
        points: (P, d).
        images: of the points, where they are known.

    Returns:
        (P, 2): the extreme singular values of the Jacobian of points -> image, over the square root of the
        number of pixels. The smallest one is 0 where some step on the map does not change the image.
    """
    jacs = _jacobians(images_of, points, images)
    values = torch.cat([torch.linalg.svdvals(jac.double()) / jac.shape[1] ** 0.5 for jac in jacs])
    return torch.stack([values[:, -1], values[:, 0]], 1).float()


def resample(curve: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    """Points on a polyline at given positions of its length.

    Args:
        curve: (M, d) corners.
        lengths: (M,) length from the start to each corner, not decreasing, in any unit.
        positions: (F,) in [0, lengths[-1]].

    Returns:
        (F, d).
    """
    right = torch.searchsorted(lengths, positions.contiguous()).clamp(1, len(curve) - 1)
    left = right - 1
    span = (lengths[right] - lengths[left]).clamp(min=1e-30)
    share = ((positions - lengths[left]) / span).clamp(0, 1).unsqueeze(1).to(curve)
    return torch.lerp(curve[left], curve[right], share)
