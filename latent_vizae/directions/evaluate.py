"""Measure directions on held-out codes: steps, effects and the numbers of the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latent_vizae.training.progress import Progress

from .classifier import Classifier, classify
from .measures import (
    GRID,
    MOST_ITERATIONS,
    calibrate,
    change_of,
    explained,
    largest_cosine,
    moved,
    random_sets,
    sameness,
)
from .pool import Pool

__all__ = [
    "CALIBRATION",
    "MOST_CALIBRATION",
    "Evaluated",
    "Evaluator",
    "cost_of_measuring",
    "cost_of_shift",
    "typical_change",
]


STEP = 0.25
"""Image change of a step of 1, as a share of the median difference of two images."""

CALIBRATION = 8
MOST_CALIBRATION = len(GRID) + MOST_ITERATIONS
"""Moves along a direction until its step is known, about (four, and as many that come nearer), and at most."""

GLOBAL_SHARE, PAIRS, OTHERS, RANDOM, CLASS_STEPS = 2, 24, 2, 2, 2.0


def cost_of_shift(measured: int, size: int, moves: int = CALIBRATION) -> float:
    """Images that `Evaluator.shift_for` asks for, with so many moves along a direction until its step is known."""
    return GLOBAL_SHARE * measured * (1 + 2 * size) * moves


def cost_of_measuring(measured: int, size: int, classes: int, shift: bool, moves: int = CALIBRATION) -> float:
    """Images that `Evaluator` asks for; inf of one code per direction of a class, where agreement is of two.

    Args:
        measured: codes per direction.
        size: K.
        classes: N.
        shift: whether the largest shift is looked for, too.
        moves: along a direction until its step is known.
    """
    if classes and measured == 1:
        return math.inf
    change = 1 + 2 * size  # images of a code: before and after a move to both sides, along each direction
    steps = moves + 2  # `change_of`, and a step at other codes
    both = 2 * size if classes else 0  # two steps, for the class
    by_global = GLOBAL_SHARE * measured * (change * steps + both) + (
        cost_of_shift(measured, size, moves) if shift else 0
    )
    at_random = measured * ((1 + 2 * RANDOM) * (moves + 1) + 2 * RANDOM)
    by_class = measured * (change * steps + both) + at_random + min(PAIRS, 2 * measured) * (5 + OTHERS)
    return by_global + classes * by_class


def typical_change(pool: Pool) -> float:
    """Median root mean square difference of two images."""
    half = len(pool.images) // 2
    differences = (pool.images[:half] - pool.images[half : 2 * half]).flatten(1).square().mean(1).sqrt()
    return differences.median().item()


@dataclass
class Evaluated:
    """The measured tensors of a `Directions`, and the numbers of its report."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]
    interrupted: bool = False


class Evaluator:
    """Measures sets of directions on held-out codes of a pool.

    Args:
        pool: codes.
        classifier: the classifier of the pool.
        measured: codes per direction; twice as many for the global set. With 0 no image is asked for.
        seed: of the choice of codes and of random directions.

    Attributes:
        shown: progress, called after every move that is decoded; silent by default.
    """

    def __init__(self, pool: Pool, classifier: Classifier | None, measured: int, seed: int) -> None:
        self.pool, self.classifier, self.measured = pool, classifier, measured
        self.shown, self.done = Progress(False, "measure"), 0
        self.generator = torch.Generator().manual_seed(seed)
        self.first, self.second = [], []
        for kind in (None, *range(len(pool.labels))):
            rows = pool.rows(kind, held_out=True)
            rows = rows[torch.randperm(len(rows), generator=self.generator)]
            count = min(len(rows), measured * (GLOBAL_SHARE if kind is None else 1))
            self.first.append(pool.codes[rows[:count].to(pool.codes.device)])
            self.second.append(pool.codes[rows[len(rows) - count :].to(pool.codes.device)])

    def _decode(self, codes: Tensor) -> Tensor:
        images = self.pool.decode(codes)
        self.shown(self.done, 3 + 5 * len(self.pool.labels))  # parts of what `measure` does, sets each
        return images

    def shift_for(self, directions: Tensor, change: float) -> float:
        """A move, in code units, after which images have changed by so much: the median over directions (D, n).

        Where no image is to be asked for, one and a half standard deviations of the codes.
        """
        typical = max(1.5 * self.pool.codes.var(0).mean().sqrt().item(), 1e-6)
        if not self.measured:
            return typical
        lengths, _, _ = calibrate(self._decode, [(directions, self.first[0])], change, typical)
        return float(lengths[0].median())

    def measure(self, shared: Tensor, own: Tensor, shift: float, typical: float, known: dict[str, Any]) -> Evaluated:
        """Measure a global set (K, n) and classes' sets (N, K, n).

        Args:
            shared: the global set.
            own: the classes' sets.
            shift: a typical move, in code units.
            typical: root mean square difference of two images.
            known: numbers of the report that are already known.
        """
        sets = [shared, *own]
        across, within = largest_cosine(shared, own)
        names = [f"global {at}" for at in range(len(shared))]
        names += [f"class {label}, {at}" for label in self.pool.labels.tolist() for at in range(len(shared))]
        numbers: dict[str, Any] = {**known, "cosine_global_class": across, "cosine_within": within, "unmoved": []}
        numbers |= dict.fromkeys(MEASURED)
        lengths, effects = [torch.full((len(shared),), shift) for _ in sets], [torch.zeros(len(shared)) for _ in sets]
        interrupted = False
        at_codes = list(zip(sets, self.first, strict=True)) if self.measured else []
        try:
            for row, (some, codes) in enumerate(at_codes):
                effects[row] = change_of(self._decode, codes, shift * some).cpu()
                self.done += 1
            if self.measured:
                lengths, amount, unmoved = calibrate(self._decode, at_codes, STEP * typical, shift)
                self.done += len(sets)
                numbers["step_change"] = amount
                numbers["unmoved"] = [name for name, still in zip(names, unmoved.tolist(), strict=True) if still]
                self._compare(sets, lengths, amount, shift, numbers, ~unmoved)
            if self.measured and len(own):
                self._explain(shared, own, numbers)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.shown.close()
        none = torch.zeros(0, len(shared))
        tensors = {
            "global_directions": shared.cpu(),
            "class_directions": own.cpu(),
            "global_steps": lengths[0],
            "class_steps": torch.stack(lengths[1:]) if len(own) else none,
            "global_effects": effects[0],
            "class_effects": torch.stack(effects[1:]) if len(own) else none,
        }
        return Evaluated({name: tensor.float() for name, tensor in tensors.items()}, numbers, interrupted)

    def _compare(
        self,
        sets: list[Tensor],
        lengths: list[Tensor],
        amount: float,
        shift: float,
        numbers: dict[str, Any],
        moves: Tensor,
    ) -> None:
        """How far a step goes at other codes, how much its effect is the same there, and whether the class stays."""
        sizes, same, kept = [], [], []
        for at, (directions, length, codes) in enumerate(zip(sets, lengths, self.second, strict=True)):
            size, alike, stays = self._steps(directions, length, codes, at - 1)
            self.done += 1
            sizes.append(size)
            same.append(alike)
            kept.append(stays)
        changed = torch.cat(sizes)[moves]
        if len(changed):
            numbers["step_change_least"], numbers["step_change_most"] = changed.min().item(), changed.max().item()
        numbers["agreement_global"] = same[0]
        if len(sets) == 1:
            return
        numbers["agreement_class"], numbers["kept_global"], numbers["kept_class"] = same[1:], kept[0], kept[1:]
        at_random = random_sets(sets[0], len(sets) - 1, self.generator)[:, :RANDOM]
        same, kept = [], []
        for row, directions in enumerate(at_random):
            at_random_lengths, _, _ = calibrate(self._decode, [(directions, self.first[row + 1])], amount, shift)
            _, alike, stays = self._steps(directions, at_random_lengths[0], self.second[row + 1], row)
            self.done += 1
            same.append(alike)
            kept.append(stays)
        numbers["agreement_random"], numbers["kept_random"] = sum(same) / len(same), sum(kept) / len(kept)

    def _steps(self, directions: Tensor, lengths: Tensor, codes: Tensor, kind: int) -> tuple[Tensor, float, float]:
        """Change (D,) of a step, mean agreement of its effect, and how often the class stays at two steps."""
        before, sizes, alike, stays = self._decode(codes), [], [], []
        for move in directions * lengths.to(directions).unsqueeze(1):
            ahead, behind = moved(self._decode, codes, move)
            sizes.append(
                torch.stack([(side - before).flatten(1).square().mean(1).sqrt() for side in (ahead, behind)]).mean()
            )
            alike.append(sameness(ahead - behind))
            if self.classifier is not None:
                was = classify(self.classifier, before)
                both = (classify(self.classifier, side) for side in moved(self._decode, codes, CLASS_STEPS * move))
                stays += [(now == was).float().mean().item() for now in both]
        return torch.stack(sizes).cpu(), sum(alike) / len(alike), sum(stays) / max(1, len(stays))

    def _explain(self, shared: Tensor, own: Tensor, numbers: dict[str, Any]) -> None:
        """Change within classes that the global set, and further sets, can make."""
        count = len(own)
        at_random = random_sets(shared, count, self.generator)
        columns: dict[str, list[float]] = {"global": [], "own": [], "other": [], "random": []}
        for row in range(count):
            rows = self.pool.rows(row, held_out=True)
            codes = self.pool.codes[rows[: 2 * min(PAIRS, 2 * self.measured)].to(self.pool.codes.device)]
            half = len(codes) // 2
            others = [own[(row + further) % count] for further in range(1, 1 + min(OTHERS, count - 1))]
            by_shared, further = explained(
                self._decode, codes[:half], codes[half : 2 * half], shared, [own[row], at_random[row], *others]
            )
            self.done += 1
            columns["global"].append(by_shared)
            columns["own"].append(further[0])
            columns["random"].append(further[1])
            if others:
                columns["other"].append(sum(further[2:]) / len(others))
        numbers["explained_global"] = sum(columns["global"]) / count
        for name in ("own", "other", "random"):
            numbers[f"explained_{name}"] = columns[name] or None


MEASURED = (
    "step_change", "step_change_least", "step_change_most", "kept_global", "kept_class", "kept_random",
    "agreement_global", "agreement_class", "agreement_random", "explained_global", "explained_own",
    "explained_other", "explained_random",
)  # fmt: skip
