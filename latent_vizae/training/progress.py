"""How far long work is: a bar on stderr or in a notebook, a function's call, or nothing. Only this file knows tqdm."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias

__all__ = ["Progress", "Reporting"]


Reporting: TypeAlias = "bool | Callable[[int, int, str], object]"
"""True for a bar, a function ``(step, steps, title)``, or False."""


class Progress:
    """How far one stage of the work is; a context manager that closes its bar.

    Args:
        progress: True for a bar, a function ``(step, steps, title)``, or False.
        title: of the stage.
        unit: of the steps, for the bar.
        start: steps that an earlier run did.
    """

    def __init__(self, progress: Reporting, title: str, unit: str = "step", start: int = 0) -> None:
        self._function = progress if callable(progress) else None
        self._title = title
        self._bar: Any = None
        if progress is True:
            from tqdm.auto import tqdm  # a widget in a notebook that can show one

            self._bar = tqdm(total=0, initial=start, desc=title, unit=unit, leave=False)

    def __call__(self, step: int, steps: int) -> None:
        """So many of so many steps are done, 0 where nobody knows how many there are.

        The function may raise KeyboardInterrupt to stop.
        """
        if self._bar is not None:
            self._bar.total = steps or None
            self._bar.update(step - self._bar.n)
        if self._function is not None:
            self._function(step, steps, self._title)

    def note(self, text: str) -> None:
        """Show a few words behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def line(self, text: str) -> None:
        """Print a line on stdout, above the bar where there is one."""
        if self._bar is None:
            print(text)  # noqa: T201 (what was asked for)
        else:
            self._bar.write(text)

    def close(self) -> None:
        """The stage is over."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()
