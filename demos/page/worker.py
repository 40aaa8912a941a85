"""What a process of `Workers` does: it fits, measures and searches for the page.

Standard input brings jobs, each a line of JSON, and the line "stop" for the one that goes on. Standard output tells,
line by line as JSON, ``{"progress": [step, steps, title]}``, and at last ``{"result": ...}`` or ``{"error": words}``,
with ``"bug": true`` where it is ours. Maps and directions go through a folder, as they are saved.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from latent_vizae import LatentMap, VizAE
from latent_vizae.demos.page.finding import find_directions
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.gathering import Gathered, gather_codes
from latent_vizae.demos.page.hub import Decoders
from latent_vizae.demos.page.jobs import Progress, fit_map, trust
from latent_vizae.inputs.names import Labels

__all__ = ["read_map", "write_map"]

PAUSE = 0.1
"""Seconds between two words of progress."""


def write_map(folder: Path, v: VizAE, gathered: Gathered) -> None:
    """A v and the codes it is of, into a folder."""
    v.save_pretrained(folder / "v")
    labels = gathered.labels.numbers if isinstance(gathered.labels, Labels) else gathered.labels
    tensors = {"codes": gathered.codes} | ({} if labels is None else {"labels": labels})  # v has their names
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, folder / "codes.safetensors")


def read_map(folder: Path, title: str) -> tuple[VizAE, Gathered]:
    """What `write_map` wrote."""
    tensors = load_file(folder / "codes.safetensors")
    return VizAE.from_pretrained(folder / "v"), Gathered(tensors["codes"], tensors.get("labels"), title)


def _map_in(folder: Path, f_d: Any, title: str) -> FittedMap:
    v, (codes, labels, _) = read_map(folder, title)
    return FittedMap(title, LatentMap(v, f_d), codes, labels, "")


def _fit(folder: Path, f_d: Any, progress: Progress, given: dict[str, Any]) -> str:
    gathered = gather_codes(f_d, **given["codes"])
    write_map(folder, fit_map(f_d, gathered, given["dim"], given["seed"], progress).latent_map.v, gathered)
    return gathered.title


def _trust(folder: Path, f_d: Any, progress: Progress, given: dict[str, Any]) -> dict[str, Any] | None:
    return trust(_map_in(folder, f_d, ""), progress)


def _directions(folder: Path, f_d: Any, progress: Progress, given: dict[str, Any]) -> None:
    found = find_directions(_map_in(folder, f_d, given.pop("title")), **given, progress=progress)
    found.directions.save_pretrained(folder / "directions")


JOBS = {"fit": _fit, "trust": _trust, "directions": _directions}


def main() -> None:
    """Do one job after the other, until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    torch.set_num_threads(1)
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    stop = threading.Event()

    def read() -> None:
        for line in sys.stdin:
            if line.strip() == "stop":
                stop.set()
            else:
                jobs.put(json.loads(line))
        os._exit(0)  # the page has ended

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    threading.Thread(target=read, daemon=True).start()
    decoders, told = Decoders(), 0.0

    def progress(step: int, steps: int, title: str) -> None:
        nonlocal told
        if stop.is_set():
            raise KeyboardInterrupt
        if (now := time.monotonic()) > told + PAUSE or step == steps:
            told = now
            tell({"progress": [step, steps, title]})

    while True:
        job = jobs.get()
        stop.clear()
        try:
            f_d = decoders.get(job["decoder"], **job["options"])
            result = JOBS[job["job"]](Path(job["folder"]), f_d, progress, job["given"])
            tell({"result": result})
        except (ValueError, TypeError, ImportError, OSError) as error:
            tell({"error": str(error)})
        except BaseException:
            tell({"error": traceback.format_exc(), "bug": True})
