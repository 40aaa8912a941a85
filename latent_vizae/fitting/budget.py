"""What a fit asks of its decoder, within a budget: the frame's metric first, then detail, then image errors."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from latent_vizae.decoders.contract import is_slow
from latent_vizae.decoders.spending import Limit, Spending, cost_in_words, seconds_per_image
from latent_vizae.training.progress import Progress, Reporting

from .few import FEW
from .frame import LARGE_IMAGE, cost_of_slopes, slopes_wanted

__all__ = ["Decoding"]

FOR_THE_METRIC = 2 / 3
"""Of what is left, where all that is wanted does not fit: the metric is worth more than knowing how good a map is."""
METRIC_AT_LEAST = 20
"""Images: four codes with two backward passes each."""
FEWEST_ERRORS, FOR_DETAIL = 4, 32
"""Codes whose image error is measured, at least; images of places with detail and without."""
CHECKS = 12
"""Images that have to be left for the check whether a decoder is deterministic, which takes four."""


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
    """

    def __init__(
        self, decoder: Callable[[Tensor], Tensor] | None, limit: Limit, spent: Spending, progress: Reporting
    ) -> None:
        self.decoder = decoder if limit.images_at(None) > 0 and limit.seconds > 0 else None
        self.wanted = 0.0
        self._limit, self._spent, self._progress = limit, spent, progress
        self._bar: Progress | None = None

    def left(self) -> float:
        """Images that may be asked for yet."""
        seconds = None if self.decoder is None else seconds_per_image(self.decoder)
        by_time = math.inf
        if seconds and self._limit.seconds < math.inf:
            by_time = (self._limit.seconds - self._spent.seconds) / seconds
        return max(0.0, min(self._limit.images - self._spent.images, by_time))

    @property
    def may_check(self) -> bool:
        """Whether images are left to check whether the decoder is deterministic."""
        return self.left() >= CHECKS

    def announce(self, k: int, pixels: int, rank: int, dim: int, measured: int) -> None:
        """Say what it will cost, where that is to be waited for; ``measured`` are the images of the report."""
        if self.decoder is None:
            return
        count, probes = slopes_wanted(k, pixels, max(1, rank))
        metric = float(k) if k < FEW and pixels > LARGE_IMAGE else count * cost_of_slopes(probes)
        self.wanted = self._spent.images + metric + measured
        total = min(self.wanted, self._spent.images + self.left())
        if is_slow(self.decoder) and self._progress:
            words = cost_in_words(total, seconds_per_image(self.decoder))
            bar = self._bar = Progress(self._progress, f"decode, {words}", unit="image")
            self._spent.report = lambda images: bar(min(int(images), int(total)), int(total))

    def for_metric(self, measured: int) -> float:
        """Images for the metric: all that are left, less what the report asks for, and two thirds at least."""
        left = self.left()
        return max(left - measured, FOR_THE_METRIC * left, min(left, METRIC_AT_LEAST))

    def to_measure(self, wanted: int, sets: int, detail: bool) -> tuple[int, bool]:
        """Codes of each set whose images are made, before and after the map, and whether detail's images are."""
        left = self.left()
        if self.decoder is None:
            return 0, False
        with_detail = int(min(wanted, (left - FOR_DETAIL) / (2 * sets)))
        if detail and with_detail >= min(wanted, FEWEST_ERRORS):
            return with_detail, True
        return int(min(wanted, left / (2 * sets))), False

    def close(self) -> None:
        """The fit is over."""
        self._spent.report = None
        if self._bar is not None:
            self._bar.close()
