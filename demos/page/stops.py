"""How far what a visitor set going is, about how long the rest takes, and his word to stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from latent_vizae.decoders.spending import time_in_words
from latent_vizae.demos.page.jobs import Progress

__all__ = ["Stops"]

PAUSE = 0.1
"""Seconds between two words of progress."""
SOON = 4.0
"""Seconds: of what takes less nobody says how much is left."""


class Stops:
    """The work that goes on, one of each visitor: what he sets going stops what he did before."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    @contextmanager
    def progress(self, request: gr.Request, bar: gr.Progress) -> Iterator[Progress]:
        """A function ``(step, steps, title)`` that shows how far it is, and raises KeyboardInterrupt after `stop`."""
        session = request.session_hash or ""
        stop, told = threading.Event(), 0.0
        stage, first, begun = "", 0, 0.0
        if (before := self._events.get(session)) is not None:
            before.set()
        self._events[session] = stop

        def show(step: int, steps: int, title: str) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            nonlocal told, stage, first, begun
            if title != stage:
                stage, first, begun = title, step, time.monotonic()
            if (now := time.monotonic()) > told + PAUSE or step == steps:
                told = now
                left = (now - begun) / max(step - first, 1) * (steps - step)
                words = (
                    f", about {time_in_words(left)} left" if first < step < steps and now - begun + left > SOON else ""
                )
                bar((step, steps), desc=title + words)

        try:
            yield show
        finally:
            if self._events.get(session) is stop:
                del self._events[session]

    def stop(self, request: gr.Request) -> None:
        """Stop what that visitor set going; the best so far comes."""
        event = self._events.get(request.session_hash or "")
        if event is not None:
            event.set()
