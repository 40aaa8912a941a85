"""Threads: small tensors are worked on by one, large passes by several, each of which works alone.

The tensors of a training step are too small to share: torch's threads spin while they wait for each other, and beside
another program a wait lasts as long as that program's turn on the processor. How many threads OpenMP and MKL take is a
setting of each thread, so what is set here is seen by no other thread, and is put back. Where their functions are not
to be had (macOS, Windows, another build of torch), nothing is changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

__all__ = ["callers_threads", "in_parallel", "one_thread"]

Part = TypeVar("Part")
Result = TypeVar("Result")
WORKERS = 8
"""At most so many threads: memory grows with them."""


class _Own(threading.local):
    """How many threads the caller of this thread's `one_thread` has; None outside of it."""

    callers: int | None = None


_own = _Own()


@cache
def _library() -> ctypes.CDLL | None:
    """Torch's library with the functions of OpenMP, where it has them."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        _ = library.omp_get_max_threads, library.omp_set_num_threads
    except (OSError, AttributeError):
        return None
    return library


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads for what this thread does inside."""
    library = _library()
    if library is None or (before := library.omp_get_max_threads()) == count:
        yield
        return
    mkl = getattr(library, "MKL_Set_Num_Threads_Local", None)  # it returns what was set for this thread, 0 if nothing
    library.omp_set_num_threads(count)
    mkl_before = mkl(count) if mkl is not None else 0
    try:
        yield
    finally:
        library.omp_set_num_threads(before)
        if mkl is not None:
            mkl(mkl_before)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch works on one thread inside, for the thread that is here."""
    outer = _own.callers
    if outer is not None:  # inside of another one: callers_threads may have been between
        with _threads(1):
            yield
        return
    _own.callers = torch.get_num_threads()
    try:
        with _threads(1):
            yield
    finally:
        _own.callers = None


@contextlib.contextmanager
def callers_threads() -> Iterator[None]:
    """Inside `one_thread`, as many threads as outside of it: for what is the caller's, such as a large decoder."""
    if _own.callers is None:
        yield
        return
    with _threads(_own.callers):
        yield


def in_parallel(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Results of the parts, in their order, made by as many threads as torch would take, each working alone.

    A few parts are in work at a time. An exception, or an end of the iteration, waits for those and no more.
    """
    count = min(WORKERS, _own.callers or torch.get_num_threads())
    waiting, rest = list(itertools.islice(parts := iter(parts), 2)), parts
    if count < 2 or len(waiting) < 2 or _library() is None:
        for part in itertools.chain(waiting, rest):
            with one_thread():
                result = function(part)
            yield result
        return

    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work(part: Part) -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients), one_thread():
            return function(part)

    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count, "latent-vizae") as pool:
        try:
            for part in itertools.chain(waiting, rest):
                running.append(pool.submit(work, part))
                if len(running) > count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
