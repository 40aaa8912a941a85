"""Files and texts of the command line: where results go, and how arguments are read."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.spending import as_limit
from latent_vizae.inputs.files import labels_in
from latent_vizae.inputs.names import Labels, as_labels
from latent_vizae.inputs.sources import as_codes
from latent_vizae.model.vizae import VizAE
from latent_vizae.storage.folder import MODEL_FILE

__all__ = [
    "budget_of",
    "codes_to_map",
    "counts_of",
    "load_v",
    "number_of",
    "numbers_of",
    "options_of",
    "output_folder",
    "point_of",
    "prompts_to_map",
    "write_json",
]


REPORT_FILE = "report.json"

DEFAULT_COUNT = 2000


@contextmanager
def output_folder(out: Path, maker: str) -> Iterator[Path]:
    """Give a hidden folder to write into. A clean exit moves its files to ``out``; otherwise they are deleted.

    A new ``out`` appears in one step. In an existing one, files are replaced one by one, the report last. If that
    fails, files that were not moved stay in the hidden folder.

    Raises:
        ValueError: ``out`` is a file or a broken link, holds files of another command than ``maker``, or cannot be
            written.
    """
    if out.is_symlink() and not out.exists():
        raise ValueError(
            f"--out is a folder, {out} is a broken link. Make {out.readlink()}, or choose another folder."
        )
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out is a folder, {out} is a file. Choose another name.")
    inside = [path for path in out.iterdir() if not path.name.startswith(".latent-vizae-")] if out.exists() else []
    if inside and _maker(out / REPORT_FILE) != maker:
        raise ValueError(
            f"{out} already holds something else ({inside[0].name}). Choose a new folder, or empty this one."
        )
    is_new = not out.exists()
    parents = [parent for parent in out.absolute().parents if not parent.exists()]
    partial = (out.parent if is_new else out) / f".latent-vizae-{secrets.token_hex(6)}"
    kept = False
    try:
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise ValueError(f"Cannot write {out}: {error.strerror}. Choose a folder that can be written.") from error
        yield partial
        try:
            _move(partial, out, maker, is_new)
        except OSError as error:
            kept = True
            raise ValueError(
                f"Cannot write {out}: {error.strerror or error}. The results are kept in {partial}: move them."
            ) from error
    finally:
        if not kept:
            shutil.rmtree(partial, ignore_errors=True)
        for parent in parents:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


def _move(partial: Path, out: Path, maker: str, is_new: bool) -> None:
    """Move results from the hidden folder to ``out``."""
    if is_new:
        try:
            partial.rename(out)
            return
        except OSError:
            if _maker(out / REPORT_FILE) != maker:
                raise
    files = [path for path in partial.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.name == REPORT_FILE):
        target = out / path.relative_to(partial)
        target.parent.mkdir(exist_ok=True)
        path.replace(target)


def _maker(report: Path) -> str | None:
    """Which command made a report, or None."""
    try:
        document = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    made_by = document.get("made_by") if isinstance(document, dict) else None
    return made_by if isinstance(made_by, str) else None


MOST_PROMPT_BYTES = 2**20


def prompts_to_map(f_d: Any, name: str, path: Path) -> tuple[Tensor, list[str]]:
    """Codes of the prompts in a text file, one a line, and the prompts themselves as labels.

    Raises:
        ValueError: a decoder that takes no words, or a file that is not text, or has fewer than two prompts.
    """
    if not callable(getattr(f_d, "encode_text", None)):
        raise ValueError(
            f"The decoder {name!r} takes no words. --prompts is for pipelines that do: "
            "--decoder diffusers-pipeline:user/repo --option code=prompt_embeds."
        )
    try:
        if path.stat().st_size > MOST_PROMPT_BYTES:
            raise ValueError(f"--prompts is a file of at most {MOST_PROMPT_BYTES:,} bytes, {path} has more.")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"--prompts is a text file in UTF-8, one prompt a line; {path} is none: {error}.") from None
    prompts = [line.strip() for line in lines if line.strip()]
    if len(prompts) < 2:
        raise ValueError(f"--prompts has one prompt a line, at least 2; {path} has {len(prompts)}.")
    return f_d.encode_text(prompts), prompts


def budget_of(text: str) -> int | str | None:
    """A budget of `fit` from "340", "5min" or "none"."""
    value: int | str | None = int(text) if text.isdecimal() else None if text.lower() == "none" else text
    as_limit(value)
    return value


def options_of(given: list[str] | None) -> dict[str, Any]:
    """Keywords for `load_decoder` from "NAME=VALUE": JSON where it is, else text."""
    options = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--option is NAME=VALUE, such as steps=1; got {text!r}.")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def codes_to_map(
    f_d: Any, name: str, path: Path | None, label: str | None, count: int | None, seed: int
) -> tuple[Tensor, Labels | Tensor | None]:
    """The codes to map and their labels, from a file, a folder, or from the decoder."""
    if count is not None and count < 1:
        raise ValueError(f"--count is at least 1, got {count}.")
    if path is None:
        if hasattr(f_d, "examples"):
            with _in_words("examples"):
                codes, given = f_d.examples(label=number_of(label), count=count or DEFAULT_COUNT, seed=seed)
                return codes, given
        if hasattr(f_d, "sample") and label is None:
            with _in_words("sample"):
                return f_d.sample(count or DEFAULT_COUNT, seed), None
        raise ValueError(
            f"The decoder {name!r} has no codes of its own{'' if label is None else ' with labels'}: give --codes."
        )
    codes, labels = read_codes(path)
    rows = torch.arange(len(codes))
    if label is not None:
        if labels is None:
            raise ValueError(f"--label needs labels, and {path} has none. Save them in a .safetensors beside `codes`.")
        kinds = {labels.names.get(kind, str(kind)): kind for kind in labels.numbers.unique().tolist()}
        if label not in kinds:
            raise ValueError(f"No code in {path} has the label {label}; there are {', '.join(list(kinds)[:20])}.")
        rows = rows[labels.numbers == kinds[label]]
    if count is not None:
        if count > len(rows):
            raise ValueError(f"--count is at most the number of codes, {len(rows)}, got {count}.")
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count]]
    return codes[rows], None if labels is None else labels[rows]


@contextmanager
def _in_words(method: str) -> Iterator[None]:
    """A decoder may refuse a label, a count or a seed by a ValueError, which is the user's."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error} (the decoder's {method})") from error


def number_of(label: str | None) -> int | None:
    """A label of the decoder's examples, which are numbers."""
    try:
        return None if label is None else int(label)
    except ValueError:
        raise ValueError(f"The decoder's labels are whole numbers, got --label {label!r}.") from None


def load_v(name: str) -> VizAE:
    """V from its own folder, from a folder that `map` wrote, or from the Hub."""
    folder = Path(name)
    inner = folder / "v"
    return VizAE.from_pretrained(inner if not (folder / MODEL_FILE).exists() and inner.is_dir() else name)


def read_codes(path: Path) -> tuple[Tensor, Labels | None]:
    """Codes, and labels where there are some, from a .safetensors, .npy (never pickles) or .npz file or a folder."""
    codes, labels = as_codes(path), labels_in(path)
    return codes, None if labels is None else as_labels(labels, len(codes))


def point_of(text: str, dim: int) -> Tensor:
    """A point (dim,) from "0.5,-0.2"."""
    numbers = numbers_of(text, "an end of a path")
    if len(numbers) != dim:
        raise ValueError(f"A point of this map has {dim} coordinates, got {text!r}.")
    return torch.tensor(numbers)


def numbers_of(text: str, what: str) -> list[float]:
    """Numbers from "0.5,-0.2"."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{what} is numbers with commas between them, such as 0.5,-0.2; got {text!r}.") from None


def counts_of(text: str) -> tuple[int, ...]:
    """Rows and columns from "10x10"."""
    try:
        return tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--shape is whole numbers with x between them, such as 10x10; got {text!r}.") from None


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document with line breaks."""
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
