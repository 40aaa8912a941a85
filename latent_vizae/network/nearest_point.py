"""The nearest point of a map: from a good start, down the distance between a code and what v_d makes of the point.

A network guesses at once where v_d comes closest to a code; what the guess lacks is known as the amortisation gap
(Cremer et al. 2018, "Inference suboptimality in variational autoencoders"). A map is small enough to be looked at all
over, which finds codes that were guessed on the wrong fold of it; and v_d has few inputs, so its Jacobian costs little
more than its values, and a few steps of Gauss-Newton close the gap. What v_d makes of a point nearly always comes back
to that point. But guesses are smooth and nearest points are not: where v_d is folded, codes that are neighbours have
theirs on different folds. So a point is drawn to its guess as well, the more the less it has to gain by leaving it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .perceptron import through, with_slopes

__all__ = ["nearest_point", "project", "starts_from"]


DAMPING = (0.5, 0.15, 0.02), (0.5, 0.15, 0.02), (0.5, 0.15, 0.02, 0.02, 0.02)
"""By the dimension of the map, of each step: careful at first, nearly Newton's at the end."""

ALONG = 1024, 40, 15
"""Places along an axis that are looked at for a start."""

AT_A_TIME = 1024
"""Codes to look around for: few enough for a processor's cache."""

FAR, APART = 0.03, 0.3
"""Distances on the map: from which on another start may lead to another fold; and between two starts on a 3-D map."""


def _squared(rows: Tensor) -> Tensor:
    return rows.square().sum(1, keepdim=True)


def _distance(network: nn.Sequential, x: Tensor, points: Tensor) -> Tensor:
    return _squared(x - through(network, points))


def _narrowed(network: nn.Sequential, x: Tensor) -> tuple[nn.Sequential, Tensor]:
    """The same distances in fewer numbers, where a network has more outputs than units before them.

    Its outputs lie in the span of the last layer's columns. There, in an orthonormal basis, its last layer is
    triangular; how far x lies outside is one more number.
    """
    last = network[-1]
    if not isinstance(last, nn.Linear) or last.out_features <= last.in_features + 1:
        return network, x
    basis, triangle = torch.linalg.qr(last.weight.to(x))
    x = x - last.bias.to(x)
    inside = x @ basis
    outside = (_squared(x) - _squared(inside)).clamp(min=0).sqrt()
    narrow = nn.Linear(last.in_features, last.in_features + 1, device="meta")
    narrow.weight = nn.Parameter(torch.cat([triangle, torch.zeros_like(triangle[:1])]), requires_grad=False)
    narrow.bias = nn.Parameter(torch.zeros_like(narrow.weight[:, 0]), requires_grad=False)
    return nn.Sequential(*list(network)[:-1], narrow), torch.cat([inside, outside], 1)


@torch.no_grad()
def nearest_point(network: nn.Sequential, x: Tensor, guess: Tensor, pull: float) -> Tensor:
    """The point p where the network comes nearest to x, unless that is far from the guess and hardly nearer.

    Of the points that are found, downhill from the guess or from one of one to three thousand places all over the map,
    it has the least ``|x - network(p)|^2 + pull g (1 - g) |x - network(guess)|^2 |p - guess|^2``, where g is the share
    of the squared distance at the guess that is gone at the best of these places, or near it. So nothing is pulled
    where the guess is perfect (g = 0) or where something else is (g = 1).

    Args:
        network: v_d in the frame: linear layers with an abTanh between them, (B, d) -> (B, r).
        x: (B, r), codes in the frame.
        guess: (B, d), what v_e's network says. Guesses keep neighbours together.
        pull: at least 0. With 0 codes come back closest; with more, fewer neighbours are torn apart.

    Returns:
        (B, d), in [-1, 1]^d or as near to it as the guess is.
    """
    network, x = _narrowed(network, x)
    places, found = Places.of(network, guess), []
    for some, guesses in zip(x.split(AT_A_TIME), guess.split(AT_A_TIME), strict=True):
        (first, *others), weight = starts_from(network, places, some, guesses, pull)
        known = places.made[first], places.slopes[first]
        points, cost = project(network, some, places.points[first], guesses, weight, known)
        for start in (*(places.points[other] for other in others), guesses):
            far = (start - points).abs().amax(1) > FAR
            there, less = project(network, some[far], start[far], guesses[far], weight[far])
            better = less < cost[far]
            points[far], cost[far] = torch.where(better, there, points[far]), torch.where(better, less, cost[far])
        found.append(torch.where(cost < _distance(network, some, guesses), points, guesses))
    return torch.cat(found)


class Places(NamedTuple):
    """Points all over a map (P, d), what the network makes of them (P, r), its slopes there (P, d, r) and J^T J."""

    points: Tensor
    made: Tensor
    slopes: Tensor
    curvature: Tensor

    @classmethod
    def of(cls, network: nn.Sequential, like: Tensor) -> Places:
        """Of a map on which ``like`` (B, d) are points."""
        dim = like.shape[1]
        points = torch.cartesian_prod(*[torch.linspace(-1, 1, ALONG[dim - 1]).to(like)] * dim).reshape(-1, dim)
        made, slopes = with_slopes(network, points)
        return cls(points, made, slopes, slopes @ slopes.mT)


@torch.no_grad()
def starts_from(
    network: nn.Sequential, places: Places, x: Tensor, guess: Tensor, pull: float
) -> tuple[list[Tensor], Tensor]:
    """Where to start beside the guess, the numbers of places (each (B,)), and what pulls to the guess (B, 1).

    It is the place with the least of `nearest_point`'s cost. On a 3-D map, where places lie too far apart to say which
    fold is the right one, the second best as well.
    """
    points, made, slopes, curvature = places
    cost = torch.addmm(made.square().sum(1), x, made.T, alpha=-2)  # squares multiplied out, but for |x|^2
    least, best = cost.min(1)
    here, bends, none = points[best], curvature[best], torch.zeros_like(x[:, :1])
    downhill = (slopes[best] @ (x - made[best]).unsqueeze(2)).squeeze(2)
    between, damping = (points[-1, -1] - points[-2, -1]).abs(), DAMPING[guess.shape[1] - 1][0]
    step = _step(bends, downhill, damping, none, (-1 - here).clamp(min=-between), (1 - here).clamp(max=between))
    gained = (step * (2 * downhill - (bends @ step.unsqueeze(2)).squeeze(2))).sum(1, keepdim=True).clamp(min=0)
    at_guess, at_best = _distance(network, x, guess), (_squared(x) + least.unsqueeze(1) - gained).clamp(min=0)
    weight = pull * (at_guess - at_best).clamp(min=0) * (at_best / at_guess.clamp(min=1e-30))
    wanted, offered = torch.cat([weight * guess, -weight / 2], 1), torch.cat([points, _squared(points)], 1)
    chosen = [cost.addmm_(wanted, offered.T, alpha=-2).argmin(1)]
    if guess.shape[1] == 3:
        best_points = points[chosen[0]]
        near = torch.addmm(_squared(points).T, best_points, points.T, alpha=-2) < APART**2 - _squared(best_points)
        chosen.append(cost.masked_fill_(near, torch.inf).argmin(1))
    return chosen, weight


@torch.no_grad()
def project(
    network: nn.Sequential,
    x: Tensor,
    start: Tensor,
    guess: Tensor,
    weight: Tensor,
    known: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Points (B, d) of less cost near a start, and that (B, 1): Levenberg and Marquardt's steps, undone if they fail.

    With J the slopes of the network and A = J^T J, a step is the solution s of ``(A + damping diag A + weight I) s =
    J^T (x - network(p)) - weight (p - guess)`` (Marquardt 1963). Damped, steps depend on the code without jumps, and
    do not overshoot; each axis is damped in its own unit, so that the equations are solved well whatever these are.
    ``known`` are the outputs (B, r) and slopes (B, d, r) at the start, for nothing.
    """
    low, high, points = start.clamp(max=-1), start.clamp(min=1), start
    made, slopes = with_slopes(network, start) if known is None else known
    before = _squared(x - made) + weight * _squared(start - guess)
    for turn, damping in enumerate(DAMPING[start.shape[1] - 1]):
        if turn > 0:
            made, slopes = with_slopes(network, points)
        downhill = (slopes @ (x - made).unsqueeze(2)).squeeze(2) - weight * (points - guess)
        points = points + _step(slopes @ slopes.mT, downhill, damping, weight, low - points, high - points)
    after = _distance(network, x, points) + weight * _squared(points - guess)
    better = after < before
    return torch.where(better, points, start), torch.where(better, after, before)


def _step(curvature: Tensor, downhill: Tensor, damping: float, weight: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Of `project`, the step (B, d) in [low, high] where A is ``curvature`` (B, d, d); the network may stand still.

    Where it would leave these bounds along an axis, it stops there, and the other axes make the best of that.
    """
    damped = curvature.clone()
    damped.diagonal(dim1=1, dim2=2).mul_(1 + damping).add_(weight).clamp_(min=1e-30)
    free: Tensor = torch.linalg.solve_ex(damped, downhill)[0]
    step = free.clamp(low, high)
    bound = (step != free).any(1)
    stopped, stop, damped = (step != free)[bound], step[bound], damped[bound]
    rest = downhill[bound] - (damped @ (stop * stopped).unsqueeze(2)).squeeze(2)
    damped = damped.masked_fill(stopped.unsqueeze(1) | stopped.unsqueeze(2), 0)
    damped.diagonal(dim1=1, dim2=2).add_(stopped)
    again = torch.linalg.solve_ex(damped, torch.where(stopped, stop, rest))[0]
    step[bound] = again.clamp(low[bound], high[bound])
    return step
