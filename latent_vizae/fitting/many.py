"""Fifty and more codes: both halves of v are trained.

What is minimised, over batches of codes x in the frame:

    mean |x - v_d(v_e(x))|^2 / rank  +  w KL(p | q),        w = 3 keep_neighbours

The first term brings codes back; distances in the frame are image changes (frame.py). KL is t-SNE's divergence: p
are the pairs of neighbours among the codes of the batch, q among their points v_e(x) (neighbours.py). A batch holds
codes that are mixed with near ones and given noise (batches.py). Weights of matrices between hidden layers learn by
Muon, the others by Adam; the best on held-out codes stay. Then the last layer of v_d is solved (last_layer.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from latent_vizae.measures.metrics import mean_square, trustworthiness
from latent_vizae.model.vizae import VizAE
from latent_vizae.network.backprop import Half
from latent_vizae.network.initial import initialise
from latent_vizae.network.nearest_point import nearest_point
from latent_vizae.network.perceptron import linear_layer
from latent_vizae.training.checkpoint import Checkpoint
from latent_vizae.training.loop import Loop
from latent_vizae.training.optimisers import Muon

from .affine import to_principal_axes
from .batches import Batches
from .frame import Frame
from .last_layer import settle
from .neighbours import neighbour_slope
from .settings import Settings

__all__ = ["begin", "returned", "train"]

RATE, WARM_UP = 0.008, 0.05
"""Adam's step size at the start, falling to 0 in a line; the share of the steps in which it rises to that."""
SPREAD, BIAS, NEAR_MEAN = (1.0, 4.0), 0.5, (0.3, 0.1)
"""Of v_e and v_d: how steep their first units begin, and the size of their last layers: they begin near the mean."""
LEAST_SINGULAR = 2e-4
"""Of a matrix, relative to the greatest one. Rounding in single precision hides one of 1e-5 (see `LinearMap`), and one
fit in thirty ends with such a matrix."""
GREATEST_PULL = 1e5
"""Holds a point at the guess."""
COMPARED, FEWEST_COMPARED = 500, 15
"""Codes whose neighbours are compared with those of their guesses."""
SETTLED = 4096
"""Codes that v_d's last layer is solved for at a time."""


def begin(v: VizAE, generator: torch.Generator, settings: Settings) -> None:
    """Set the first weights of v."""
    for network, steepness, size in zip((v.encoder, v.decoder), SPREAD, NEAR_MEAN, strict=True):
        initialise(network, generator, steepness if settings.spread_units else None, bias=BIAS)
        linear_layer(network, -1).weight.mul_(size)


@torch.no_grad()
def train(
    v: VizAE,
    frame: Frame,
    x: Tensor,
    x_held: Tensor,
    *,
    keep_neighbours: float,
    steps: int,
    settings: Settings,
    generator: torch.Generator,
    progress: bool | Callable[[int, int, str], object],
    checkpoint: Checkpoint | None,
) -> Loop:
    """Train v on x (K, rank), codes in the frame, by what codes x_held that it never sees come back to."""
    batches = Batches(x, frame, generator, settings)
    v_e, v_d = Half(v.encoder), Half(v.decoder, by_inputs=True)
    weight = settings.neighbours * keep_neighbours
    parameters = [*v.encoder.parameters(), *v.decoder.parameters()]
    inner = [layer.weight for half in (v_e, v_d) for layer in half.linear[1:-1]] if settings.muon else []
    optimiser = Muon(parameters, inner, RATE)
    loop = Loop(parameters, [optimiser], generator, title="fit", progress=progress, checkpoint=checkpoint)

    def advance() -> None:
        batch = batches.draw()
        points = v_e.forward(batch)
        decoded = v_d.forward(points)
        slope = v_d.backward((2 / batch.numel()) * (decoded - batch))
        if weight:
            slope += weight * neighbour_slope(frame.for_neighbours(batch), points)
        v_e.backward(slope)
        warm = min(1.0, (loop.step + 1) / max(1.0, WARM_UP * steps))
        optimiser.step(warm * (1 - loop.step / steps))

    def guessed() -> float:
        return mean_square(x_held, v.decoder(v.encoder(x_held))).item()

    loop.run(advance, guessed, steps)
    try:
        for network in (v.encoder, v.decoder):
            keep_rank(network)
        to_principal_axes(v, x)
        v.pull = _pull(v, frame, x[:COMPARED], keep_neighbours, settings)
        if settings.last_layer and not loop.interrupted:
            settle(v, lambda: batches.draw(SETTLED), lambda: returned(v, x_held, v.pull))
    except KeyboardInterrupt:
        loop.interrupted = True
    return loop


def keep_rank(network: nn.Sequential) -> None:
    """Raise singular values of its matrices that are nearly 0: a map of full rank is one-to-one."""
    for layer in network:
        if isinstance(layer, nn.Linear):
            left, values, right = torch.linalg.svd(layer.weight.double(), full_matrices=False)
            least = LEAST_SINGULAR * values[0]
            if values[-1] < least:
                layer.weight.copy_((left * values.clamp(min=least)) @ right)


@torch.no_grad()
def returned(v: VizAE, x: Tensor, pull: float) -> float:
    """Mean square in the frame between x (K, rank) and what comes back of it; at no pull, as close as it can."""
    points = nearest_point(v.decoder, x, v.encoder(x), pull)
    return mean_square(x, v.decoder(points)).item()


def _pull(v: VizAE, frame: Frame, x: Tensor, keep_neighbours: float, settings: Settings) -> float:
    """The weight of v_e's guess in `encode` (`VizAE.pull`): ``p t^2 keep / (1 - keep)``, and as good as all at 1.

    Guesses keep neighbours together where they can: t = 2 T - 1, T the trustworthiness of the guesses of x.
    """
    if keep_neighbours in (0.0, 1.0) or len(x) < FEWEST_COMPARED:
        return GREATEST_PULL * (keep_neighbours == 1)
    trust = max(0.0, 2 * trustworthiness(frame.for_neighbours(x), v.encoder(x)) - 1)
    return min(GREATEST_PULL, settings.pull[v.dim - 1] * trust**2 * keep_neighbours / (1 - keep_neighbours))
