"""Many codes at once, in folders of shards: points of codes, and codes of the generator's prior."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.contract import evaluating
from latent_vizae.decoders.load import decoder_name
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.sources import open_codes
from latent_vizae.inputs.surroundings import callers_surroundings, own_surroundings
from latent_vizae.model.vizae import VizAE
from latent_vizae.storage.folder import checksum
from latent_vizae.storage.shards import Unit, digest, run_units
from latent_vizae.training.progress import Progress, Reporting

__all__ = ["place_codes", "sample_codes"]


VALUES_PER_BATCH = 2**22


def place_codes(
    v: VizAE,
    codes: ArrayLike,
    out: str | Path,
    unit_size: int = 100_000,
    *,
    processes: int | None = None,
    progress: Reporting = False,
) -> Path:
    """Place any number of codes on a map, into a folder of shards; a part of the codes is in memory at a time.

    Of an interrupted run the finished shards stay, and the next run makes the others. Under ``torchrun`` the processes
    share them; the result does not depend on their number.

    Args:
        v: the map.
        codes: (k, *latent_shape): whatever `fit` takes: an array, a memory map, batches, a table, files or a folder of
            shards.
        out: a new folder, or one with shards of the same v and the same codes. The shards are
            ``points-00000-of-00010.safetensors``, ..., each with a tensor ``points`` (unit_size, dim) float32;
            ``manifest.json`` lists them.
        unit_size: codes a shard.
        processes: the expected number of processes; another number is an error.
        progress: True for a bar on stderr, or a function ``(step, steps, title)`` that is called as the work goes on.

    Returns:
        The folder.

    Raises:
        TypeError: not real numbers.
        ValueError: codes of another shape, NaN or infinity; a folder of other work; the wrong number of processes.
        ConnectionError: another process ended early.

    Example:
        >>> import tempfile
        >>> from latent_vizae import fit
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     points = place_codes(fit(torch.eye(4)), torch.eye(4), folder + "/points", unit_size=2)
        ...     sorted(path.name for path in points.iterdir())
        ['manifest.json', 'points-00000-of-00002.safetensors', 'points-00001-of-00002.safetensors']
    """
    reader = open_codes(codes)
    if reader.latent_shape != v.latent_shape:
        raise ValueError(f"This map takes codes of shape {v.latent_shape}, got {reader.latent_shape}.")
    count, size = len(reader), max(1, VALUES_PER_BATCH // v.mean.numel())

    def points(unit: Unit) -> Tensor:
        starts = range(unit.start, unit.stop, size)
        return torch.cat([v.encode(reader[start : min(unit.stop, start + size)]).cpu() for start in starts])

    placing = {key: value for key, value in v.config.items() if key != "label_names"}  # which places nothing
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in v.state_dict().items()}
    work = {
        "task": "place_codes", "v": checksum(json.dumps(placing, sort_keys=True), weights),
        "codes": digest(reader.parts()),
    }  # fmt: skip
    settings: dict[str, Any] = {"count": count, "unit_size": unit_size, "processes": processes}
    with Progress(progress, "place", unit="code") as shown:
        return run_units(out, work, points, tensor="points", report=shown, **settings)


@torch.no_grad()
@own_surroundings()
def sample_codes(
    decoder: Any,
    count: int,
    seed: int = 0,
    *,
    out: str | Path,
    unit_size: int = 10_000,
    processes: int | None = None,
    progress: Reporting = False,
) -> Path:
    """Draw codes from the generator's prior by the decoder's ``sample``, into a folder of shards as in `place_codes`.

    The seed of each shard follows from ``seed`` and its number, so the codes do not depend on the number of processes,
    but on ``unit_size``. A resumed run draws the first and the last finished shard again and refuses a folder of other
    codes.

    Args:
        decoder: with a method ``sample(count, seed)``.
        count: number of codes.
        seed: same seed, same codes.
        out: a new folder, or one with shards of the same codes. The shards have a tensor ``codes``.
        unit_size: codes a shard, which are in memory.
        processes: the expected number of processes; another number is an error.
        progress: True for a bar on stderr, or a function ``(step, steps, title)`` that is called as the work goes on.

    Returns:
        The folder.

    Raises:
        ValueError: a decoder without ``sample``; a folder of other work; the wrong number of processes.
        ConnectionError: another process ended early.
    """
    if not callable(getattr(decoder, "sample", None)):
        raise ValueError("This decoder has no sample(count, seed), so it has no prior to draw codes from.")

    def codes(unit: Unit) -> Tensor:
        with evaluating(decoder), callers_surroundings():
            drawn = decoder.sample(unit.stop - unit.start, unit.seed)
        if not isinstance(drawn, Tensor):
            raise ValueError(f"sample returns codes (count, *latent_shape), got {type(drawn).__name__}.")
        return drawn

    work = {"task": "sample_codes", "decoder": decoder_name(decoder)}
    settings: dict[str, Any] = {"count": as_whole(count, "count", 1), "unit_size": unit_size, "processes": processes}
    with Progress(progress, "sample", unit="code") as shown:
        return run_units(out, work, codes, again=codes, tensor="codes", seed=seed, report=shown, **settings)
