"""Processes of torchrun: rank, size, a barrier, and the detection of one that ended.

They communicate through torch.distributed's key-value store, which torchrun serves. A thread of each process writes to
it every second, so a barrier needs no time limit, and a process that ended is detected within a minute.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch

from latent_vizae.inputs.checks import as_whole

__all__ = ["World", "joined_world", "rank"]


BEAT, SILENCE = 1.0, 40.0
"""Seconds between two signs of life, and without one until a process counts as ended: a busy machine or a long call
that keeps Python's lock may delay some."""

JOIN = 3600.0
"""Seconds to wait at the start for the slowest: nobody signs before."""

DONE, FAILED = b"done", b"failed"

ENDED = (
    "Another process ended before its work was done. Its own message has the reason. Finished shards stay; run the "
    "same command again for the others."
)

_worlds = itertools.count()
"""Numbers the worlds of this process; all processes join the same ones in the same order."""


class _PeerEnded(BaseException):
    """Raised in the main thread wherever it is; no ``except Exception`` of a decoder may swallow it."""


class World:
    """This process is number ``rank`` of ``size``; alone it is 0 of 1."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def wait(self) -> None:
        """Return once all have come here, however long the slowest takes."""


class _Joined(World):
    def __init__(self, rank: int, size: int, store: Any) -> None:
        super().__init__(rank, size)
        self._store = store
        self._barriers = 0
        self._over, self._lost = threading.Event(), threading.Event()
        self._sign(b"0")
        self._meet(JOIN)
        self._watch = threading.Thread(target=self._beat, name="latent-vizae-watch", daemon=True)
        self._watch.start()

    def wait(self) -> None:
        self._meet(None)

    def leave(self, word: bytes) -> None:
        """Say the last word; the first process, which may serve the store, leaves a finished work last."""
        self._over.set()
        self._watch.join()
        with contextlib.suppress(RuntimeError):  # who served the store has gone
            self._sign(word)
            until = time.monotonic() + (SILENCE if self.rank == 0 and word == DONE else 0)
            while time.monotonic() < until and set(self._signs()) != {DONE}:
                time.sleep(0.05)

    def _meet(self, limit: float | None) -> None:
        self._barriers += 1
        names = [f"{self._barriers} {rank}" for rank in range(self.size)]
        started = time.monotonic()
        try:
            self._store.set(names[self.rank], b"")
            while not self._store.check(names):
                if self._lost.is_set() or (limit is not None and time.monotonic() - started > limit):
                    raise _PeerEnded
                time.sleep(0.05)
        except RuntimeError as error:
            raise _PeerEnded from error

    def _sign(self, word: bytes) -> None:
        self._store.set(f"life {self.rank}", word)

    def _signs(self) -> list[bytes]:
        signs: list[bytes] = self._store.multi_get([f"life {rank}" for rank in range(self.size)])
        return signs

    def _beat(self) -> None:
        """Sign, and read the others' signs, until this process is done or another one is missed."""
        seen, since = [b""] * self.size, [time.monotonic()] * self.size
        for number in itertools.count(1):
            if self._over.wait(BEAT):
                return
            try:
                self._sign(str(number).encode())
                signs = self._signs()
            except RuntimeError:  # who served the store has gone
                break
            now = time.monotonic()
            since = [then if old == new else now for then, old, new in zip(since, seen, signs, strict=True)]
            seen = signs
            silent = any(now - then > SILENCE and sign != DONE for then, sign in zip(since, signs, strict=True))
            if silent or FAILED in signs:
                break
        self._lost.set()
        if signal.getsignal(signal.SIGTERM) is _end:
            _terminate()  # as torchrun does on the machine of the one that ended


def rank() -> int:
    """Number of this process among those that torchrun started; 0 without it."""
    return int(os.environ.get("RANK", 0)) if "LOCAL_RANK" in os.environ else 0


@contextlib.contextmanager
def joined_world(processes: int | None = None) -> Iterator[World]:
    """The processes that torchrun started, joined for the length of a ``with`` block; without it, this one alone.

    When another one ends early, the block raises a ConnectionError within a minute, wherever it is. On the same
    machine torchrun sends SIGTERM at once, for which the block raises the same error, unless the program handles it.

    Raises:
        ValueError: another number of processes than ``processes``.
        ConnectionError: another process ended, or did not start.
    """
    launched = "LOCAL_RANK" in os.environ
    size = int(os.environ.get("WORLD_SIZE", 1)) if launched else 1
    if processes is not None and as_whole(processes, "processes", 1) != size:
        started = f"torchrun started {size}" if launched else "torchrun started none, so this is the only one"
        raise ValueError(
            f"Asked for {processes} processes, {started}. Start them: torchrun --nproc-per-node {processes} -m ... "
            "(of several machines, --nnodes times that)."
        )
    if size == 1:
        yield World()
        return
    try:
        with _terminated_by_peers():
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            name = f"latent-vizae {attempt} {next(_worlds)}"
            world = _Joined(rank(), size, _store(name))
            word = FAILED
            try:
                yield world
                word = DONE
            finally:
                world.leave(word)
    except _PeerEnded:
        raise ConnectionError(ENDED) from None


def _store(name: str) -> Any:
    """A part of the store that torchrun serves, or else the first process, for this name."""
    if not torch.distributed.is_available():
        raise ValueError("This build of torch has no torch.distributed: run one process, without torchrun.")
    from torch.distributed.distributed_c10d import PrefixStore

    return PrefixStore(name, _connection())


@functools.cache
def _connection() -> Any:
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://", timeout=timedelta(seconds=JOIN))))
    store.set_timeout(timedelta(seconds=SILENCE))
    return store


@contextlib.contextmanager
def _terminated_by_peers() -> Iterator[None]:
    """SIGTERM raises `_PeerEnded` in the main thread, where nobody else handles it."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun and the watch may both say it, and once is enough
    raise _PeerEnded


def _terminate() -> None:
    """SIGTERM to the main thread, which wakes from a sleep where the system can do that."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGTERM)
    else:
        _thread.interrupt_main(signal.SIGTERM)
