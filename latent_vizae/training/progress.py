"""Where work is: a bar on stderr, a function's call, or nothing."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

__all__ = ["Progress"]


class Progress:
    """Says how far one stage is.

    Args:
        progress: True for a bar, a function ``(step, steps, title)``, or False.
        title: of the stage.
    """

    def __init__(self, progress: bool | Callable[[int, int, str], object], title: str) -> None:
        self._function = progress if callable(progress) else None
        self._title = title
        self._bar = tqdm(total=0, desc=title, disable=progress is not True, leave=False)

    def __call__(self, step: int, steps: int) -> None:
        """So many of so many steps are done; the function may raise KeyboardInterrupt to stop."""
        self._bar.total = steps
        self._bar.update(step - self._bar.n)
        if self._function is not None:
            self._function(step, steps, self._title)

    def close(self) -> None:
        """The stage is over."""
        self._bar.close()
