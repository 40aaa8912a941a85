"""What a fit asks of its decoder, within a budget: the frame's metric first, then detail, then image errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor

from latent_vizae.decoders.contract import is_slow
from latent_vizae.decoders.spending import Limit, Spending, cost_in_words, images_left, seconds_per_image
from latent_vizae.training.progress import Progress, Reporting

from .detail import images_of_places
from .few import FEW
from .frame import LARGE_IMAGE, cost_of_slopes, slopes_wanted
from .one_code import cost_of_directions

__all__ = ["Decoding", "cost_of_measuring"]

FOR_THE_METRIC = 2 / 3
"""Of what is left, where all that is wanted does not fit: the metric is worth more than knowing how good a map is."""
METRIC_AT_LEAST = 20
"""Images: four codes with two backward passes each."""
FEWEST_ERRORS = 4
"""Codes whose images tell whether detail makes others more typical, at least."""
CHECKS = 12
"""Images that have to be left for the check whether a decoder is deterministic, which takes four."""


def cost_of_measuring(count: int, sizes: tuple[int, int], detail: bool) -> int:
    """Images of so many codes of each set, before and after the map, and of places with detail and without."""
    shown = sum(min(count, size) for size in sizes)
    return 2 * shown + (2 * images_of_places(shown) if detail else 0)


class Decoding:
    """What may be asked of a decoder yet.

    Args:
        decoder: f_d, or None.
        limit: of the fit.
        spent: by the fit so far.
        progress: as `fit` takes it; slow decoding is shown.

    Attributes:
        decoder: None where the budget is nothing, too.
        wanted: images that a fit without a budget asks for, about.
        cut: whether the budget kept something from being asked for.
    """

    def __init__(
        self, decoder: Callable[[Tensor], Tensor] | None, limit: Limit, spent: Spending, progress: Reporting
    ) -> None:
        self.decoder = decoder if min(limit.images, limit.seconds) > 0 else None
        self.wanted, self._metric = 0.0, 0.0
        self.cut = False
        self._limit, self._spent, self._progress = limit, spent, progress
        self._bar: Progress | None = None
        self._not_counted = 0.0

    def left(self) -> float:
        """Images that may be asked for yet."""
        return images_left(self.decoder, self._limit, self._spent)

    @property
    def decoded(self) -> int:
        """Images that were asked for, without those that were not to be counted."""
        return round(self._spent.images - self._not_counted)

    @property
    def seconds(self) -> float | None:
        """That they took; None below a second."""
        return round(self._spent.seconds, 1) if self._spent.seconds >= 1 else None

    @contextlib.contextmanager
    def uncounted(self) -> Iterator[None]:
        """Images of what is done once for a decoder are no part of what a fit reports, but of its budget."""
        before = self._spent.images
        yield
        self._not_counted += self._spent.images - before

    @property
    def may_check(self) -> bool:
        """Whether images are left to check whether the decoder is deterministic."""
        return self.left() >= CHECKS

    def announce(self, k: int, n: int, pixels: int, rank: int, dim: int, measured: int) -> None:
        """Say what it will cost, where that is to be waited for; ``measured`` are the images of the report."""
        if self.decoder is None:
            return
        count, probes = slopes_wanted(k, pixels, max(1, rank))
        metric = float(k) if k < FEW and pixels > LARGE_IMAGE else count * cost_of_slopes(probes)
        if rank <= dim:
            metric = min(4, k) * cost_of_directions(n) if rank < dim else 0.0
        self.wanted, self._metric = self.decoded + metric + measured, metric
        total = min(self.wanted + self._not_counted, self._spent.images + self.left())
        if is_slow(self.decoder) and self._progress:
            words = cost_in_words(total, seconds_per_image(self.decoder))
            bar = self._bar = Progress(self._progress, f"decode, {words}", unit="image")
            self._spent.report = lambda images: bar(min(int(images), int(total)), int(total))

    def for_metric(self, measured: int) -> float:
        """Images for the metric: all that are left, less what the report asks for, and two thirds at least."""
        left = self.left()
        allowed = max(left - measured, FOR_THE_METRIC * left, min(left, METRIC_AT_LEAST))
        self.cut |= allowed < self._metric
        return allowed

    def to_measure(self, wanted: int, sizes: tuple[int, int], detail: bool) -> tuple[int, bool]:
        """Codes of each set of such sizes whose images are made, and whether images of places are made for detail."""
        left = self.left()
        if self.decoder is None:
            return 0, False
        for with_detail in (True, False) if detail else (False,):
            fewest = min(wanted, FEWEST_ERRORS) if with_detail else 1
            for count in range(wanted, fewest - 1, -1):
                if cost_of_measuring(count, sizes, with_detail) <= left:
                    self.cut |= count < min(wanted, max(sizes)) or with_detail != detail
                    return count, with_detail
        self.cut = True
        return 0, False

    def close(self) -> None:
        """The fit is over."""
        self._spent.report = None
        if self._bar is not None:
            self._bar.close()
