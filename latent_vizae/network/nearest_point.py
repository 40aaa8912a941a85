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

from .perceptron import linear_layer, through, with_slopes

__all__ = ["Nodes", "Surface", "nearest_point", "project", "starts_from"]


DAMPING = (0.5, 0.15, 0.02), (0.5, 0.15, 0.02), (0.5, 0.15, 0.02, 0.02, 0.02)
"""By the dimension of the map, of each step: careful at first, nearly Newton's at the end."""

NODES = 1024, 40, 15
"""Nodes of the grid along an axis, by the dimension of the map: 1,600 of a 2-D map, 3,375 of a 3-D one."""

BLOCK = 1024
"""Codes whose distances to all nodes are held at a time: few enough for a processor's cache."""

HIT = 0.1
"""Share of the squared distance at the guess below which a node's own is followed to its end before it counts."""
FAR, APART = 0.03, 0.3
"""Distances on the map: from which on another start may lead to another fold; and between two starts on a 3-D map."""


def _squared(rows: Tensor) -> Tensor:
    return rows.square().sum(1, keepdim=True)


def _distance(network: nn.Sequential, x: Tensor, points: Tensor) -> Tensor:
    return _squared(x - through(network, points))


class Surface:
    """v_d prepared for a search: fewer outputs where it has more than units before them, and a grid of nodes.

    Outputs of a network lie in the span of its last layer's columns. There, in an orthonormal basis, the last layer is
    triangular; how far x lies outside is one more number, and distances stay what they are.

    Args:
        network: v_d in the frame: linear layers with an abTanh between them, (B, d) -> (B, r).
        like: a tensor of the dtype and device to work in.
    """

    @torch.no_grad()
    def __init__(self, network: nn.Sequential, like: Tensor) -> None:
        first, last = linear_layer(network, 0), linear_layer(network, -1)
        self.network = network
        self._basis = self._bias = None
        if last.out_features > last.in_features + 1:
            self._basis, triangle = torch.linalg.qr(last.weight.to(like))
            self._bias = last.bias.to(like)
            narrow = nn.Linear(last.in_features, last.in_features + 1, device="meta")
            narrow.weight = nn.Parameter(torch.cat([triangle, torch.zeros_like(triangle[:1])]), requires_grad=False)
            narrow.bias = nn.Parameter(torch.zeros_like(narrow.weight[:, 0]), requires_grad=False)
            self.network = nn.Sequential(*list(network)[:-1], narrow)
        dim = first.in_features
        axis = torch.linspace(-1, 1, NODES[dim - 1], dtype=like.dtype, device=like.device)
        points = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
        outputs, slopes = with_slopes(self.network, points)
        self.nodes = Nodes(points, outputs, slopes, slopes @ slopes.mT)

    def narrowed(self, x: Tensor) -> Tensor:
        """Coordinates x (B, r) as `network` gives them."""
        if self._basis is None or self._bias is None:
            return x
        x = x - self._bias
        inside = x @ self._basis
        outside = (_squared(x) - _squared(inside)).clamp(min=1e-30).sqrt()  # whose slope is finite
        return torch.cat([inside, outside], 1)


class Nodes(NamedTuple):
    """A grid of points all over a map (P, d), their outputs (P, r), slopes (P, d, r) and J^T J (P, d, d)."""

    points: Tensor
    outputs: Tensor
    slopes: Tensor
    curvature: Tensor


def nearest_point(
    network: nn.Sequential, x: Tensor, guess: Tensor, pull: float, surface: Surface | None = None
) -> Tensor:
    """The point p where the network comes nearest to x, unless that is far from the guess and hardly nearer.

    Of the points that are found, downhill from the guess or from one of one to three thousand nodes all over the map,
    it has the least ``|x - network(p)|^2 + pull g (1 - g) |x - network(guess)|^2 |p - guess|^2``, where g is the share
    of the squared distance at the guess that is gone at the best node, or near it. So nothing is pulled
    where the guess is perfect (g = 0) or where something else is (g = 1).

    Args:
        network: v_d in the frame: linear layers with an abTanh between them, (B, d) -> (B, r).
        x: (B, r), codes in the frame.
        guess: (B, d), the output of v_e's network. Guesses keep neighbours together.
        pull: at least 0. With 0 codes come back closest; with more, fewer neighbours are torn apart.
        surface: of the network, where it was prepared before.

    Returns:
        (B, d), in [-1, 1]^d or as near to it as the guess is. Gradients reach x through the steps, where it requires
        them: they are those of what is returned.
    """
    surface = Surface(network, guess) if surface is None else surface
    network, nodes, found = surface.network, surface.nodes, []
    with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
        for some, guesses in zip(surface.narrowed(x).split(BLOCK), guess.split(BLOCK), strict=True):
            (first, *others), weight = starts_from(network, nodes, some, guesses, pull)
            known = nodes.outputs[first], nodes.slopes[first]
            points, cost = project(network, some, nodes.points[first], guesses, weight, known)
            for start in (*(nodes.points[other] for other in others), guesses):
                far = (start - points).abs().amax(1) > FAR
                there, less = project(network, some[far], start[far], guesses[far], weight[far])
                better = less < cost[far]
                points[far], cost[far] = torch.where(better, there, points[far]), torch.where(better, less, cost[far])
            found.append(torch.where(cost < _distance(network, some, guesses), points, guesses))
        return torch.cat(found)


def starts_from(
    network: nn.Sequential, nodes: Nodes, x: Tensor, guess: Tensor, pull: float
) -> tuple[list[Tensor], Tensor]:
    """Where to start beside the guess, the numbers of nodes (each (B,)), and what pulls to the guess (B, 1).

    It is the node with the least of `nearest_point`'s cost. On a 3-D map, where nodes lie too far apart to say which
    fold is the right one, the second best as well.
    """
    points, outputs, slopes, curvature = nodes
    cost = torch.addmm(outputs.square().sum(1), x, outputs.T, alpha=-2)  # squares multiplied out, but for |x|^2
    least, best = cost.min(1)
    here, bends, none = points[best], curvature[best], torch.zeros_like(x[:, :1])
    downhill = (slopes[best] @ (x - outputs[best]).unsqueeze(2)).squeeze(2)
    between, damping = (points[-1, -1] - points[-2, -1]).abs(), DAMPING[guess.shape[1] - 1][0]
    step = _step(bends, downhill, damping, none, (-1 - here).clamp(min=-between), (1 - here).clamp(max=between))
    gained = (step * (2 * downhill - (bends @ step.unsqueeze(2)).squeeze(2))).sum(1, keepdim=True).clamp(min=0)
    at_guess, at_best = _distance(network, x, guess), (_squared(x) + least.unsqueeze(1) - gained).clamp(min=0)
    hit = (at_best < HIT * at_guess).squeeze(1)  # of what v_d can make, as of points that come back: to be sure of it
    if pull and bool(hit.any()):
        known = outputs[best][hit], slopes[best][hit]
        at_best[hit] = project(network, x[hit], here[hit], guess[hit], none[hit], known)[1]
    weight = pull * (at_guess - at_best).clamp(min=0) * (at_best / at_guess.clamp(min=1e-30))
    wanted, offered = torch.cat([weight * guess, -weight / 2], 1), torch.cat([points, _squared(points)], 1)
    chosen = [cost.addmm_(wanted, offered.T, alpha=-2).argmin(1)]
    if guess.shape[1] == 3:
        best_points = points[chosen[0]]
        near = torch.addmm(_squared(points).T, best_points, points.T, alpha=-2) < APART**2 - _squared(best_points)
        chosen.append(cost.masked_fill_(near, torch.inf).argmin(1))
    return chosen, weight


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
    for number, damping in enumerate(DAMPING[start.shape[1] - 1]):
        if number > 0:
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
