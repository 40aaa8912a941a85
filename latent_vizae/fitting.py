"""fit(): from codes to v. The heart of the package.

1. The frame (framing.py): the subspace of the codes, scaled so that distances mean image change.
2. Codes that vary in no more directions than the map has need no network: an affine v is exact.
3. Up to 49 codes are placed first (layout.py), and both halves of v are solved to take them there and back.
4. More codes get places that keep their neighbours (neighbours.py), and both halves of v learn to take them there and
   back (training.py): blurred, stopping on held-out codes; then, if asked, through the decoder.
5. Their map is turned to its principal axes and scaled into [-1, 1]^d, and v_e learns to undo v_d all over it.
6. v is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from .codes import ArrayLike, as_codes, as_device, as_labels, as_whole
from .decoder import as_source_options, decode_images, require_decoder
from .framing import Frame, code_frame, completed_frame, rows_at_a_time
from .layout import initialise, linear_layer, solve_few
from .metrics import image_error
from .model import VizAE, check_dim
from .report import FitReport
from .training import Batches, Run, close_the_cycle, train

__all__ = ["fit"]

FEW, TRAINED_ON = 50, 50_000
"""Fewer codes are solved, not trained; of more than that, so many drawn at random are trained on."""
HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 1000
MEASURED = 300


@torch.inference_mode(False)  # training works under a caller's no_grad or inference_mode too
def fit(
    codes: ArrayLike,
    decoder: Callable[[Tensor], Tensor] | None = None,
    dim: int = 2,
    *,
    labels: ArrayLike | None = None,
    hidden: tuple[int, ...] | None = None,
    steps: int = 700,
    image_steps: int = 0,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool | Callable[[int, int, str], object] = False,
) -> VizAE:
    """Train a visualization autoencoder v on codes; the map of a generator's latent space.

    Args:
        codes: (k, *latent_shape), k >= 1, any real type: a tensor, an array, a memory map, or an iterable of batches.
        decoder: f_d, any callable codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1]. With it, v learns to
            keep images rather than code values; without it, fit works on any vectors.
        dim: dimension of the map, 1, 2 or 3, at most the number of values in a code.
        labels: (k,) whole numbers that travel with v, for colouring; they have no influence on it.
        hidden: units of v_e's hidden layers (v_d has them in reverse). By default (256, 256) below 50 codes, then
            (128, 128, 128). Codes that vary in at most ``dim`` directions get an affine v, without hidden layers.
        steps: most steps of Adam in the frame, each on 384 codes (k >= 50). Twice as many lower the held-out image
            error by two to four percent.
        image_steps: more steps, on the image error itself, through the decoder, each on 64 codes (k >= 50): two
            decodes and a backward pass each. 300 of them lower the held-out image error by 2 to 5 percent.
        seed: the same seed on the same machine gives the same v.
        device: where to fit and where v lives; by default where the codes are.
        progress: True for a bar on stderr, or a function ``(step, steps, title)`` that is called after every step;
            one that raises KeyboardInterrupt stops the fit like Ctrl-C.

    Returns:
        v in evaluation mode. ``v.points`` are the codes on the map, in [-1, 1]^dim, ``v.report`` what was measured.
        Interrupted by Ctrl-C, fit returns the best v so far, and says so in the report.

    Raises:
        TypeError: codes that are not real numbers, labels that are not whole, a decoder that is not callable.
        ValueError: no codes, NaN or infinity, a wrong shape, dim, number of labels, device or decoder.

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
    batch = as_codes(codes)
    kept_labels = None if labels is None else as_labels(labels, len(batch))
    batch = batch.to(as_device(device)) if device is not None else batch
    latent_shape, z = tuple(batch.shape[1:]), batch.flatten(1)
    if z.shape[1] < dim:
        raise ValueError(f"A map of dim={dim} needs codes of at least {dim} values, these have {z.shape[1]}.")
    steps = as_whole(steps, "steps", 1)
    image_steps = as_whole(image_steps, "image_steps")
    if not isinstance(hidden, tuple | list | None):
        raise TypeError(f"hidden is a tuple of numbers of units, got {hidden!r}.")
    hidden = None if hidden is None else tuple(as_whole(units, "a size in hidden", 1) for units in hidden)
    generator = torch.Generator().manual_seed(as_whole(seed, "seed"))
    if decoder is not None:
        require_decoder(decoder, latent_shape)
        decode_images(decoder, batch[:1])
    named = getattr(decoder, "source", None)
    source = named if isinstance(named, str) else None
    options = {} if source is None else as_source_options(getattr(decoder, "options", {}))

    run = Run(progress=progress)
    frame = completed_frame(z, latent_shape, dim, decoder, generator)
    trained = torch.arange(len(z))
    held_out = trained[:0]
    if frame is not None:
        v = _new_vizae(latent_shape, dim, (), frame, z.device, kept_labels, len(z))
        for network in (v.encoder, v.decoder):
            layer = linear_layer(network, 0)
            layer.weight.copy_(torch.eye(dim))
            layer.bias.zero_()
    else:
        frame = code_frame(z, latent_shape, decoder, generator)
        sizes = hidden if hidden is not None else _default_hidden(len(z))
        v = _new_vizae(latent_shape, dim, sizes, frame, z.device, kept_labels, len(z))
        if len(z) < FEW and sizes:
            solve_few(v.encoder, v.decoder, frame(z), dim, generator)
        else:
            order = torch.randperm(len(z), generator=generator)
            count = min(MOST_HELD_OUT, max(1, round(HELD_OUT_SHARE * len(z))))
            held_out, trained = order[:count], order[count:]
            for network, steepness, size in ((v.encoder, 2.0, 0.3), (v.decoder, 4.0, 0.1)):
                initialise(network, generator, steepness if sizes else None, bias=0.5)
                linear_layer(network, -1).weight.mul_(size)  # start near the mean code
            try:
                batches = Batches(frame(z, trained[:TRAINED_ON]), frame, dim, generator)
                train(v, batches, frame(z, held_out), decoder, steps, image_steps, run)
                _fill_the_map(v, v.encoder(batches.x))
                if not run.interrupted:
                    close_the_cycle(v, batches, steps, run)
            except KeyboardInterrupt:
                run.interrupted = True
            _fill_the_map(v, v.encode(batch))  # the codes not trained on, too
    v.requires_grad_(False).eval()
    v.points.copy_(v.encode(batch))
    v.source, v.source_options = source, options
    v.report = _measure(v, z, trained, held_out, decoder, frame, run, time.perf_counter() - started)
    return v


def _default_hidden(k: int) -> tuple[int, ...]:
    return (256, 256) if k < FEW else (128, 128, 128)


def _new_vizae(
    latent_shape: tuple[int, ...],
    dim: int,
    hidden: tuple[int, ...],
    frame: Frame,
    device: torch.device,
    labels: Tensor | None,
    count: int,
) -> VizAE:
    """A VizAE with its frame, weights still empty (torch's own start would draw from the global generator)."""
    with torch.device("meta"):
        v = VizAE(latent_shape, dim, hidden, frame.basis.shape[1], count, labels is not None)
    v.to_empty(device=device)
    for name in ("mean", "basis", "frame", "unframe"):
        getattr(v, name).copy_(getattr(frame, name))
    if labels is not None:
        v.labels = labels.to(device)
    return v.requires_grad_(False)


@torch.no_grad()
def _fill_the_map(v: VizAE, points: Tensor) -> None:
    """Turn the map to the principal axes of points and scale it so that they fill [-1, 1]^d, inside v's layers."""
    points = points.double()
    centred = points - points.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred)[1].flip(1)
    axes = axes * torch.where((centred @ axes).pow(3).sum(0) < 0, -1.0, 1.0)
    low, high = (points @ axes).amin(0), (points @ axes).amax(0)
    middle, half = (low + high) / 2, ((high - low) / 2 * (1 + 1e-6)).clamp(min=1e-9)
    last, first = linear_layer(v.encoder, -1), linear_layer(v.decoder, 0)
    last.weight.copy_((axes.T @ last.weight.double()) / half.unsqueeze(1))
    last.bias.copy_((axes.T @ last.bias.double() - middle) / half)
    weight = first.weight.double() @ axes
    first.bias.copy_(first.bias.double() + weight @ middle)
    first.weight.copy_(weight * half)


def _measure(
    v: VizAE,
    z: Tensor,
    trained: Tensor,
    held_out: Tensor,
    decoder: Callable[[Tensor], Tensor] | None,
    frame: Frame,
    run: Run,
    seconds: float,
) -> FitReport:
    """The report: errors on all training and held-out codes; image errors on at most 300 of each."""

    def errors(rows: Tensor) -> tuple[float | None, float | None]:
        if len(rows) == 0:
            return None, None
        error = variance = size = 0.0
        for part in rows.to(z.device).split(rows_at_a_time(z.shape[1])):
            codes = z[part]
            error += (v(codes.unflatten(1, v.latent_shape)).flatten(1) - codes).double().square().sum().item()
            variance += (codes - v.mean).double().square().sum().item()
            size += codes.square().sum(dtype=torch.float64).item()
        rounding = 1e-12 * size  # codes without variance come back, or do not
        unexplained = error / variance if variance > rounding else 0.0 if error <= rounding else float("inf")
        if decoder is None:
            return unexplained, None
        codes = z[rows[:MEASURED].to(z.device)].unflatten(1, v.latent_shape)
        try:
            return unexplained, image_error(decode_images(decoder, codes), decode_images(decoder, v(codes)))
        except KeyboardInterrupt:
            run.interrupted = True
            return unexplained, None

    trained_fvu, trained_error = errors(trained)
    held_fvu, held_error = errors(held_out)
    return FitReport(
        k=len(z),
        n=z.shape[1],
        dim=v.dim,
        rank=v.basis.shape[1],
        lost_variance=frame.lost_variance,
        held_out=len(held_out),
        fvu=trained_fvu if trained_fvu is not None else 0.0,
        fvu_held_out=held_fvu,
        fvu_pca=frame.pca_fvu(v.dim),
        image_error=trained_error,
        image_error_held_out=held_error,
        steps=run.steps,
        seconds=round(seconds, 3),
        interrupted=run.interrupted,
    )
