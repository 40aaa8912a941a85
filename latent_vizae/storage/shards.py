"""Long work as independent units: a folder of shards and a manifest, by one process or many, resumable.

The header of a shard has its unit, its work and its checksum, so the finished shards of a killed run are recognised
without the manifest, and processes need no communication but barriers. ``manifest.json`` has the work and, for each
unit, its number, rows, seed, file and SHA-256 (as ``sha256sum`` prints it).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from latent_vizae.inputs.checks import as_whole

from .folder import PARTIAL, atomic_file, checksum, safetensors_bytes
from .processes import joined_world

__all__ = ["MANIFEST_FILE", "Unit", "digest", "probes", "run_units"]


MANIFEST_FILE = "manifest.json"

FORMAT = 1

MOST_UNITS = 100_000

MAX_MANIFEST_BYTES = 2**28

TOLERANCE = 0.02
"""Rows made again differ by rounding: relative rms, twice what `testing.check_decoder` lets encoders differ."""


PASSING = (RuntimeError, ConnectionError, TimeoutError)
"""Causes of an encoder's ValueError that may have passed, such as out of memory: its unit is tried once more."""


@dataclass(frozen=True)
class Unit:
    """Rows ``start`` to ``stop`` (excluded) of the work; ``seed`` where it draws."""

    number: int
    start: int
    stop: int
    seed: int | None
    file: str


def run_units(
    out: str | Path,
    work: dict[str, Any],
    make: Callable[[Unit], Tensor],
    *,
    again: Callable[[Unit], Tensor] | None = None,
    tensor: str,
    count: int,
    unit_size: int,
    seed: int | None = None,
    processes: int | None = None,
    columns: dict[str, list[str]] | None = None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> Path:
    """Make the missing units of a work, one by one, and return its folder.

    Args:
        out: a new or empty folder, or one with units of this work. All machines must share it.
        work: identity of the work, JSON-native. A folder of another work is refused.
        make: the rows (stop - start, ...) of a unit, independent of other units.
        again: the first rows of a unit, computed again and compared with those of an earlier run (of the first and of
            the last whole unit); a difference above rounding means another work. None if ``work`` is sufficient.
        tensor: name of the tensor in the shards, and the beginning of their file names.
        count: number of rows.
        unit_size: rows a unit.
        seed: each unit gets its own, made of this and its number.
        processes: the expected number of processes; another number is an error. None: any number.
        columns: what the manifest says of each row, by name, such as the file that it comes from: (count,) each. Each
            unit has its own part.
        report: called by the first process with how many of its rows are done, and how many it does.

    Raises:
        ValueError: a folder that is none, cannot be written or holds something else; the wrong number of processes; a
            unit of the wrong number of rows, or not finite.
        ConnectionError: another process ended before its time.
    """
    folder = Path(out)
    with joined_world(processes) as world:
        units = _plan(tensor, count, unit_size, seed)
        work = json.loads(json.dumps({**work, "tensor": tensor, "count": count, "unit_size": unit_size, "seed": seed}))
        known = _known_checksums(folder, work, units)  # every process refuses for itself, before one of them writes
        if again is not None:
            _compare(folder, work, units, known, again)
        world.wait()
        if world.rank == 0:
            _prepare(folder, work, units)
        world.wait()
        if world.size > 1 and not (folder / MANIFEST_FILE).is_file():
            raise ValueError(f"{folder} is not the same folder in all processes. Choose one that all machines share.")
        _known_checksums(folder, work, units)  # and the same work
        done = 0
        mine = units[world.rank :: world.size]
        for unit in _made(folder, work, mine, make, known):
            done += unit.stop - unit.start
            if world.rank == 0:
                report(done, sum(unit.stop - unit.start for unit in mine))
        world.wait()
        if world.rank == 0:
            _finish(folder, work, units, columns or {})
        world.wait()
    return folder


def _made(
    folder: Path, work: dict[str, Any], units: list[Unit], make: Callable[[Unit], Tensor], known: dict[str, str]
) -> Iterator[Unit]:
    """Make the units that are not there, or not whole; yield each once it is there."""
    failed: list[Unit] = []
    for unit in itertools.chain(units, failed):  # a failed unit comes again after the others, once
        try:
            if not _is_whole(folder / unit.file, unit, work, known.get(unit.file)):
                _write(folder / unit.file, unit, work, make(unit))
        except (RuntimeError, OSError, ValueError) as error:
            if unit in failed or (isinstance(error, ValueError) and not isinstance(error.__cause__, PASSING)):
                raise
            failed.append(unit)
        else:
            yield unit


def digest(values: Iterable[Tensor]) -> str:
    """SHA-256 of tensors, read one by one."""
    total = hashlib.sha256()
    for value in values:
        total.update(checksum("", {"": value.detach().cpu().contiguous()}).encode())
    return total.hexdigest()


def probes(count: int) -> list[int]:
    """At most 16 numbers below count, evenly spread, with both ends: the items that identify a work."""
    return sorted({round(number * (count - 1) / 15) for number in range(16)})


def _plan(tensor: str, count: int, unit_size: int, seed: int | None) -> list[Unit]:
    size = as_whole(unit_size, "unit_size", 1)
    total = -(-as_whole(count, "count", 1) // size)
    if total > MOST_UNITS:
        raise ValueError(
            f"unit_size={size} makes {total} units of {count}, more than {MOST_UNITS}. Choose a larger one."
        )
    # Consecutive from a place that the seed decides, so that no two are the same in the 32 bits that generators read.
    drawn = None if seed is None else hashlib.sha256(str(as_whole(seed, "seed")).encode()).digest()
    first = None if drawn is None else int.from_bytes(drawn[:4], "big")
    units = []
    for number in range(total):
        own = None if first is None else (first + number) % 2**32
        file = f"{tensor}-{number:05}-of-{total:05}.safetensors"
        units.append(Unit(number, number * size, min(count, (number + 1) * size), own, file))
    return units


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or not isinstance(document.get("work"), dict):
            raise ValueError("it names no work")
        if document.get("format") != FORMAT or not isinstance(document.get("units"), list):
            raise ValueError(f"its format is {document.get('format')!r}, this version reads {FORMAT}")
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(
            f"{path} is damaged, or not the manifest of units ({error}). Delete it and run again: whole shards "
            "are kept."
        ) from error
    return document


def _known_checksums(folder: Path, work: dict[str, Any], units: list[Unit]) -> dict[str, str]:
    """SHA-256 of each file in the manifest of a folder; raises ValueError for a folder of another work."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"Shards go into a folder; {folder} is a file. Choose another name.")
    manifest = folder / MANIFEST_FILE
    if not manifest.exists():
        ours = {unit.file for unit in units}
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        other = [name for name in names if name not in ours and not PARTIAL.fullmatch(name)]
        if other:
            raise ValueError(f"{folder} holds something else ({other[0]}). Choose a new folder, or empty this one.")
        return {}
    document = _read_manifest(manifest)
    there = document["work"]
    odd = sorted(key for key in there.keys() | work.keys() if there.get(key) != work.get(key))
    if odd:
        said = "; ".join(f"{key} is {there.get(key)!r} there, {work.get(key)!r} here" for key in odd[:4])
        raise ValueError(f"{folder} holds another work: {said}. Choose a new folder, or empty this one.")
    records = [record for record in document["units"] if isinstance(record, dict)]
    return {str(record.get("file")): str(record["sha256"]) for record in records if record.get("sha256")}


def _compare(
    folder: Path, work: dict[str, Any], units: list[Unit], known: dict[str, str], again: Callable[[Unit], Tensor]
) -> None:
    """Raise ValueError for a folder whose rows differ from those of this work."""
    for order in (units, units[::-1]):
        unit = next((unit for unit in order if _is_whole(folder / unit.file, unit, work, known.get(unit.file))), None)
        if unit is None:
            return
        there = load((folder / unit.file).read_bytes())[work["tensor"]]
        here = again(unit).detach().to("cpu", torch.float32)
        apart = here - there[: len(here)] if here.shape[1:] == there.shape[1:] else torch.tensor(torch.inf)
        if not apart.square().mean() <= TOLERANCE**2 * there.square().mean():
            raise ValueError(
                f"{folder} holds another work: {unit.file} has other {work['tensor']} than this run makes, perhaps of "
                "another decoder. Choose a new folder, or empty this one."
            )


def _prepare(folder: Path, work: dict[str, Any], units: list[Unit]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error
    for path in folder.iterdir():
        if PARTIAL.fullmatch(path.name) and re.match(rf"\.({work['tensor']}|manifest)-", path.name):
            path.unlink(missing_ok=True)  # of a killed run
    if not (folder / MANIFEST_FILE).exists():
        _write_manifest(folder, work, [asdict(unit) for unit in units], complete=False)


def _write_manifest(folder: Path, work: dict[str, Any], records: list[dict[str, Any]], **more: Any) -> None:
    text = json.dumps({"format": FORMAT, **more, "work": work, "units": records}, indent=1) + "\n"
    path = folder / MANIFEST_FILE
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_file(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _is_whole(path: Path, unit: Unit, work: dict[str, Any], sha256: str | None) -> bool:
    """Whether a shard exists and is undamaged, by the checksum in the manifest or else in its own header."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    if sha256 is not None:
        return hashlib.sha256(data).hexdigest() == sha256
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError, RecursionError):
        return False
    described = _described(unit, work)
    return bool(header == {"unit": described, "sha256": checksum(described, tensors)})


def _described(unit: Unit, work: dict[str, Any]) -> str:
    return json.dumps({**asdict(unit), "work": work}, sort_keys=True)


def _write(path: Path, unit: Unit, work: dict[str, Any], rows: Tensor) -> None:
    rows = rows.detach().to("cpu", torch.float32).contiguous()
    if rows.dim() < 2 or len(rows) != unit.stop - unit.start:
        raise ValueError(f"Unit {unit.number} has {unit.stop - unit.start} rows, got the shape {tuple(rows.shape)}.")
    if not torch.isfinite(rows).all():
        raise ValueError(f"Unit {unit.number} (rows {unit.start} to {unit.stop}) holds NaN or infinity.")
    tensors, described = {work["tensor"]: rows}, _described(unit, work)
    data = safetensors_bytes(tensors, {"unit": described, "sha256": checksum(described, tensors)})
    with atomic_file(path) as partial:
        partial.write_bytes(data)


def _finish(folder: Path, work: dict[str, Any], units: list[Unit], columns: dict[str, list[str]]) -> None:
    """Check every shard once more and write the final manifest."""
    records, shapes = [], set()
    for unit in units:
        try:
            data = (folder / unit.file).read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])[work["tensor"]]
            count, *shape = header["shape"]
        except (OSError, ValueError, KeyError):
            count, shape = -1, []
        if count < 0 or not _is_whole(folder / unit.file, unit, work, None):
            raise ValueError(f"{folder / unit.file} has gone or was damaged meanwhile: run again.")
        shapes.add(tuple(shape))
        said = {name: values[unit.start : unit.stop] for name, values in columns.items()}
        records.append({**asdict(unit), "count": count, "sha256": hashlib.sha256(data).hexdigest(), **said})
    if len(shapes) > 1:
        raise ValueError(f"The units have rows of different shapes: {', '.join(map(str, sorted(shapes)))}.")
    _write_manifest(folder, work, records, complete=True, shape=[work["count"], *shapes.pop()])
