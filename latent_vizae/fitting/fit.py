"""fit(): from codes to v. The heart of the package.

1. The frame (framing.py): the subspace of the codes, scaled so that distances mean image change.
2. Codes that vary in no more directions than the map has need no network: an affine v is exact. Of codes that nearly
   do so it may be the better one, on held-out codes.
3. Up to 49 codes are placed first (layout.py), and both halves of v are solved to take them there and back.
4. Of more, up to 50,000 drawn at random get places that keep their neighbours (neighbours.py), where v_e begins. Both
   halves of v learn to bring codes back (training.py): blurred, v_e keeping the neighbours of each batch, stopping on
   held-out codes. Their map is turned to its principal axes, v_d settles on the codes' nearest points (surface.py),
   steps through the decoder follow if asked for, and v_e learns to undo v_d all over the map.
5. The map is scaled so that the codes lie in [-1, 1]^d, each is placed at its nearest point (projecting.py), and v is
   measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from latent_vizae.decoders.contract import decode_images, require_decoder
from latent_vizae.decoders.load import as_source_options
from latent_vizae.decoders.repeats import notice_noise
from latent_vizae.inputs.arrays import ArrayLike, as_labels
from latent_vizae.inputs.checks import as_device, as_whole
from latent_vizae.inputs.sources import AT_A_TIME, Rows, as_rows, drawn
from latent_vizae.model.vizae import VizAE, check_dim, check_pull
from latent_vizae.network.initial import initialise
from latent_vizae.network.perceptron import linear_layer
from latent_vizae.training.checkpoint import Checkpoint, fingerprint

from .affine import lay_flat, turn
from .batches import Batches
from .few import FEW, place_few, solve_few
from .frame import Frame, code_frame
from .many import STAGES, Run, close_the_cycle, missed, train
from .measure import _measure
from .one_code import completed_frame
from .place import _placed
from .subspace import subspace

__all__ = ["fit"]


TRAINED_ON = 50_000
"""Of more codes, so many drawn at random are trained on."""

LARGE, STEPS, LARGE_STEPS = 10_000, 340, 400
"""Steps of training below 10,000 codes and from there on, where layers are wider too."""

PULL = 450.0, 1000.0, 200.0
"""By the dimension of the map, times how much the layout leads (`Batches.lead`)."""

STEEPNESS = 1.0, 1.0, 2.0
"""By the dimension of the map, of v_e's first units at the start: a 3-D map has more places to tell apart."""

HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 1000

FLAT = 0.01
"""Codes may be as far from a plane (a share of their variance) to get an affine v, if that is the better one."""

SMALLEST = 1e-3
"""The least singular value of a layer as a share of its greatest."""

MOST_POINTS = 1_000_000
"""Of more codes, so many drawn at random travel with v as its points."""


@torch.inference_mode(False)  # training works under a caller's no_grad or inference_mode too
def fit(
    codes: ArrayLike,
    decoder: Callable[[Tensor], Tensor] | None = None,
    dim: int = 2,
    *,
    labels: ArrayLike | None = None,
    hidden: tuple[int, ...] | None = None,
    steps: int | None = None,
    image_steps: int = 0,
    pull: float | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool | Callable[[int, int, str], object] = False,
    checkpoint: str | Path | None = None,
) -> VizAE:
    """Train a visualization autoencoder v on codes; the map of a generator's latent space.

    Args:
        codes: (k, *latent_shape), k >= 1, any real type: a tensor, an array, a memory map, a list of single codes, an
            iterable of batches such as torch's DataLoader (read once; a long one waits in a temporary file), or
            .safetensors files, one, a list or a folder of them, each with a tensor ``codes``. What lies in files is
            read a part at a time. Above 50,000 codes, so many drawn at random are trained on; all are placed.
        decoder: f_d, any callable codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1]. With it, v learns to
            keep images rather than code values; without it, fit works on any vectors.
        dim: dimension of the map, 1, 2 or 3, at most the number of values in a code.
        labels: (k,) whole numbers that travel with v, for colouring; they have no influence on it.
        hidden: units of v_e's hidden layers (v_d has them in reverse). By default (128, 128) below 25 codes,
            (256, 256) below 50, then (72, 72, 72), and (96, 96, 96) from 10,000 codes on. Of a few thousand codes
            (128, 128, 128) lower the held-out image error by 3 to 6 percent, in twice the time. Codes that vary in
            at most ``dim`` directions, or in so many but for less than a hundredth of their variance where that is
            the better v, get an affine one, without hidden layers.
        steps: most steps of training in the frame (k >= 50), each on 384 codes, or on 256 where fewer than 900 are
            trained on; by default 340 below 10,000 codes, then 400. Of thousands of codes 800 lower the held-out image
            error by at most 2 percent, in less than twice the time.
        image_steps: more steps, on the image error itself, through the decoder, each on 64 codes (k >= 50): two
            decodes and a backward pass each. 300 of them lower the held-out image error by at most 1 percent.
        pull: how much codes are held at what v_e's network guesses, at least 0 (`VizAE.pull`). With 0 unseen codes
            come back closest; with more, fewer neighbours are torn apart. By default 0 below 50 codes, then
            ``1000 t^3 (1 - t)`` (450 instead of 1000 on a 1-D map, 200 on a 3-D one), with t = 2 T - 1 and T the
            trustworthiness (of 500 codes, at 7 neighbours) of the layout that leads v_e, and at most a fifth of the
            number of codes: most where a map can keep three quarters of the neighbours, as of one class, less where
            v_e keeps them anyway, and little where nothing can, as of a GAN's noise.
        seed: the same seed on the same machine gives the same v.
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
        TypeError: codes that are not real numbers, labels that are not whole, a decoder that is not callable.
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
    started = time.perf_counter()
    dim = check_dim(dim)
    rows = as_rows(codes, device=None if device is None else as_device(device))
    k, latent_shape = len(rows), rows.latent_shape
    kept_labels = None if labels is None else as_labels(labels, k)
    if rows.n < dim:
        raise ValueError(f"A map of dim={dim} needs codes of at least {dim} values, these have {rows.n}.")
    steps = _default_steps(k) if steps is None else as_whole(steps, "steps", 1)
    image_steps = as_whole(image_steps, "image_steps")
    pull = None if pull is None else check_pull(pull)
    if not isinstance(hidden, tuple | list | None):
        raise TypeError(f"hidden is a tuple of numbers of units, got {hidden!r}.")
    hidden = None if hidden is None else tuple(as_whole(units, "a size in hidden", 1) for units in hidden)
    generator = torch.Generator().manual_seed(as_whole(seed, "seed"))
    saved = None if checkpoint is None else Checkpoint(checkpoint)
    pixels = 0
    if decoder is not None:
        require_decoder(decoder, latent_shape)
        pixels = decode_images(decoder, rows[:1])[0].numel()
        notice_noise(decoder, rows[: min(2, k)])
    named = getattr(decoder, "source", None)
    source = named if isinstance(named, str) else None
    options = {} if source is None else as_source_options(getattr(decoder, "options", {}))

    run = Run(progress=progress, checkpoint=saved)
    inside = subspace(rows, generator)
    trained = torch.arange(min(k, TRAINED_ON))
    held_out = trained[:0]
    if inside.basis.shape[1] <= dim:
        frame = completed_frame(rows, inside, dim, decoder, pixels, generator)
        v = _new_vizae(latent_shape, dim, (), frame, pull)
        for network in (v.encoder, v.decoder):
            layer = linear_layer(network, 0)
            layer.weight.copy_(torch.eye(dim))
            layer.bias.zero_()
    else:
        frame = code_frame(rows, inside, decoder, pixels, generator)
        sizes = hidden if hidden is not None else _default_hidden(k)
        v = _new_vizae(latent_shape, dim, sizes, frame, pull)
        if k < FEW and sizes:
            x = frame(rows[:k].flatten(1))
            solve_few(v.encoder, v.decoder, x, place_few(frame.for_neighbours(x), dim), generator)
            turn(v, x)
        else:
            count = min(MOST_HELD_OUT, max(1, round(HELD_OUT_SHARE * k)))
            held_out, trained = drawn(k, min(k, count + TRAINED_ON), generator).tensor_split([count])
            for network, steepness, size in ((v.encoder, STEEPNESS[dim - 1], 0.3), (v.decoder, 4.0, 0.1)):
                initialise(network, generator, steepness if sizes else None, bias=0.5)
                linear_layer(network, -1).weight.mul_(size)  # start near the mean code
            x = _framed(frame, rows, trained)
            goes_on_late = False
            if saved is not None:
                settings = [dim, list(sizes), steps, image_steps, pull, seed, source, options]
                saved.open(fingerprint(settings, [x, frame.frame]))
                goes_on_late = saved.facts is not None and saved.facts["title"] == STAGES[-1]
            try:
                batches = Batches(x, frame, dim, generator)
                if pull is None and k >= FEW:
                    v.pull = min(k / 5, PULL[dim - 1] * batches.lead)
                x_held = _framed(frame, rows, held_out)
                train(v, batches, x_held, decoder, steps, image_steps, run)
                _fill_ranks(v)
                if hidden is None and not goes_on_late:
                    flat = _new_vizae(latent_shape, dim, (), frame, v.pull)
                    lay_flat(flat, x)
                    v = flat if missed(flat, x_held) < min(FLAT, missed(v, x_held)) else v
                turn(v, x)
                if not run.interrupted and v.hidden == sizes:
                    close_the_cycle(v, batches, steps, run)
                    _fill_ranks(v)
            except KeyboardInterrupt:
                run.interrupted = True
    v.requires_grad_(False).eval()
    shown = trained.new_empty(0)
    if k > MOST_POINTS:
        shown = drawn(k, MOST_POINTS, generator).sort().values
    v.points = _placed(v, rows, shown, run)
    if kept_labels is not None:
        v.labels = (kept_labels if len(shown) == 0 else kept_labels[shown])[: len(v.points)].to(v.device)
    v.source, v.source_options = source, options
    seconds = time.perf_counter() - started
    try:
        v.report = _measure(v, rows, trained, held_out, decoder, pixels, frame, run, seconds)
    except KeyboardInterrupt:  # images take their time, codes alone next to none
        run.interrupted = True
        v.report = _measure(v, rows, trained, held_out, None, pixels, frame, run, seconds)
    if saved is not None and not run.interrupted:
        saved.remove()
    elif run.interrupted:
        run.write()
    return v


def _default_hidden(k: int) -> tuple[int, ...]:
    if k < FEW:
        return (128, 128) if k < FEW / 2 else (256, 256)
    return (72, 72, 72) if k < LARGE else (96, 96, 96)


def _default_steps(k: int) -> int:
    return STEPS if k < LARGE else LARGE_STEPS


def _new_vizae(
    latent_shape: tuple[int, ...], dim: int, hidden: tuple[int, ...], frame: Frame, pull: float | None
) -> VizAE:
    """A VizAE with its frame, weights still empty (torch's own start would draw from the global generator)."""
    with torch.device("meta"):
        v = VizAE(latent_shape, dim, hidden, frame.basis.shape[1], pull=pull or 0.0)
    for layer in (*v.encoder, *v.decoder):  # to_empty would do, but imports for half a second
        for name, weight in list(layer.named_parameters()):
            empty = torch.empty(weight.shape, dtype=weight.dtype, device=frame.mean.device)
            setattr(layer, name, torch.nn.Parameter(empty))
    for name in ("mean", "basis", "frame", "unframe"):  # in the order of memory that a file has
        setattr(v, name, getattr(frame, name).float().contiguous())
    return v.requires_grad_(False)


def _framed(frame: Frame, rows: Rows, chosen: Tensor) -> Tensor:
    """The chosen codes (K,) in the frame, (K, rank), a part at a time and in the order in which they lie."""
    places = chosen.argsort()
    x = torch.empty(len(chosen), frame.basis.shape[1], dtype=torch.float32, device=frame.mean.device)
    for part in places.split(max(1, AT_A_TIME // rows.n)):
        x[part.to(x.device)] = frame(rows.take(chosen[part]))
    return x


@torch.no_grad()
def _fill_ranks(v: VizAE) -> None:
    """Raise singular values that training left near zero, in about one layer of a hundred: no rank by luck alone."""
    for layer in (*v.encoder, *v.decoder):
        if isinstance(layer, nn.Linear):
            left, values, right = torch.linalg.svd(layer.weight.double(), full_matrices=False)
            floor = SMALLEST * values[0]
            if values[-1] < floor:
                layer.weight.copy_(left * values.clamp(min=floor) @ right)
