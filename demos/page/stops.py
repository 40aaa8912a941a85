"""How far a visitor's fit or search is, and his word to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr

__all__ = ["Stops"]


class Stops:
    """The work that goes on, one of each visitor."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    @contextmanager
    def progress(self, request: gr.Request, bar: gr.Progress) -> Iterator[Callable[[int, int, str], None]]:
        """A function ``(step, steps, title)`` that shows how far it is, and raises KeyboardInterrupt after `stop`."""
        session = request.session_hash or ""
        stop = self._events[session] = threading.Event()

        def show(step: int, steps: int, title: str) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            if step % 10 == 0 or step == steps:
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
