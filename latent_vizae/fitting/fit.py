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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images, require_decoder
from latent_vizae.decoders.load import as_source_options
from latent_vizae.decoders.repeats import notice_noise
from latent_vizae.decoders.spending import Budget, as_limit, spending
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_device, as_share, as_whole
from latent_vizae.inputs.names import as_labels
from latent_vizae.inputs.sources import VALUES_PER_PART, CodeReader, drawn, open_codes
from latent_vizae.inputs.surroundings import own_surroundings, warn_caller
from latent_vizae.model.vizae import VizAE, check_dim
from latent_vizae.network.threads import one_thread
from latent_vizae.training.checkpoint import Checkpoint, fingerprint

from .affine import set_identity, set_plane, to_principal_axes
from .budget import Decoding, cost_of_measuring
from .detail import set_detail
from .few import FEW, place_few, solve_few
from .frame import LARGE_IMAGE, VERY_LARGE_IMAGE, Frame, code_frame
from .many import begin, returned, train
from .measure import FEWEST_IMAGES, images_wanted, measure, originals
from .one_code import completed_frame
from .place import place_all
from .settings import Settings
from .subspace import subspace
from .survey import survey

__all__ = ["fit", "fit_codes"]

TRAINED_ON = 50_000
"""Of more codes, so many drawn at random are trained on: twice as many change no measure."""
LARGE, STEPS, LARGE_STEPS = 10_000, 340, 400
"""Steps of training below 10,000 codes and from there on, where layers are wider too."""
HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 1000
"""Of the codes that are trained on: enough to choose the best weights by."""
SHOWN = 400
"""Codes that places of the map are compared with."""
BUDGET = "60s"
"""Of decoding, by default: as long as somebody waits for a map."""
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
    settings = Settings(hidden=_check_hidden(hidden), steps=None if steps is None else as_whole(steps, "steps", 1))
    if outliers not in ("keep", "ignore"):
        raise ValueError(f"outliers is 'keep' or 'ignore', got {outliers!r}.")
    return fit_codes(
        codes, decoder, dim, labels, as_share(keep_neighbours, "keep_neighbours"), outliers == "ignore",
        _check_detail(detail), seed, device, progress, checkpoint, settings, budget,
    )  # fmt: skip


@torch.inference_mode(False)  # training works under a caller's no_grad or inference_mode too
@own_surroundings()
@one_thread()
def fit_codes(
    codes: ArrayLike,
    decoder: Callable[[Tensor], Tensor] | None,
    dim: int,
    labels: ArrayLike | None,
    keep_neighbours: float,
    ignore: bool,
    detail: float | None,
    seed: int,
    device: str | torch.device | None,
    progress: bool | Callable[[int, int, str], object],
    checkpoint: str | Path | None,
    settings: Settings,
    budget: Budget = BUDGET,
) -> VizAE:
    """`fit`, with settings that an ablation may change."""
    limit = as_limit(budget)
    with spending() as spent:
        asked = Decoding(decoder, limit, spent, progress)
        try:
            return _fit(
                codes, decoder, asked, dim, labels, keep_neighbours, ignore, detail, seed, device, progress,
                checkpoint, settings,
            )  # fmt: skip
        finally:
            asked.close()


def _fit(
    codes: ArrayLike,
    given: Callable[[Tensor], Tensor] | None,
    asked: Decoding,
    dim: int,
    labels: ArrayLike | None,
    keep_neighbours: float,
    ignore: bool,
    detail: float | None,
    seed: int,
    device: str | torch.device | None,
    progress: bool | Callable[[int, int, str], object],
    checkpoint: str | Path | None,
    settings: Settings,
) -> VizAE:
    """`fit_codes`, within a budget. ``given`` is the decoder, ``asked`` what may be asked of it."""
    started = time.perf_counter()
    dim = check_dim(dim)
    reader = every = open_codes(codes, device=None if device is None else as_device(device))
    latent_shape = reader.latent_shape
    all_labels = None if labels is None else as_labels(labels, len(every))
    if reader.n < dim:
        raise ValueError(f"A map of dim={dim} needs codes of at least {dim} values, these have {reader.n}.")
    generator = torch.Generator().manual_seed(as_whole(seed, "seed"))
    saved = None if checkpoint is None else Checkpoint(checkpoint)
    surveyed = rest = survey(every)
    if len(surveyed.outliers):
        kept = every.without(surveyed.outliers)
        rest = survey(kept)
        if ignore:
            reader = kept
        elif rest.variance.sum() * rest.count < surveyed.variance.sum() * surveyed.count / 2:
            warn_caller(
                f"More than half of the variance of {len(every)} codes is that of {len(surveyed.outliers)} outliers, "
                f"up to {surveyed.farthest:.3g} times as far from the middle as nine tenths of the codes; the map is "
                "of them, not of the rest. fit(..., outliers='ignore') fits it to the rest."
            )
    k, pixels, decoder = len(reader), 0, asked.decoder
    if given is not None:
        require_decoder(given, latent_shape)
    if decoder is not None:
        pixels = decode_images(decoder, reader[:1])[0].numel()
        if asked.may_check:
            with asked.uncounted():
                notice_noise(decoder, reader[: min(2, k)])
    source, options = _source_of(given)

    inside = subspace(reader, rest if ignore else surveyed, generator)
    trained = torch.arange(min(k, TRAINED_ON))
    held_out, loop, interrupted = trained[:0], None, False
    hidden = _default_hidden(k) if settings.hidden is None else settings.hidden
    has_residuals = k >= FEW and inside.basis.shape[1] > dim
    if detail and not has_residuals:
        raise ValueError(
            f"{k} codes that vary in {inside.basis.shape[1]} directions have a map of {dim} dimensions that goes "
            f"through all of them, so there is no detail to add, got detail={detail}. Leave it at 'auto'."
        )
    rank, wanted = inside.basis.shape[1], images_wanted(pixels) if pixels else 0
    apart = min(MOST_HELD_OUT, round(HELD_OUT_SHARE * k)) if hidden and k >= FEW and rank > dim else 0
    sizes = (min(k - apart, TRAINED_ON), apart)
    to_measure = cost_of_measuring(wanted, sizes, has_residuals)
    if k < FEW and pixels > LARGE_IMAGE and rank > dim:  # the frame has made images of all
        to_measure = min(k, FEWEST_IMAGES)
    asked.announce(k, reader.n, pixels, rank, dim, to_measure)
    if inside.basis.shape[1] <= dim:
        frame = completed_frame(reader, inside, dim, decoder, pixels, generator, asked.for_metric(to_measure))
        v = _new_vizae(latent_shape, dim, (), frame)
        set_identity(v)
    else:
        most = asked.for_metric(to_measure)
        frame = code_frame(reader, inside, decoder, pixels, generator, settings, most)
        v = _new_vizae(latent_shape, dim, hidden, frame)
        if hidden and k >= FEW:
            v.keep_neighbours = keep_neighbours
            held_out, trained = drawn(k, min(k, apart + TRAINED_ON), generator).tensor_split([apart])
            begin(v, generator, settings)
            x, x_held = _framed(v, reader, trained), _framed(v, reader, held_out)
            steps = settings.steps or (STEPS if k < LARGE else LARGE_STEPS)
            if saved is not None:
                said = [dim, list(hidden), steps, keep_neighbours, seed, source, options]
                saved.open(fingerprint(said, [x, v.frame]))
            try:
                loop = train(
                    v, frame, x, x_held, keep_neighbours=keep_neighbours, steps=steps, settings=settings,
                    generator=generator, progress=progress, checkpoint=saved,
                )  # fmt: skip
                if settings.hidden is None:
                    plane = _new_vizae(latent_shape, dim, (), frame)
                    plane.keep_neighbours = keep_neighbours
                    set_plane(plane, frame)
                    v = plane if returned(plane, x_held) < returned(v, x_held) else v
            except KeyboardInterrupt:  # before the first step or after the last
                interrupted = True
        elif hidden:
            x = _framed(v, reader, trained)
            solve_few(v.encoder, v.decoder, x, place_few(frame.for_neighbours(x), dim), generator)
            to_principal_axes(v, x)
        else:
            set_plane(v, frame)
    v.requires_grad_(False).eval()
    interrupted = interrupted or (loop is not None and loop.interrupted)
    chosen = drawn(len(every), MOST_POINTS, generator).sort().values if len(every) > MOST_POINTS else trained[:0]
    v.points, cut_short = place_all(v, every, reader, chosen, progress)
    if all_labels is not None:
        v.labels = (all_labels[chosen] if len(chosen) else all_labels).numbers[: len(v.points)].to(v.device)
        v.label_names = all_labels.names
    v.source, v.source_options = source, options
    measured: dict[str, Any] = {
        "steps": 0 if loop is None else loop.step, "seconds": time.perf_counter() - started,
        "interrupted": interrupted or cut_short, "surveyed": surveyed, "rest": rest, "ignored": ignore,
        "asked": asked,
    }  # fmt: skip
    realism = None
    try:
        count, with_images = asked.to_measure(wanted, (len(trained), len(held_out)), has_residuals)
        large, first = pixels > VERY_LARGE_IMAGE, trained
        if large and frame.sampled is not None and len(known := trained[torch.isin(trained, frame.sampled)]) >= 4:
            first = known  # their images are there
        shown = originals(reader, first, decoder, count, frame), originals(reader, held_out, decoder, count, frame)
        if has_residuals:
            some, images = trained[:SHOWN], [one.images for one in shown if one is not None]
            codes_of = reader.take(some).unflatten(1, latent_shape)
            realism = set_detail(
                v, frame, k, _framed(v, reader, some), _framed(v, reader, held_out), codes_of,
                torch.cat(images) if images and with_images else None, decoder, detail,
                v.encode(shown[1].codes) if large and shown[0] and shown[1] else None,
            )  # fmt: skip
        measured["seconds"] = time.perf_counter() - started
        v.report = measure(v, reader, trained, held_out, decoder, shown, frame, realism, **measured)
    except KeyboardInterrupt:  # images take their time, codes alone next to none
        measured["interrupted"] = True
        v.report = measure(v, reader, trained, held_out, None, (None, None), frame, realism, **measured)
    if saved is not None and not measured["interrupted"]:
        saved.remove()
    return v


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


def _default_hidden(k: int) -> tuple[int, ...]:
    if k < FEW:
        return (128, 128) if k < FEW / 2 else (256, 256)
    return (72, 72, 72) if k < LARGE else (96, 96, 96)


def _new_vizae(latent_shape: tuple[int, ...], dim: int, hidden: tuple[int, ...], frame: Frame) -> VizAE:
    """A VizAE with its frame, weights still empty (torch's own start would draw from the global generator)."""
    with torch.device("meta"):
        v = VizAE(latent_shape, dim, hidden, frame.rank)
    for layer in (*v.encoder, *v.decoder):  # to_empty would do, but imports for half a second
        for name, weight in list(layer.named_parameters()):
            empty = torch.empty(weight.shape, dtype=weight.dtype, device=frame.variances.device)
            setattr(layer, name, torch.nn.Parameter(empty))
    for name, part in frame.coordinates._asdict().items():
        setattr(v, name, part)
    return v.requires_grad_(False)


def _framed(v: VizAE, reader: CodeReader, chosen: Tensor) -> Tensor:
    """The chosen codes (K,) in the frame, (K, rank), a part at a time and in the order in which they lie."""
    order = chosen.argsort()
    x = torch.empty(len(chosen), v.basis.shape[1], dtype=torch.float32, device=v.device)
    for part in order.split(max(1, VALUES_PER_PART // reader.n)):
        x[part.to(x.device)] = v.coordinates.into(reader.take(chosen[part]).to(x.device))
    return x
