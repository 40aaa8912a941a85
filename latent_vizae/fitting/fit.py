"""fit(): from codes to v. The heart of the package.

1. The frame (frame.py): the subspace of the codes (subspace.py), scaled so that distances mean image change.
2. v, by the number of codes. Of codes that vary in no more directions than the map has an affine v is exact
   (one_code.py). Up to 49: both halves of v are solved (few.py). More: they are trained (many.py).
3. The map is scaled so that all codes lie in [-1, 1]^d, each is placed at its nearest point (place.py), and v is
   measured (measure.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.contract import require_decoder
from latent_vizae.decoders.load import as_source_options
from latent_vizae.decoders.spending import BUDGET, Budget, as_limit, spending
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_device, as_share, as_whole
from latent_vizae.inputs.names import as_labels
from latent_vizae.inputs.sources import CodeReader, drawn, open_codes
from latent_vizae.inputs.surroundings import own_surroundings, warn_caller
from latent_vizae.model.vizae import VizAE, check_dim
from latent_vizae.network.threads import one_thread
from latent_vizae.training.checkpoint import Checkpoint

from .budget import Decoding
from .detail import Realism, set_detail
from .frame import VERY_LARGE_IMAGE
from .measure import Originals, images_wanted, measure, originals
from .place import place_all
from .settings import Request, Settings
from .sheet import Sheet, fit_sheet, framed
from .survey import Survey, survey

__all__ = ["fit", "fit_codes"]

SHOWN = 400
"""Codes that places of the map are compared with."""
MOST_POINTS = 1_000_000
"""Of more codes, so many drawn at random travel with v as its points: 8 MB of a 2-D map."""


def fit(
    codes: ArrayLike,
    decoder: Callable[[Tensor], Tensor] | None = None,
    dim: int = 2,
    *,
    labels: ArrayLike | None = None,
    keep_neighbours: float = 0.5,
    outliers: str = "keep",
    detail: float | str = "auto",
    hidden: tuple[int, ...] | None = None,
    steps: int | None = None,
    pull: None = None,
    seed: int = 0,
    budget: Budget = BUDGET,
    device: str | torch.device | None = None,
    progress: bool | Callable[[int, int, str], object] = False,
    checkpoint: str | Path | None = None,
) -> VizAE:
    """Train a visualization autoencoder v on codes; the map of a generator's latent space.

    Args:
        codes: (k, *latent_shape), k >= 1, any real type: a tensor, an array, a memory map, a list of single codes, an
            iterable of batches such as torch's DataLoader (read once; a long one waits in a temporary file), or
            .safetensors, .npy or .npz files, one, a list or a folder of them, each with a tensor ``codes`` or only
            one; a table of numbers or a column of arrays (pandas, polars, pyarrow, 🤗 datasets); a sparse matrix of
            scipy. What lies in files is read a part at a time. Above 50,000 codes, so many drawn at random are trained
            on; all are placed. Columns of different units are to be standardised first (scikit-learn's
            StandardScaler). Decoded unit vectors are shorter than 1: where only the direction counts (cosine
            similarity), normalise them.
        decoder: f_d, any callable codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1]. With it, v learns to
            keep images rather than code values; without it, fit works on any vectors.
        dim: dimension of the map, 1, 2 or 3, at most the number of values in a code.
        labels: (k,) whole numbers, words, categories or truth values that travel with v, for colouring; they have no
            influence on it. Or the path of a file or a folder of codes with labels. ``v.label_names`` has the words;
            None and NaN become a label of their own.
        keep_neighbours: from 0 to 1. With 0, codes that v has not seen come back closest; with 1, codes that are
            neighbours stay together on the map. One half is in between (the guide's page on fit has the table). Fewer
            than 50 codes come back exactly, and are not affected.
        outliers: what becomes of codes that are more than ten times as far from the middle as nine tenths of the codes
            (``v.report`` counts them). "keep": they are codes like others, and a single one that is far enough
            leaves no room on the map to all others. "ignore": v is fitted without them; their points are where the
            map comes nearest to them.
        detail: how much of what the sheet leaves out of the codes `VizAE.decode` adds, from 0 to 1, as a smooth random
            field over the map (`VizAE.detail`; it can be set later too). "auto" is 1 where images of the map are more
            typical of the decoder with detail, as of a prior of many numbers, and 0 where the sheet is typical as it
            is, or without a decoder. Fewer than 50 codes, and codes that a map shows whole, have none.
        hidden: units of v_e's hidden layers (v_d has them in reverse). By default (128, 128) below 25 codes,
            (256, 256) below 50, then (72, 72, 72), and (96, 96, 96) from 10,000 codes on. () is the affine map of
            least squares: without a decoder, the principal components. Codes that vary in at most ``dim``
            directions have an affine map in any case.
        steps: of training (k >= 50), each on 384 codes; by default 340 below 10,000 codes, then 400.
        pull: what was before ``keep_neighbours``; any value is an error that says so.
        seed: the same seed on the same machine gives the same v.
        budget: most images to ask the decoder for (a backward pass counts for two), or most time for them, "60s" or
            "5min"; None for as many as are wanted, 0 for none. What is scarce goes to the frame's metric first (two
            thirds, and four codes at least), then to the choice of detail, then to image errors. The same seed gives
            the same v where the budget is not reached. ``v.report`` says what was spent, and what more would buy.
        device: where to fit and where v lives; by default where the codes are.
        progress: True for a bar on stderr, or a function ``(step, steps, title)`` that is called after every step;
            one that raises KeyboardInterrupt stops the fit like Ctrl-C.
        checkpoint: a .safetensors file that keeps the state of the training, written every ten seconds and on
            Ctrl-C. Called again with the same arguments, fit goes on from there, to the v that it would have made
            without the break; at the end the file goes.

    Returns:
        v in evaluation mode. ``v.points`` are the codes on the map, in [-1, 1]^dim (of more than a million, a million
        drawn at random, in their order; ``v.labels`` likewise), ``v.report`` what was measured. Interrupted by
        Ctrl-C, fit returns the best v so far, and says so in the report.

    Raises:
        TypeError: codes that are not real numbers, labels that are neither whole numbers nor words, a decoder that is
            not callable.
        ValueError: no codes, NaN or infinity, more digits than float32 has where these matter, a wrong shape, dim,
            number of labels, device or decoder; a checkpoint of another fit, or one that cannot be read or written.
        FileNotFoundError: codes in a file that is not there.

    Example:
        >>> from latent_vizae import load_decoder
        >>> f_d = load_decoder("mnist")
        >>> codes, _ = f_d.examples(label=5, count=20)
        >>> v = fit(codes, decoder=f_d, dim=2)
        >>> v.points.shape, v.report.fvu < 1e-4
        (torch.Size([20, 2]), True)
    """
    if pull is not None:
        raise ValueError(
            f"fit has keep_neighbours, 0 to 1, instead of pull (got pull={pull!r}): 0 is what pull=0 was. "
            "v.pull of a fitted v can still be set."
        )
    if outliers not in ("keep", "ignore"):
        raise ValueError(f"outliers is 'keep' or 'ignore', got {outliers!r}.")
    request = Request(
        dim=check_dim(dim),
        keep_neighbours=as_share(keep_neighbours, "keep_neighbours"),
        ignore_outliers=outliers == "ignore",
        detail=_check_detail(detail),
        seed=as_whole(seed, "seed"),
        device=None if device is None else as_device(device),
        progress=progress,
        checkpoint=None if checkpoint is None else Checkpoint(checkpoint),
        settings=Settings(hidden=_check_hidden(hidden), steps=None if steps is None else as_whole(steps, "steps", 1)),
    )
    return fit_codes(codes, decoder, request, labels, budget)


@torch.inference_mode(False)  # training works under a caller's no_grad or inference_mode too
@own_surroundings()
@one_thread()
def fit_codes(
    codes: ArrayLike,
    decoder: Callable[[Tensor], Tensor] | None,
    request: Request,
    labels: ArrayLike | None = None,
    budget: Budget = BUDGET,
) -> VizAE:
    """`fit`, with settings that an ablation may change."""
    with spending() as spent:
        asked = Decoding(decoder, as_limit(budget), spent, request.progress)
        try:
            return _fit(codes, decoder, request, labels, asked)
        finally:
            asked.close()


def _fit(
    codes: ArrayLike,
    decoder: Callable[[Tensor], Tensor] | None,
    request: Request,
    labels: ArrayLike | None,
    asked: Decoding,
) -> VizAE:
    """`fit_codes`, within a budget. ``asked`` is what may be asked of the decoder."""
    started = time.perf_counter()
    every = open_codes(codes, device=request.device)
    all_labels = None if labels is None else as_labels(labels, len(every))
    if every.n < request.dim:
        raise ValueError(
            f"A map of dim={request.dim} needs codes of at least {request.dim} values, these have {every.n}."
        )
    generator = torch.Generator().manual_seed(request.seed)
    surveyed, rest, reader = _survey(every, request.ignore_outliers)
    if decoder is not None:
        require_decoder(decoder, every.latent_shape)
    source = _source_of(decoder)
    sheet = fit_sheet(reader, rest if request.ignore_outliers else surveyed, request, asked, source, generator)

    v, k = sheet.v, len(every)
    v.requires_grad_(False).eval()
    chosen = drawn(k, MOST_POINTS, generator).sort().values if k > MOST_POINTS else torch.arange(0)
    v.points, cut_short = place_all(v, every, reader, chosen, request.progress)
    if all_labels is not None:
        v.labels = (all_labels[chosen] if len(chosen) else all_labels).numbers[: len(v.points)].to(v.device)
        v.label_names = all_labels.names
    v.source, v.source_options = source
    report = partial(
        measure, v, reader, sheet.trained, sheet.held_out, frame=sheet.frame, steps=sheet.steps, surveyed=surveyed,
        rest=rest, ignored=request.ignore_outliers, asked=asked, started=started,
    )  # fmt: skip
    realism, interrupted = None, sheet.interrupted or cut_short
    try:
        shown, realism = _with_detail(sheet, reader, request, asked)
        v.report = report(shown=shown, realism=realism, interrupted=interrupted)
    except KeyboardInterrupt:  # images take their time, codes alone next to none
        interrupted = True
        v.report = report(shown=(None, None), realism=realism, interrupted=interrupted)
    if request.checkpoint is not None and not interrupted:
        request.checkpoint.remove()
    return v


def _survey(every: CodeReader, ignore: bool) -> tuple[Survey, Survey, CodeReader]:
    """What all codes are like, what they are like without outliers, and the codes to fit."""
    surveyed = survey(every)
    if not len(surveyed.outliers):
        return surveyed, surveyed, every
    kept = every.without(surveyed.outliers)
    rest = survey(kept)
    if ignore:
        return surveyed, rest, kept
    if rest.variance.sum() * rest.count < surveyed.variance.sum() * surveyed.count / 2:
        many = "1 outlier" if len(surveyed.outliers) == 1 else f"{len(surveyed.outliers)} outliers"
        warn_caller(
            f"More than half of the variance of {len(every)} codes is that of {many}, up to {surveyed.farthest:.3g} "
            "times as far from the middle as nine tenths of the codes; the map is of these, not of the rest. "
            "fit(..., outliers='ignore') fits it to the rest."
        )
    return surveyed, rest, every


def _with_detail(
    sheet: Sheet, reader: CodeReader, request: Request, asked: Decoding
) -> tuple[tuple[Originals | None, Originals | None], Realism | None]:
    """Give v its detail; images of some codes trained on and held out, and what detail does."""
    v, frame, trained, held_out = sheet.v, sheet.frame, sheet.trained, sheet.held_out
    sizes, wanted = (len(trained), len(held_out)), images_wanted(sheet.pixels) if sheet.pixels else 0
    count, with_images = asked.to_measure(wanted, sizes, sheet.has_residuals)
    large, first = sheet.pixels > VERY_LARGE_IMAGE, trained
    if large and frame.sampled is not None and len(known := trained[torch.isin(trained, frame.sampled)]) >= 4:
        first = known  # their images are there
    of_trained = originals(reader, first, asked.decoder, count, frame)
    of_held_out = originals(reader, held_out, asked.decoder, count, frame)
    if not sheet.has_residuals:
        return (of_trained, of_held_out), None
    some, images = trained[:SHOWN], [one.images for one in (of_trained, of_held_out) if one is not None]
    realism = set_detail(
        v, frame, len(reader), framed(v, reader, some), framed(v, reader, held_out),
        reader.take(some).unflatten(1, v.latent_shape), torch.cat(images) if images and with_images else None,
        asked.decoder, request.detail, v.encode(of_held_out.codes) if large and of_trained and of_held_out else None,
    )  # fmt: skip
    return (of_trained, of_held_out), realism


def _check_hidden(hidden: Any) -> tuple[int, ...] | None:
    if not isinstance(hidden, tuple | list | None):
        raise TypeError(f"hidden is a tuple of numbers of units, got {hidden!r}.")
    return None if hidden is None else tuple(as_whole(units, "a size in hidden", 1) for units in hidden)


def _check_detail(detail: Any) -> float | None:
    """The amount that was asked for, None for "auto"."""
    if isinstance(detail, str):
        if detail != "auto":
            raise ValueError(f"detail is 'auto' or a number from 0 to 1, got {detail!r}.")
        return None
    return as_share(detail, "detail")


def _source_of(decoder: Any) -> tuple[str | None, dict[str, Any]]:
    """What v remembers of its decoder: the name that `load_decoder` takes, and options."""
    source = getattr(decoder, "source", None)
    if not isinstance(source, str):
        return None, {}
    return source, as_source_options(getattr(decoder, "options", {}))
