"""Who waits for whom: a visitor for others who ask the same decoder for the same kind of thing, and for nobody else.

What takes time runs in threads of its own, not in those that Gradio serves the page with: forty questions to a slow
decoder would take all of these. A question that waits takes no thread; where very many wait, it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import anyio
import anyio.to_thread

from latent_vizae.network.threads import one_thread

__all__ = ["Queues"]

Result = TypeVar("Result")


class _Limits(NamedTuple):
    """Of one kind of work: done at once and asked for at most in one queue, and threads of all queues together."""

    at_once: int
    most: int
    threads: int


LIMITS = {
    "picture": _Limits(2, 256, 32),  # one at a pointer; more than two at a time only share the processor
    "work": _Limits(2, 64, 16),  # regions, paths, certificates: each takes tens of megabytes
    "layer": _Limits(1, 64, 8),  # who asks for the same one gets it from the map afterwards
    "tiles": _Limits(1, 256, 8),  # small parts of what lies beneath the points
    "fit": _Limits(1, 32, 4),  # and searches for directions
    "trust": _Limits(1, 64, 2),
    "hub": _Limits(1, 32, 4),  # downloads, each of up to 2 GiB
}
BUSY = "Too many visitors wait for this at the moment; try again later."


class _Queue:
    """Turns at one decoder, or at one name of the Hub."""

    def __init__(self, at_once: int) -> None:
        self.turns, self.inside = anyio.CapacityLimiter(at_once), 0


class Queues:
    """Work by kind and by what it asks: a decoder, or a name of the Hub. All of one event loop."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, Any], _Queue] = {}
        self._threads = {kind: anyio.CapacityLimiter(limits.threads) for kind, limits in LIMITS.items()}

    async def run(self, kind: str, asked: Any, function: Callable[..., Result], *arguments: Any) -> Result:
        """``function(*arguments)``, in a thread, when it is its turn.

        Args:
            kind: one of `LIMITS`.
            asked: the decoder (any object, known by its identity), or a name (str).
            function: called with torch on one thread.
            arguments: its positional arguments.

        Raises:
            ValueError: very many wait in this queue.
        """
        key = kind, asked if isinstance(asked, str) else id(asked)
        queue = self._queues.setdefault(key, _Queue(LIMITS[kind].at_once))
        if queue.inside >= LIMITS[kind].most:
            raise ValueError(BUSY)
        queue.inside += 1
        try:
            async with queue.turns:
                return await anyio.to_thread.run_sync(
                    _on_one_thread, function, *arguments, limiter=self._threads[kind]
                )
        finally:
            queue.inside -= 1
            if not queue.inside:
                self._queues.pop(key)


def _on_one_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    with one_thread():
        return function(*arguments)
