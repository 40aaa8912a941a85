"""One training loop, whatever is trained: the best weights so far, stop at any time, go on after a break.

`fit` trains the two halves of v with it, `discover_directions` its deformators and predictors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .checkpoint import Checkpoint
from .optimisers import Adam
from .progress import Progress

__all__ = ["CHECK_EVERY", "Loop"]

CHECK_EVERY = 50
"""Steps between two measurements on the validation set: of 340 steps, 7."""


class Loop:
    """A training at some step, and how it goes on.

    A checkpoint holds a whole step: the weights, the best ones, the optimisers' moments, the state of the generator.
    So what is drawn from ``generator`` is the same with a break and without.

    Args:
        parameters: to train, in an order that stays the same.
        optimisers: of these parameters.
        generator: source of all randomness of the training.
        title: of the progress bar.
        progress: True for a bar, a function ``(step, steps, title)``, or False.
        checkpoint: opened, or None.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        optimisers: Sequence[Adam],
        generator: torch.Generator,
        *,
        title: str,
        progress: bool | Callable[[int, int, str], object] = False,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.parameters, self.optimisers, self.generator = list(parameters), list(optimisers), generator
        self.step, self.best, self.interrupted = 0, math.inf, False
        self._kept = [weight.detach().clone() for weight in self.parameters]
        self._title, self._progress, self._checkpoint = title, progress, checkpoint
        if checkpoint is not None and checkpoint.facts is not None:
            self._resume(checkpoint.facts, checkpoint.tensors)
        self._whole = None if checkpoint is None else self._snapshot()

    def run(self, advance: Callable[[], None], score: Callable[[], float], steps: int) -> None:
        """Go on to step number ``steps``, then take the best weights.

        Ctrl-C, or a function ``progress`` that raises KeyboardInterrupt, stops at the best weights so far and sets
        ``interrupted``.

        Args:
            advance: one step; ``step`` counts those before it.
            score: of the validation set, less is better; asked every `CHECK_EVERY` steps and after the last.
            steps: how many in all.
        """
        with Progress(self._progress, self._title) as shown:
            try:
                while self.step < steps:
                    advance()
                    self.step += 1
                    if self.step % CHECK_EVERY == 0 or self.step == steps:
                        self._keep(value := score())
                        shown.note(f"validation {value:.4g}")
                    if self._checkpoint is not None:
                        self._whole = self._snapshot()
                        if self._checkpoint.due() or self.step == steps:
                            self.write()
                    shown(self.step, steps)
            except KeyboardInterrupt:
                self.interrupted = True
                self.write()
        if self.best < math.inf:  # else none was measured yet
            with torch.no_grad():
                for weight, kept in zip(self.parameters, self._kept, strict=True):
                    weight.copy_(kept)
        for optimiser in self.optimisers:
            optimiser.release()

    def write(self) -> None:
        """Write the checkpoint: the last whole step."""
        if self._checkpoint is not None and self._whole is not None:
            self._checkpoint.write(*self._whole)

    def _keep(self, score: float) -> None:
        if score < self.best:
            self.best, self._kept = score, [weight.detach().clone() for weight in self.parameters]

    def _snapshot(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {"generator": self.generator.get_state()}
        for at, (weight, kept) in enumerate(zip(self.parameters, self._kept, strict=True)):
            tensors |= {f"now.{at}": weight.detach().clone(), f"best.{at}": kept.clone()}
        for at, optimiser in enumerate(self.optimisers):
            for name, moment in zip(("first", "second"), optimiser.moments, strict=True):
                tensors[f"{name}.{at}"] = moment.clone()
        return {"step": self.step, "best": None if self.best == math.inf else self.best}, tensors

    @torch.no_grad()
    def _resume(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.step, self.best = facts["step"], math.inf if facts["best"] is None else facts["best"]
        self.generator.set_state(tensors["generator"])
        for at, weight in enumerate(self.parameters):
            weight.copy_(tensors[f"now.{at}"])
            self._kept[at].copy_(tensors[f"best.{at}"])
        for at, optimiser in enumerate(self.optimisers):
            optimiser.steps = self.step
            for name, moment in zip(("first", "second"), optimiser.moments, strict=True):
                moment.copy_(tensors[f"{name}.{at}"])
