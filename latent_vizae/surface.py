"""v as a surface through the codes: turned and scaled on the map, and settled among its codes in closed form.

Training moves v_d towards the codes at the points that v_e's network guesses. The surface that codes come back from
is another one, that of their nearest points, and its best last layer is a linear problem: codes to their nearest
points, v_d to the codes by least squares, in turns, as for a principal curve (Hastie & Stuetzle 1989).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .layout import linear_layer, solve_last_layer
from .model import VizAE
from .perceptron import through
from .projecting import nearest_point

__all__ = ["lay_flat", "settle", "stretch", "turn"]

TURNS, RIDGE = 4, 1e-4


@torch.no_grad()
def settle(v: VizAE, draw: Callable[[], Tensor], score_of: Callable[[], float]) -> None:
    """Set v_d's last layer by least squares, so that codes come back from their nearest points, in a few turns.

    Args:
        v: on a map of [-1, 1]^d.
        draw: codes in the frame (B, rank), others every time.
        score_of: what v is worth, less is better. A turn that does not lower it is undone, and is the last.
    """
    last, best = linear_layer(v.decoder, -1), score_of()
    kept = last.weight.clone(), last.bias.clone()
    try:
        for _ in range(TURNS):
            rows = draw()
            points = nearest_point(v.decoder, rows, through(v.encoder, rows), v.pull)
            solve_last_layer(v.decoder, points, rows, ridge=RIDGE)
            score = score_of()
            if not score < best:
                break
            best, kept = score, (last.weight.clone(), last.bias.clone())
    finally:  # an interrupted turn is undone too
        last.weight.copy_(kept[0])
        last.bias.copy_(kept[1])


@torch.no_grad()
def lay_flat(v: VizAE, x: Tensor) -> None:
    """Set an affine v to the plane of least squares through x (K, rank): the principal components in the frame."""
    middle = x.mean(0, dtype=torch.float64)
    square = torch.zeros(len(middle), len(middle)).to(middle)
    for part in x.split(4096):
        centred = part.double() - middle
        square += centred.T @ centred
    axes = torch.linalg.eigh(square)[1].flip(1)[:, : v.dim]
    v_e, v_d = linear_layer(v.encoder, -1), linear_layer(v.decoder, 0)
    v_e.weight.copy_(axes.T)
    v_e.bias.copy_(-(middle @ axes))
    v_d.weight.copy_(axes)
    v_d.bias.copy_(middle)


@torch.no_grad()
def turn(v: VizAE, x: Tensor) -> None:
    """Turn the map to the principal axes of what x (K, rank) is on it, and stretch it to that, inside v's layers."""
    points = v.encoder(x).double()
    centred = points - points.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred)[1].flip(1)
    axes = axes * torch.where((centred @ axes).pow(3).sum(0) < 0, -1.0, 1.0)
    last, first = linear_layer(v.encoder, -1), linear_layer(v.decoder, 0)
    last.weight.copy_(axes.T @ last.weight.double())
    last.bias.copy_(axes.T @ last.bias.double())
    first.weight.copy_(first.weight.double() @ axes)
    points = points @ axes
    stretch(v, points.amin(0), points.amax(0))


@torch.no_grad()
def stretch(v: VizAE, low: Tensor, high: Tensor) -> None:
    """Scale the map so that [low, high] becomes [-1, 1]^d, inside v's layers."""
    middle, half = (low + high) / 2, ((high - low) / 2 * (1 + 1e-4)).clamp(min=1e-9)
    last, first = linear_layer(v.encoder, -1), linear_layer(v.decoder, 0)
    last.weight.copy_(last.weight.double() / half.unsqueeze(1))
    last.bias.copy_((last.bias.double() - middle) / half)
    first.bias.copy_(first.bias.double() + first.weight.double() @ middle)
    first.weight.copy_(first.weight.double() * half)
