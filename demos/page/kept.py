"""What visitors set going, kept by ids that nobody can guess, and not for ever."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Generic, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """Things by id; the least recently used ones go first.

    Args:
        most: how many are kept.
        gone: what to say of an id that is not here.
    """

    def __init__(self, most: int, gone: str) -> None:
        self._most, self._gone = most, gone
        self._things: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: str, thing: T) -> str:
        """Keep a thing; its id."""
        with self._lock:
            self._things[key] = thing
            while len(self._things) > self._most:
                self._things.popitem(last=False)
        return key

    def get(self, key: Any) -> T:
        """The thing of that id.

        Raises:
            ValueError: there is none.
        """
        with self._lock:
            if not isinstance(key, str) or key not in self._things:
                raise ValueError(self._gone)
            self._things.move_to_end(key)
            return self._things[key]
