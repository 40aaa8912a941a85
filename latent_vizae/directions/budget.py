"""What a search for directions asks of its decoder, within a budget: images of codes, then directions, then measures.

A quarter of the budget is for images of codes. Of what is left then, directions get what measuring leaves, and two
thirds at least: fewer codes of the metric, fewer steps of training. The rest is for measuring, on fewer codes each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from latent_vizae.decoders.contract import decode_images, is_slow
from latent_vizae.decoders.spending import (
    Budget,
    Limit,
    Spending,
    as_limit,
    cost_in_words,
    images_left,
    part_of,
    seconds_per_image,
    time_in_words,
)
from latent_vizae.training.progress import Progress, Reporting

__all__ = ["FEWEST", "Allowance", "total_of", "with_classifier"]

FEWEST = 8
"""Codes of a search, and of a class: some are for training, some for measuring."""
FEWEST_STEPS = 10
"""Of a training: fewer change nothing, and their images make better directions to start from."""
FOR_CLASSIFIER = 1 / 4
"""Of a search by classes; it uses the same images again."""
FOR_CODES = 1 / 4
FOR_DIRECTIONS = 2 / 3
FOR_THE_START = 1 / 4
"""Of what a training gets: it starts from directions in closed form."""


def total_of(start: float, step: float, score: float, measuring: Sequence[float], steps: int) -> float:
    """Images that a search asks for, beside those of its codes; see `Allowance.settle`."""
    return start + steps * step + (score if steps else 0) + measuring[-1]


def with_classifier(decoder: Callable[[Tensor], Tensor], codes: Tensor, budget: Budget) -> tuple[Budget, Budget, str]:
    """What a classifier and then a search by its classes may ask for, and both at most, in words.

    Args:
        decoder: f_d; one of the codes is decoded, to see how long that takes.
        codes: (k, *latent_shape).
        budget: of both.

    Returns:
        The classifier's budget, the search's, and the words: nothing where the decoder is not slow or nothing bounds
        it; a search without a classifier says so much itself.
    """
    decode_images(decoder, codes[:1])
    words = ""
    if is_slow(decoder) and budget is not None:
        most = images_left(decoder, as_limit(budget), Spending())
        words = cost_in_words(most, seconds_per_image(decoder)).replace("about", "at most")
    return part_of(budget, FOR_CLASSIFIER), part_of(budget, 1 - FOR_CLASSIFIER), words


class Allowance:
    """What may be asked of a decoder yet, and what becomes of it.

    Args:
        decoder: f_d.
        limit: of the search.
        spent: by it so far.
        plan: numbers that were settled before, by a search that this one goes on with; what is settled is added.
        most_of: images that a search of so many codes, of n numbers each, asks for at most beside theirs.

    Attributes:
        wanted: images that a search without a budget asks for, about.
        cut: whether the budget keeps something from being asked for.
    """

    def __init__(
        self,
        decoder: Callable[[Tensor], Tensor],
        limit: Limit,
        spent: Spending,
        plan: dict[str, float],
        most_of: Callable[[int, int], float] = lambda count, n: 0.0,
    ) -> None:
        self.plan, self.wanted, self.cut = plan, 0.0, False
        self._decoder, self._limit, self._spent, self._most_of = decoder, limit, spent, most_of
        self._whole = ""

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
        """For the title of a bar: what is to be waited for, where that is long, now and in all."""
        if not self.slow or not images:
            return ""
        now = f", {cost_in_words(min(images, self.left()), seconds_per_image(self._decoder))}"
        return f"{now}, of {self._whole} in all" if self._whole else now

    def codes(self, count: int, n: int, rounds: int = 1) -> int:
        """Of so many codes, of n numbers each, how many have their images made.

        Args:
            count: of them.
            n: numbers in each.
            rounds: how often so many may be drawn.

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
        self._say_whole("at most", min(left, rounds * count + self._most_of(count, n)))
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
        self.wanted += total_of(start, step, score, measuring, steps)
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
        kept = measuring[: int(self.plan["measured"]) + 1]
        asked = total_of(self.plan["share"] * start, step, score, kept, int(self.plan["steps"]))
        self._say_whole("about", min(left, asked))

    def _say_whole(self, how: str, more: float) -> None:
        """Put into words what the whole search asks for: what was spent, and so many images more."""
        seconds = self._spent.seconds + more * (seconds_per_image(self._decoder) or 0.0)
        self._whole = f"{how} {self._spent.images + more:,.0f} images, {time_in_words(seconds)}"

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
