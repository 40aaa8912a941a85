"""The codes that a visitor wants a map of: examples, draws of a prior, a file, or pictures of his own; bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latent_vizae import encode_images
from latent_vizae.cli.files import read_codes
from latent_vizae.demos.page.hub import check_amount
from latent_vizae.demos.page.pictures import open_picture
from latent_vizae.inputs.names import Labels

__all__ = ["Gathered", "gather_codes"]

MOST_CODES = 20_000


class Gathered(NamedTuple):
    """Codes (k, *latent_shape), their labels (k,) or None, and in words what they are."""

    codes: Tensor
    labels: Labels | Tensor | None
    title: str


def gather_codes(
    f_d: Any,
    source: str,
    *,
    name: str = "the decoder",
    labels: list[int] | None = None,
    count: int = 500,
    seed: int = 0,
    files: str | Path | list[str] | None = None,
) -> Gathered:
    """Codes, and labels where there are any.

    Args:
        f_d: the decoder.
        source: "examples" of the decoder, "prior", "codes" in a file, or "pictures".
        name: of the decoder, for the title.
        labels: of the examples; None or [] for all.
        count: at most 20,000; of a larger file so many are drawn.
        seed: of what is drawn.
        files: one file of codes, or pictures.

    Raises:
        ValueError: the decoder has none of these, the files are no such thing, or it is too much.
    """
    if not 1 <= count <= MOST_CODES:
        raise ValueError(f"Between 1 and {MOST_CODES:,} codes can be mapped here, got {count}.")
    if source == "examples":
        return _examples(f_d, name, labels, count, seed)
    if source == "prior":
        if not hasattr(f_d, "sample"):
            raise ValueError("This decoder has no prior to draw from: upload pictures or codes.")
        check_amount(count, f_d.latent_shape)
        return Gathered(f_d.sample(count, seed), None, f"{count:,} draws of the prior of {name}")
    if source not in ("codes", "pictures"):
        raise ValueError(f"Codes are examples, prior, codes or pictures, got {source!r}.")
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files or [])]
    if not paths:
        raise ValueError("Upload a file first.")
    if source == "codes":
        return _of_file(paths[0], count, seed)
    check_amount(min(count, len(paths)), f_d.latent_shape)
    codes = encode_images(f_d, (open_picture(path) for path in paths[:count]))
    return Gathered(codes, None, f"{_share(len(codes), len(paths))} pictures, encoded by {name}")


def _examples(f_d: Any, name: str, labels: list[int] | None, count: int, seed: int) -> Gathered:
    if not hasattr(f_d, "examples"):
        raise ValueError("This decoder brings no examples: take samples of its prior, or upload pictures.")
    codes, known = f_d.examples(seed=seed)
    wanted = torch.isin(known, torch.tensor(labels)) if labels else torch.ones(len(codes), dtype=torch.bool)
    codes, known = codes[wanted], known[wanted]
    if len(codes) == 0:
        raise ValueError("There are no examples with these labels.")
    title = f"{_share(min(count, len(codes)), len(codes))} codes of {name}"
    if labels:
        title += f", label{'s' * (len(labels) > 1)} {', '.join(map(str, labels))}"
    return Gathered(codes[:count], known[:count], title)


def _of_file(file: Path, count: int, seed: int) -> Gathered:
    codes, known = read_codes(file)
    total = len(codes)
    check_amount(min(count, total), codes.shape[1:])
    if count < total:  # drawn: the first ones of a sorted file are of one kind
        rows = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count].sort().values
        codes, known = codes[rows], None if known is None else known[rows]
    return Gathered(codes, known, f"{_share(len(codes), total)} codes of {file.name}")


def _share(count: int, total: int) -> str:
    return f"{total:,}" if count == total else f"{count:,} of {total:,}"
