"""The last layer of a network in closed form: least squares.

Training moves v_d towards the codes at the points that v_e's network guesses. The surface that codes come back from
is another one, that of their nearest points, and its best last layer is a linear problem: codes to their nearest
points, v_d to the codes by least squares, in turns, as for a principal curve (Hastie & Stuetzle 1989).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from latent_vizae.model.vizae import VizAE
from latent_vizae.network.nearest_point import nearest_point
from latent_vizae.network.perceptron import linear_layer, through

__all__ = ["settle", "solve_last_layer"]


@torch.no_grad()
def solve_last_layer(
    network: nn.Sequential, inputs: Tensor, targets: Tensor, weights: Tensor | None = None, ridge: float = 1e-9
) -> None:
    """Set the last layer so that network(inputs) = targets: weighted least squares, in double precision.

    Args:
        network: of linear layers and abTanh; all but the last layer stay as they are.
        inputs: (N, features).
        targets: (N, outputs).
        weights: (N,) of the squared errors, all 1 if None.
        ridge: weight of the squares of the last layer's weights, as a share of the mean square of what enters it.
    """
    hidden = network[:-1](inputs).double()
    hidden = torch.cat([hidden, torch.ones_like(hidden[:, :1])], 1)
    weighted = hidden if weights is None else hidden * weights.double().unsqueeze(1)
    gram = weighted.T @ hidden
    gram.diagonal().add_(ridge * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, weighted.T @ targets.double())
    last = linear_layer(network, -1)
    last.weight.copy_(solution[:-1].T)
    last.bias.copy_(solution[-1])


MOST_ROUNDS, RIDGE = 4, 1e-4
"""Most fits often end after two. Without a ridge the layer follows the few codes at the map's edges."""


@torch.no_grad()
def settle(v: VizAE, draw: Callable[[], Tensor], score_of: Callable[[], float]) -> None:
    """Set v_d's last layer by least squares, so that codes come back from their nearest points, a few times.

    Args:
        v: on a map of [-1, 1]^d.
        draw: codes in the frame (B, rank), others every time.
        score_of: what v is worth, less is better. A round that does not lower it is undone, and is the last.
    """
    last, best = linear_layer(v.decoder, -1), score_of()
    kept = last.weight.clone(), last.bias.clone()
    try:
        for _ in range(MOST_ROUNDS):
            x = draw()
            points = nearest_point(v.decoder, x, through(v.encoder, x), v.pull)
            solve_last_layer(v.decoder, points, x, ridge=RIDGE)
            score = score_of()
            if not score < best:
                break
            best, kept = score, (last.weight.clone(), last.bias.clone())
    finally:  # an interrupted round is undone too
        last.weight.copy_(kept[0])
        last.bias.copy_(kept[1])
