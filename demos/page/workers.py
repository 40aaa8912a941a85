"""Fits, certificates and searches in processes of their own.

They are thousands of small steps, each of which takes Python's lock. A picture under a pointer takes it dozens of
times and would wait up to 5 ms each time: beside one fit, a page of fifty visitors became twenty times as slow.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

from latent_vizae import Directions
from latent_vizae.demos.page.finding import find_directions
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.gathering import Gathered, gather_codes
from latent_vizae.demos.page.hub import Decoders
from latent_vizae.demos.page.jobs import Progress, fit_map, mapped, trust
from latent_vizae.demos.page.steering import FoundDirections
from latent_vizae.demos.page.worker import read_map, write_map

__all__ = ["Workers"]

MOST_IDLE = 2
"""Processes that wait for the next job; each takes some hundred megabytes."""
START = "import os; getattr(os, 'nice', int)(5); from latent_vizae.demos.page.worker import main; main()"
"""Pictures under pointers come first, before the imports, too."""
WRONG = "Something went wrong here; it was noted."
logger = logging.getLogger(__name__)


class Workers:
    """Processes that know decoders by name; for other decoders, the thread that asks does the work itself."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self._idle: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _end, self._idle)

    def warm(self) -> None:
        """Have a process ready: it takes seconds to start."""
        self._give_back(_start())

    def close(self) -> None:
        """End the processes that wait."""
        with self._lock:
            waiting = self._idle[:]
            self._idle.clear()
        _end(waiting)

    def fit(self, f_d: Any, codes: dict[str, Any], dim: int, seed: int, progress: Progress) -> FittedMap:
        """Gather codes and fit a map.

        Args:
            f_d: the decoder.
            codes: keywords of `gather_codes`.
            dim: of the map.
            seed: of the fit.
            progress: see `Progress`.

        Raises:
            ValueError: what `gather_codes` and `latent_vizae.fit` refuse.
            RuntimeError: a bug, which is logged.
        """
        if (named := self._decoders.named(f_d)) is None:
            return fit_map(f_d, gather_codes(f_d, **codes), dim, seed, progress)
        with tempfile.TemporaryDirectory() as folder:
            title = self._ask("fit", named, folder, {"codes": codes, "dim": dim, "seed": seed}, progress)
            return mapped(f_d, *read_map(Path(folder), title))

    def trust(self, fitted: FittedMap, progress: Progress) -> dict[str, Any] | None:
        """See `jobs.trust`."""
        if (named := self._decoders.named(fitted.latent_map.decoder)) is None:
            return trust(fitted, progress)
        with tempfile.TemporaryDirectory() as folder:
            write_map(Path(folder), fitted.latent_map.v, Gathered(fitted.codes_at(slice(1)), None, ""))
            found: dict[str, Any] | None = self._ask("trust", named, folder, {}, progress)
            return found

    def directions(self, fitted: FittedMap, progress: Progress, **given: Any) -> FoundDirections:
        """See `finding.find_directions`, whose keywords are taken."""
        if (named := self._decoders.named(fitted.latent_map.decoder)) is None:
            return find_directions(fitted, **given, progress=progress)
        with tempfile.TemporaryDirectory() as folder:
            write_map(Path(folder), fitted.latent_map.v, Gathered(fitted.codes_at(slice(None)), fitted.labels, ""))
            self._ask("directions", named, folder, {**given, "title": fitted.title}, progress)
            found = Directions.from_pretrained(Path(folder) / "directions")
            return FoundDirections(found, fitted.latent_map.decoder, fitted.title)

    def _ask(
        self, job: str, named: tuple[str, dict[str, Any]], folder: str, given: dict[str, Any], progress: Progress
    ) -> Any:
        """Have a job done by a process; another visitor's waits for none of this."""
        name, options = named
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is None or process.poll() is not None:
            process = _start()
        try:
            question = {"job": job, "decoder": name, "options": options, "folder": folder, "given": given}
            _say(process, json.dumps(question))
            answer = _answer_of(process, progress)
        except BaseException:
            _end([process])
            raise
        self._give_back(process)
        if answer.get("bug"):
            logger.error("A %s ended with an error:\n%s", job, answer["error"])
            raise RuntimeError(WRONG)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["result"]

    def _give_back(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            if len(self._idle) < MOST_IDLE:
                return self._idle.append(process)
        _end([process])


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _say(process: subprocess.Popen[str], words: str) -> None:
    print(words, file=process.stdin, flush=True)


def _answer_of(process: subprocess.Popen[str], progress: Progress) -> dict[str, Any]:
    """The last line about a job; what `progress` says is handed on.

    Raises:
        RuntimeError: the process ended, for want of memory perhaps.
    """
    stopped = False
    for line in process.stdout or ():
        answer: dict[str, Any] = json.loads(line)
        if "progress" not in answer:
            return answer
        try:
            progress(*answer["progress"])
        except KeyboardInterrupt:
            if not stopped:
                _say(process, "stop")
            stopped = True
    logger.error("A process that works for the page ended with %s.", process.wait())
    raise RuntimeError(WRONG + " Was it too large? Try fewer codes.")


def _end(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
