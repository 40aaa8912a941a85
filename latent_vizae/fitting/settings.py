"""What a fit is asked for, and the parts of it that `make ablate` switches off or turns from outside."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from latent_vizae.training.checkpoint import Checkpoint
from latent_vizae.training.progress import Reporting

__all__ = ["Request", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What `fit` is made of; the defaults are what it does.

    Attributes:
        metric: distances in the frame mean image change (frame.py); else they are distances of codes.
        code_share: a share of code distances beside it.
        mixing: training codes are mixed with near ones.
        noise: standard deviation of the noise of training codes, where the frame's numbers have variance 1.
        spread_units: the first layers begin with units spread over their inputs (initial.py); else all of Glorot's.
        muon: matrices between hidden layers learn by orthogonalised steps; else all by Adam.
        last_layer: v_d's last layer is solved at the end.
        neighbours: weight of the neighbours' divergence where ``keep_neighbours`` is 1.
        pull: by the dimension of the map, weight of the guess in `encode` where ``keep_neighbours`` is one half and
            guesses keep all neighbours (many.py). On a 3-D map, where fewer are torn apart, a fifth is as good, and
            points come back ten times as close.
        hidden: units of the hidden layers, or None.
        steps: of training, or None.
    """

    metric: bool = True
    code_share: bool = True
    mixing: bool = True
    noise: float = 0.3
    spread_units: bool = True
    muon: bool = True
    last_layer: bool = True
    neighbours: float = 3.0
    pull: tuple[float, float, float] = (55.0, 55.0, 11.0)
    hidden: tuple[int, ...] | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `fit` was asked for, checked; ``detail`` is None for "auto" (see `fit`)."""

    dim: int = 2
    keep_neighbours: float = 0.5
    ignore_outliers: bool = False
    detail: float | None = None
    seed: int = 0
    device: torch.device | None = None
    progress: Reporting = False
    checkpoint: Checkpoint | None = None
    settings: Settings = field(default_factory=Settings)
