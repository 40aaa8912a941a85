"""What a search for directions asks of its decoder, within a budget: images of codes, then directions, then measures.

A quarter of the budget is for images of codes. Of what is left then, directions get what measuring leaves, and two
thirds at least: fewer codes of the metric, fewer steps of training. The rest is for measuring, on fewer codes each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from latent_vizae.decoders.contract import is_slow
from latent_vizae.decoders.spending import Limit, Spending, cost_in_words, images_left, seconds_per_image
from latent_vizae.training.progress import Progress, Reporting

__all__ = ["FEWEST", "Allowance"]

FEWEST = 8
"""Codes of a search, and of a class: some are for training, some for measuring."""
FEWEST_STEPS = 10
"""Of a training: fewer change nothing, and their images make better directions to start from."""
FOR_CODES = 1 / 4
FOR_DIRECTIONS = 2 / 3
FOR_THE_START = 1 / 4
"""Of what a training gets: it starts from directions in closed form."""


class Allowance:
    """What may be asked of a decoder yet, and what becomes of it.

    Args:
        decoder: f_d.
        limit: of the search.
        spent: by it so far.
        plan: numbers that were settled before, by a search that this one goes on with; what is settled is added.

    Attributes:
        wanted: images that a search without a budget asks for, about.
        cut: whether the budget keeps something from being asked for.
    """

    def __init__(
        self, decoder: Callable[[Tensor], Tensor], limit: Limit, spent: Spending, plan: dict[str, float]
    ) -> None:
        self.plan, self.wanted, self.cut = plan, 0.0, False
        self._decoder, self._limit, self._spent = decoder, limit, spent

    @property
    def slow(self) -> bool:
        """Whether one waits for images."""
        return is_slow(self._decoder)

    def left(self) -> float:
        """Images that may be asked for yet."""
        return images_left(self._decoder, self._limit, self._spent)

    @contextlib.contextmanager
    def shown(self, progress: Reporting, title: str, images: float) -> Iterator[None]:
        """Images of a slow decoder are counted on a bar of their own inside of a ``with``; there are about so many."""
        if not self.slow or not progress or not images:
            yield
            return
        before, total = self._spent.images, max(1, round(min(images, self.left())))
        with Progress(progress, title + self.cost(images), unit="image") as bar:
            self._spent.report = lambda spent: bar(min(round(spent - before), total), total)
            try:
                yield
            finally:
                self._spent.report = None

    def cost(self, images: float) -> str:
        """For the title of a bar: what is to be waited for, where that is long."""
        if not self.slow:
            return ""
        return f", {cost_in_words(min(images, self.left()), seconds_per_image(self._decoder))}"

    def codes(self, count: int) -> int:
        """Of so many codes, how many have their images made.

        Raises:
            ValueError: fewer than directions need.
        """
        left = self.left()
        if left < min(count, 2 * FEWEST):
            raise ValueError(
                f"The budget allows {left:.0f} images of this decoder, directions need {2 * FEWEST} at least. Ask for "
                "more; or Directions.of_vectors takes directions that are known, and asks for none."
            )
        self.wanted += count
        return int(self._settle("codes", max(FEWEST, int(FOR_CODES * min(left, 4 * count))), count))

    def settle(self, start: float, step: float, score: float, measuring: Sequence[float], steps: int) -> None:
        """Settle how much of the rest is done: ``share``, ``steps`` and ``measured`` of the plan.

        Args:
            start: images that directions in closed form ask for; the share is of them.
            step: that a step of training asks for.
            score: that the score of the result asks for.
            measuring: that measuring asks for, by the number of codes per direction, from 0 on; inf of a number that
                is too small.
            steps: of training, as they are asked for.
        """
        left, training = self.left(), steps * step + score
        self.wanted += start + training + measuring[-1]
        start_gets, steps_get, measured = start, steps, len(measuring) - 1
        if start + training + measuring[-1] > left:
            for_measuring = max(left - start - training, (1 - FOR_DIRECTIONS) * left)
            measured = max(count for count, cost in enumerate(measuring) if cost <= for_measuring)
            directions = left - measuring[measured]
            start_gets = min(start, max(directions - training, FOR_THE_START * directions))
            steps_get = min(steps, int((directions - start_gets - score) / step))
            if steps_get < FEWEST_STEPS:
                start_gets, steps_get = min(start, directions), 0
        self._settle("share", start_gets / start if start else 1.0, 1.0)
        self._settle("steps", steps_get, steps)
        self._settle("measured", measured, len(measuring) - 1)

    def _settle(self, name: str, value: float, asked: float) -> float:
        value = self.plan.setdefault(name, value)
        self.cut |= value < asked
        return value

    def numbers(self) -> dict[str, Any]:
        """Of the report: what was spent."""
        seconds = self._spent.seconds
        return {
            "images_decoded": round(self._spent.images),
            "images_wanted": round(self.wanted) if self.cut else None,
            "decoding_seconds": round(seconds, 1) if seconds >= 1 else None,
        }
