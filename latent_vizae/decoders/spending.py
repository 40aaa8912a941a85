"""What decoding costs: seconds per image of a decoder, and the images that a piece of work asks for.

A decoder takes a tenth of a millisecond or ten seconds an image. So work that asks many times says beforehand what it
will cost, and stays within a budget.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

from latent_vizae.inputs.checks import as_whole

__all__ = [
    "BACKWARD",
    "BUDGET",
    "SLOW",
    "Budget",
    "Limit",
    "Spending",
    "as_limit",
    "cost_in_words",
    "images_left",
    "note_time",
    "note_work",
    "noting_work",
    "part_of",
    "seconds_per_image",
    "spending",
    "time_in_words",
]

Budget: TypeAlias = "int | str | None"
"""Most images that a piece of work may ask for: a whole number, a time such as "60s" or "5min", or None for any."""

BUDGET = "60s"
"""Of decoding, by default: as long as somebody waits for a map."""
SLOW = 0.05
"""Seconds an image from which a decoder is slow: its calls are split, its images kept. Far above what a busy machine
makes of the decoders that nobody waits for, whose results stay the same to the last bit."""
BACKWARD = 2.0
"""A backward pass costs as much as so many images."""

_LOCK = threading.Lock()
_FASTEST: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Limit:
    """A budget that was checked.

    Attributes:
        images: most of them.
        seconds: most of them, where the budget is a time.
    """

    images: float = math.inf
    seconds: float = math.inf


def as_limit(budget: Budget) -> Limit:
    """A budget as it is handed in, checked.

    Raises:
        TypeError: neither a whole number nor a time nor None.
        ValueError: below 0, or text that is no time.
    """
    if budget is None:
        return Limit()
    if not isinstance(budget, str):
        try:
            return Limit(images=as_whole(budget, "budget", 0))
        except TypeError:
            raise TypeError(f"budget is a number of images, a time such as '60s', or None, got {budget!r}.") from None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*", budget)
    if found is None:
        raise ValueError(f"budget is a number of images, a time such as '60s' or '5min', or None, got {budget!r}.")
    return Limit(seconds=float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]])


class Spending:
    """What was asked of decoders since a piece of work began.

    Args:
        report: called with what was spent so far after each call of a decoder.

    Attributes:
        images: decoded; a backward pass counts for two.
        seconds: that they took.
    """

    def __init__(self, report: Callable[[float], object] | None = None) -> None:
        self.images, self.seconds = 0.0, 0.0
        self.report = report


_NOW: ContextVar[tuple[Spending, ...]] = ContextVar("spending", default=())


@contextlib.contextmanager
def spending() -> Iterator[Spending]:
    """Count what decoders are asked inside of a ``with``."""
    mine = Spending()
    token = _NOW.set((*_NOW.get(), mine))
    try:
        yield mine
    finally:
        _NOW.reset(token)


def note_time(decoder: Any, images: int, seconds: float) -> None:
    """Remember that a decoder made so many images in so many seconds."""
    with _LOCK, contextlib.suppress(TypeError):  # what cannot be referred to is timed again each time
        _FASTEST[decoder] = min(_FASTEST.get(decoder, math.inf), seconds / images)
    note_work(images, seconds)


def note_work(images: float, seconds: float) -> None:
    """Count work that costs as much as so many images, such as a backward pass."""
    for one in _NOW.get():
        one.images += images
        one.seconds += seconds
        if one.report is not None:
            one.report(one.images)


@contextlib.contextmanager
def noting_work(images: float) -> Iterator[None]:
    """`note_work` of what is done inside of a ``with``."""
    started = time.perf_counter()
    yield
    note_work(images, time.perf_counter() - started)


def seconds_per_image(decoder: Any) -> float | None:
    """The least that an image of a decoder has taken; None of one that was not called yet."""
    with _LOCK:
        try:
            return _FASTEST.get(decoder)
        except TypeError:
            return None


def images_left(decoder: Any, limit: Limit, spent: Spending) -> float:
    """Images that may be asked of a decoder yet, as fast as it has been; any number before its first call."""
    seconds, by_time = seconds_per_image(decoder), math.inf
    if seconds and limit.seconds < math.inf:
        by_time = (limit.seconds - spent.seconds) / seconds
    return max(0.0, min(limit.images - spent.images, by_time)) if limit.seconds > 0 else 0.0


def cost_in_words(images: float, seconds: float | None) -> str:
    """What is to be waited for, in words: "about 340 images, 2 min"."""
    words = f"about {images:,.0f} images"
    return words if seconds is None else f"{words}, {time_in_words(images * seconds)}"


def part_of(budget: Budget, share: float) -> Budget:
    """A share of a budget, for one of several pieces of work."""
    limit = as_limit(budget)
    if limit.seconds < math.inf:
        return f"{share * limit.seconds:.3f}s"
    return int(share * limit.images) if limit.images < math.inf else None


def time_in_words(seconds: float) -> str:
    """A time to wait, in its unit: "2 min"."""
    units = (("s", 1.0), ("min", 60.0), ("h", 3600.0))
    name, size = next((unit for unit in reversed(units) if seconds >= 1.5 * unit[1]), units[0])
    return f"{max(1, round(seconds / size))} {name}"
