"""The world of processes that work together: what torchrun started, met through Accelerate (extra `distributed`)."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch

from latent_vizae.inputs.checks import as_whole

__all__ = ["World", "leave_world", "started_world"]


LONGEST_WAIT = timedelta(days=30)
"""For the slowest process; torch's own limit is half an hour."""


@dataclass(frozen=True)
class World:
    """This process is number ``rank`` of ``size``; ``wait`` returns once all have come there."""

    rank: int
    size: int
    wait: Callable[[], None]


def started_world(processes: int | None = None) -> World:
    """The processes that torchrun (or ``accelerate launch``) started; without it, this one.

    Raises:
        ValueError: there are not as many as asked for.
        ImportError: there are several, and Accelerate is not installed.
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
        return World(0, 1, lambda: None)
    try:
        accelerate: Any = importlib.import_module("accelerate")  # it carries no types
    except ImportError as error:
        raise ImportError('Several processes need: pip install "latent-vizae[distributed]".') from error
    with _threads_kept():
        # On the CPU: processes only wait for each other, and those that share an accelerator could not by NCCL.
        state = accelerate.PartialState(cpu=True, timeout=LONGEST_WAIT)
    if state.num_processes != size:
        raise ValueError(f"torchrun started {size} processes, Accelerate knows {state.num_processes}.")

    def wait() -> None:
        try:
            state.wait_for_everyone()
        except RuntimeError as error:
            raise ConnectionError("Another process ended. What is finished stays; run again for the rest.") from error

    return World(state.process_index, size, wait)


def leave_world() -> int:
    """Part from the other processes at the end of a program; the rank of this one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return int(os.environ.get("RANK", 0)) if "LOCAL_RANK" in os.environ else 0


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Accelerate chooses a number of threads where nobody did; leave it as it is."""
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="OMP_NUM_THREADS/MKL_NUM_THREADS unset")
        try:
            yield
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
