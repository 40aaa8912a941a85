"""The trained directions: linear deformators and shift predictors, learned together (Kim & Lee 2024).

Draw a direction and a shift, and move a code along it. A predictor gets both images and is trained, together with the
directions, to predict the direction and the shift. With the global set alone this is Voynov & Babenko 2020,
"Unsupervised discovery of interpretable directions in the GAN latent space".
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, l1_loss

from latent_vizae.decoders.spending import BACKWARD, noting_work
from latent_vizae.training.checkpoint import Checkpoint
from latent_vizae.training.loop import Loop
from latent_vizae.training.optimisers import Adam
from latent_vizae.training.progress import Reporting

from .pool import Pool
from .predictors import ShiftPredictors

__all__ = ["Deformators", "PredictorScore", "Search", "cost_of_score", "cost_of_step"]


GLOBAL_BATCH, CLASS_BATCH, FEWEST_EACH = 32, 32, 2

LEAST_SHIFT = 0.1
"""Shifts are at least a tenth of the largest: smaller ones are not visible."""

RATE, DEFORMATOR_RATE, SHIFT_WEIGHT = 2e-3, 1.5e-3, 2.0


SCORED = 96


@dataclass(frozen=True)
class PredictorScore:
    """Quality of the predictions for held-out moves, of one set of directions or several.

    Attributes:
        accuracy: (S,) share of moves whose direction is predicted correctly.
        shift_error: (S,) mean absolute error of the shift, in units of the largest one.
        loss: cross-entropy plus shift error, mean over sets.
    """

    accuracy: Tensor
    shift_error: Tensor
    loss: float


class Deformators:
    """A global set of K directions and one per class, orthonormal by construction.

    The parameters are unconstrained matrices. Directions are the Q of their QR decompositions; those of a class are
    first projected onto the orthogonal complement of the global set. So columns have unit length and both
    orthogonality constraints hold at every step.

    Args:
        shared: (n, K), the start of the global set.
        own: (N, n, K), the start of the classes' sets; N may be 0.
    """

    def __init__(self, shared: Tensor, own: Tensor) -> None:
        self.shared, self.own = shared.clone(), own.clone()

    @property
    def parameters(self) -> list[Tensor]:
        """The matrices."""
        return [self.shared, self.own] if len(self.own) else [self.shared]

    def columns(self, precise: bool = False) -> tuple[Tensor, Tensor]:
        """Global directions (n, K) and those of the classes (N, n, K)."""
        shared, own = (self.shared.double(), self.own.double()) if precise else (self.shared, self.own)
        common = _orthonormal(shared)
        if len(own) == 0:
            return common, own
        for _ in range(2):  # the second time for what rounding left
            own = _orthonormal(own - common @ (common.T @ own))
        return common, own


def _orthonormal(matrix: Tensor) -> Tensor:
    """The Q of QR whose columns point where the matrix's do."""
    q, r = torch.linalg.qr(matrix)
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(q)
    columns: Tensor = q * signs.unsqueeze(-2)
    return columns


def cost_of_step(classes: int) -> float:
    """Images that a step of training asks for, without a backward pass."""
    return GLOBAL_BATCH + classes * _each(classes)


def cost_of_score(classes: int) -> float:
    """Images that a score between steps asks for."""
    return SCORED + classes * _scored_each(classes)


def _each(classes: int) -> int:
    """Codes of each class in a batch."""
    return max(FEWEST_EACH, -(-CLASS_BATCH // classes)) if classes else 0


def _scored_each(classes: int) -> int:
    return max(FEWEST_EACH, SCORED // max(1, classes))


class Search:
    """Deformators, predictors and their optimiser, at some step.

    Args:
        pool: codes for training and for measuring.
        deformators: the start.
        shift: largest move along a direction, in code units.
        steps: number of training steps.
        seed: of the weights and of the batches.
        learn: whether the directions are trained too, or only the predictors.
    """

    def __init__(
        self, pool: Pool, deformators: Deformators, shift: float, steps: int, seed: int, learn: bool = True
    ) -> None:
        self.pool, self.deformators, self.shift, self.steps, self.learn = pool, deformators, shift, steps, learn
        self.step, self.interrupted = 0, False
        self.generator = torch.Generator().manual_seed(seed)
        count, size = len(pool.labels), deformators.shared.shape[1]
        image: tuple[int, int, int] = tuple(pool.images.shape[1:])  # type: ignore[assignment]
        half = len(pool.images) // 2
        scale = (pool.images[:half] - pool.images[half : 2 * half]).square().mean().sqrt().item()
        where = pool.images.device
        self.shared = ShiftPredictors(1, size, image, scale, self.generator, where)
        self.own = ShiftPredictors(count, size, image, scale, self.generator, where) if count else None
        predicting = [*self.shared.parameters, *(self.own.parameters if self.own else [])]
        moving = [matrix.requires_grad_() for matrix in deformators.parameters] if learn else []
        self.parameters: list[Tensor] = [*predicting, *moving]
        self.optimisers = [Adam(predicting, RATE, 0.99)] + ([Adam(moving, DEFORMATOR_RATE, 0.99)] if learn else [])
        self.each = _each(count)
        self.rows = [pool.rows(kind) for kind in (None, *range(count))]
        self.held = [pool.rows(kind, held_out=True) for kind in (None, *range(count))]

    # One step.

    def _draw(self, rows: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, directions and shifts (in units of the largest)."""
        size = self.deformators.shared.shape[1]
        chosen = rows[torch.randint(len(rows), (count,), generator=generator)]
        which = torch.randint(size, (count,), generator=generator)
        far = LEAST_SHIFT + (1 - LEAST_SHIFT) * torch.rand(count, generator=generator, dtype=torch.float32)
        sign = 2 * torch.randint(2, (count,), generator=generator) - 1
        return chosen, which, far * sign

    def _batch(self, rows: list[Tensor], shared: int, each: int, generator: torch.Generator) -> list[Tensor]:
        """Chosen rows, directions and shifts: the global branch's first, then so many of each class."""
        drawn = [self._draw(rows[0], shared, generator)]
        drawn += [self._draw(some, each, generator) for some in rows[1:]]
        return [torch.cat(parts).to(self.pool.codes.device) for parts in zip(*drawn, strict=True)]

    def _loss(
        self, batch: list[Tensor], shared: int, each: int, differentiable: bool
    ) -> tuple[Tensor, list[PredictorScore]]:
        """The loss of a batch, and the quality of its predictions."""
        chosen, which, shifts = batch
        common, own = self.deformators.columns()
        moves = common.T[which[:shared]]
        if self.own is not None:
            of_class = which[shared:].unflatten(0, (self.own.sets, each))
            picked = torch.arange(self.own.sets, device=which.device)[:, None]
            moves = torch.cat([moves, own.transpose(1, 2)[picked, of_class].flatten(0, 1)])
        codes = self.pool.codes[chosen] + (self.shift * shifts).unsqueeze(1) * moves
        after = self.pool.differentiable(codes) if differentiable else self.pool.decode_seen(codes.detach())
        before, where = self.pool.images[chosen], self.pool.images.device
        which, shifts = which.to(where), shifts.to(where)
        total, scores = after.new_zeros(()), []
        for predictors, part in ((self.shared, slice(0, shared)), (self.own, slice(shared, None))):
            if predictors is None:
                continue
            shape = (predictors.sets, -1)
            logits, said = predictors(before[part].unflatten(0, shape), after[part].unflatten(0, shape))
            targets, distances = which[part].unflatten(0, shape), shifts[part].unflatten(0, shape)
            loss = cross_entropy(logits.flatten(0, 1), targets.flatten()) + SHIFT_WEIGHT * l1_loss(said, distances)
            right = (logits.argmax(2) == targets).float().mean(1)
            scores.append(PredictorScore(right.detach(), (said - distances).abs().mean(1).detach(), loss.item()))
            total = total + loss
        return total, scores

    def advance(self, step: int) -> None:
        """One step of Adam, under a rate that warms up and falls like a cosine; ``step`` counts those before it."""
        warm = min(1.0, (step + 1) / max(1.0, 0.05 * self.steps))
        factor = warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        batch = self._batch(self.rows, GLOBAL_BATCH, self.each, self.generator)
        decoded = noting_work(len(batch[0]) * (1 + BACKWARD)) if self.learn else contextlib.nullcontext()
        with torch.enable_grad(), decoded:
            loss, _ = self._loss(batch, GLOBAL_BATCH, self.each, differentiable=self.learn)
            slopes = torch.autograd.grad(loss, self.parameters)  # a decoder's own weights keep theirs
        for tensor, slope in zip(self.parameters, slopes, strict=True):
            assert tensor.grad is not None  # the optimisers made it
            tensor.grad.copy_(slope)
        for optimiser in self.optimisers:
            optimiser.step(factor)

    @torch.no_grad()
    def score(self, shared: int, each: int, seed: int) -> list[PredictorScore]:
        """Predictions for moves of held-out codes: the global set, then the classes'."""
        generator = torch.Generator().manual_seed(seed)
        batch = self._batch(self.held, shared, each, generator)
        return self._loss(batch, shared, each, differentiable=False)[1]

    # All steps.

    def run(self, progress: Reporting, title: str, checkpoint: Checkpoint | None = None) -> None:
        """Go on to the last step; Ctrl-C stops, and the best of held-out codes so far stays."""
        loop = Loop(
            self.parameters,
            self.optimisers,
            self.generator,
            title=title,
            progress=progress,
            checkpoint=checkpoint,
        )
        each = _scored_each(len(self.pool.labels))
        loop.run(
            lambda: self.advance(loop.step),
            lambda: sum(score.loss for score in self.score(SCORED, each, seed=1)),
            self.steps,
        )
        self.step, self.interrupted = loop.step, loop.interrupted
        for tensor in self.parameters:
            tensor.requires_grad_(False)
