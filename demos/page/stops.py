"""How far a visitor's fit or search is, and his word to stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr

__all__ = ["Stops"]

PAUSE = 0.1
"""Seconds between two words of progress."""


class Stops:
    """The work that goes on, one of each visitor."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    @contextmanager
    def progress(self, request: gr.Request, bar: gr.Progress) -> Iterator[Callable[[int, int, str], None]]:
        """A function ``(step, steps, title)`` that shows how far it is, and raises KeyboardInterrupt after `stop`."""
        session = request.session_hash or ""
        stop, told = threading.Event(), 0.0
        self._events[session] = stop

        def show(step: int, steps: int, title: str) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            nonlocal told
            if (now := time.monotonic()) > told + PAUSE or step == steps:
                told = now
                bar((step, steps), desc=title)

        try:
            yield show
        finally:
            self._events.pop(session, None)

    def stop(self, request: gr.Request) -> None:
        """Stop what that visitor set going; the best so far comes."""
        event = self._events.get(request.session_hash or "")
        if event is not None:
            event.set()
