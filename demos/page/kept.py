"""What visitors set going, kept by ids that nobody can guess, and not for ever."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Generic, TypeVar

from torch import Tensor

__all__ = ["GoneError", "Kept", "memory_of"]

T = TypeVar("T")


class GoneError(ValueError):
    """There is no such thing, or no longer."""


class Kept(Generic[T]):
    """Things by id, few enough and small enough; the least recently used ones go first, the newest stays.

    Args:
        most: how many are kept.
        most_bytes: of the tensors that they hold, those that they share counted once.
        gone: what to say of an id that is not here.
    """

    def __init__(self, most: int, most_bytes: int, gone: str = "This is no longer here.") -> None:
        self._most, self._most_bytes, self._gone = most, most_bytes, gone
        self._things: OrderedDict[str, T] = OrderedDict()
        self._held: dict[str, dict[int, int]] = {}
        self._holders: Counter[int] = Counter()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, key: str, thing: T) -> str:
        """Keep a thing; its id."""
        with self._lock:
            if key in self._things:
                self._drop(key)
            self._things[key], self._held[key] = thing, memory_of(thing)
            self._bytes += sum(size for address, size in self._held[key].items() if not self._holders[address])
            self._holders.update(self._held[key].keys())
            while len(self._things) > self._most or (len(self._things) > 1 and self._bytes > self._most_bytes):
                self._drop(next(iter(self._things)))
        return key

    def _drop(self, key: str) -> None:
        del self._things[key]
        for address, size in self._held.pop(key).items():
            self._holders[address] -= 1
            if not self._holders[address]:
                del self._holders[address]
                self._bytes -= size

    def find(self, key: Any) -> T | None:
        """The thing of that id, or None."""
        with self._lock:
            if not isinstance(key, str) or key not in self._things:
                return None
            self._things.move_to_end(key)
            return self._things[key]

    def get(self, key: Any) -> T:
        """The thing of that id.

        Raises:
            GoneError: there is none.
        """
        thing = self.find(key)
        if thing is None:
            raise GoneError(self._gone)
        return thing


def memory_of(thing: Any) -> dict[int, int]:
    """Bytes of what a thing holds, by address: tensors, arrays, and other objects that tell their ``nbytes``."""
    held: dict[int, int] = {}
    seen: set[int] = set()
    rest = [thing]
    while rest:
        one = rest.pop()
        if id(one) in seen or isinstance(one, type | ModuleType):
            continue
        seen.add(id(one))
        if isinstance(one, Tensor):
            storage = one.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            continue
        if isinstance(size := getattr(one, "nbytes", None), int):
            held[id(one)] = size
        if isinstance(one, Mapping):
            rest += one.values()
        elif isinstance(one, list | tuple):
            rest += one
        else:
            rest += getattr(one, "__dict__", {}).values()
    return held
