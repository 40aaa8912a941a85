"""fit(): from codes to v. The heart of the package.

1. The frame (framing.py): the subspace of the codes, scaled so that distances mean image change.
2. Codes that vary in no more directions than the map has need no network: an affine v is exact.
3. Up to 49 codes are placed first (layout.py), and both halves of v are solved to take them there and back.
4. More codes are learned: in the frame, blurred, stopping on held-out codes; then through the decoder.
5. Their map is turned to its principal axes and scaled into [-1, 1]^d, and v_e learns to undo v_d all over it.
6. v is measured.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine
from tqdm import tqdm

from .codes import ArrayLike, as_codes, as_device, as_labels, as_whole
from .decoder import as_source_options, decode_images, differentiable_images, require_decoder
from .framing import Frame, code_frame, completed_frame
from .layout import initialise, linear_layer, solve_few
from .losses import cycle_loss, image_loss, mixed_with_neighbours, reconstruction_loss
from .metrics import fvu, image_error, pca_fvu
from .model import VizAE, check_dim
from .report import FitReport

__all__ = ["fit"]

FEW, MANY = 50, 1000
HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 1000
MEASURED = 500
BATCH, IMAGE_BATCH = 512, 64
CYCLE_STEPS = 400
CHECK_EVERY, PATIENCE = 50, 8


@torch.inference_mode(False)  # training works under a caller's no_grad or inference_mode too
def fit(
    codes: ArrayLike,
    decoder: Callable[[Tensor], Tensor] | None = None,
    dim: int = 2,
    *,
    labels: ArrayLike | None = None,
    hidden: tuple[int, ...] | None = None,
    steps: int = 1000,
    image_steps: int | None = None,
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
        hidden: units of v_e's hidden layers (v_d has them in reverse). By default (256, 256) below 50 codes,
            (128, 128) below 2000, then (256, 256, 256). Codes that vary in at most ``dim`` directions get an affine
            v, without hidden layers.
        steps: most steps of Adam in the frame, each on up to 512 codes (k >= 50).
        image_steps: steps on the image error itself, through the decoder, each on 64 codes (k >= 50). By default
            100 where images have at most 16,384 values, else none: they cost two decodes and a backward pass each.
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
    image_steps = None if image_steps is None else as_whole(image_steps, "image_steps")
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

    run = _Run(progress=progress)
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
        x = frame(z)
        if len(z) < FEW and sizes:
            solve_few(v.encoder, v.decoder, x, dim, generator)
        else:
            order = torch.randperm(len(z), generator=generator)
            count = min(MOST_HELD_OUT, max(1, round(HELD_OUT_SHARE * len(z))))
            held_out, trained = order[:count], order[count:]
            _train(
                v,
                frame,
                x[trained.to(x.device)],
                x[held_out.to(x.device)],
                decoder,
                steps,
                image_steps,
                generator,
                run,
            )
            _fill_the_map(v, z)
            if not run.interrupted:
                _close_the_cycle(v, x[trained.to(x.device)], min(CYCLE_STEPS, steps), generator, run)
                _fill_the_map(v, z)  # v_e has moved a little
    v.requires_grad_(False).eval()
    v.points.copy_(v.encode(batch))
    v.source, v.source_options = source, options
    v.report = _measure(v, z, trained, held_out, decoder, frame.lost_variance, run, time.perf_counter() - started)
    return v


@dataclass
class _Run:
    """What happened while fitting, beside the weights."""

    progress: bool | Callable[[int, int, str], object]
    steps: int = 0
    interrupted: bool = False
    best: float = math.inf
    state: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, v: VizAE, score: float) -> bool:
        """Remember the weights if they are the best so far."""
        if not score < self.best:
            return False
        self.best = score
        self.state = {name: weight.detach().clone() for name, weight in v.named_parameters()}
        return True

    @torch.no_grad()
    def restore(self, v: VizAE) -> None:
        """Go back to the best weights."""
        if self.state:
            for name, weight in v.named_parameters():
                weight.copy_(self.state[name])


def _default_hidden(k: int) -> tuple[int, ...]:
    if k < FEW:
        return (256, 256)
    return (128, 128) if k < 2000 else (256, 256, 256)


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


def _train(
    v: VizAE,
    frame: Frame,
    x: Tensor,
    x_held: Tensor,
    decoder: Callable[[Tensor], Tensor] | None,
    steps: int,
    image_steps: int | None,
    generator: torch.Generator,
    run: _Run,
) -> None:
    """Many codes: least squares in the frame, then on images; the best v on held-out codes stays."""
    initialise(v.encoder, generator)
    initialise(v.decoder, generator)
    v.requires_grad_(True)

    def codes_of(rows: Tensor) -> Tensor:
        codes: Tensor = (v.mean + rows @ v.unframe @ v.basis.T).unflatten(1, v.latent_shape)
        return codes

    def frame_loss() -> Tensor:
        rows = _blurred_batch(x, BATCH, generator)
        return reconstruction_loss(rows, v.decoder(v.encoder(rows)))

    def frame_score() -> float:
        return reconstruction_loss(x_held, v.decoder(v.encoder(x_held))).item()

    try:
        _minimise(v, list(v.parameters()), frame_loss, frame_score, steps, 3e-3, "fit", run)
        if decoder is not None and (image_steps is None or image_steps > 0):
            judged = x_held[:MEASURED]
            images = decode_images(decoder, codes_of(judged))
            if image_steps is None:
                image_steps = 100 if images[0].numel() <= 2**14 else 0

            def through_decoder() -> Tensor:
                rows = _blurred_batch(x, 2 * IMAGE_BATCH, generator)[:IMAGE_BATCH]
                with torch.no_grad():
                    wanted = differentiable_images(decoder, codes_of(rows))
                return image_loss(wanted, differentiable_images(decoder, codes_of(v.decoder(v.encoder(rows)))))

            def image_score() -> float:
                return image_error(images, decode_images(decoder, codes_of(v.decoder(v.encoder(judged)))))

            if image_steps and through_decoder().requires_grad:
                run.best = math.inf
                run.keep(v, image_score())  # what has to be beaten
                _minimise(v, list(v.parameters()), through_decoder, image_score, image_steps, 5e-4, "fit images", run)
    except KeyboardInterrupt:
        run.interrupted = True
    run.restore(v)
    v.requires_grad_(False)


def _blurred_batch(x: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A random batch of codes, blurred, so that what lies around them is learned too.

    Many codes are moved towards one of their neighbours and a little beyond; few codes have no near neighbours and
    get more noise instead. (Held-out image error of 60, 200 and 2000 codes of all digits, without either: 0.0718,
    0.0621, -; neighbours alone: 0.0690, 0.0646, 0.0467; as here: 0.0658, 0.0600, 0.0460.)
    """
    rows = x[torch.randint(len(x), (size,), generator=generator).to(x.device)]
    many = len(x) >= MANY
    rows = mixed_with_neighbours(rows, generator) if many else rows
    return rows + (0.2 if many else 0.3) * torch.randn(rows.shape, generator=generator).to(x)


def _close_the_cycle(v: VizAE, x: Tensor, steps: int, generator: torch.Generator, run: _Run) -> None:
    """Train v_e alone to undo v_d all over the map, and to leave the codes where they are on it.

    Before, points come back to within 0.13 (2-D) and 0.2 (3-D; root mean squares), and much worse where there are no
    codes; after, to within 0.03 and 0.08. The held-out image error grows by a hundredth.
    """
    before = copy.deepcopy(v.encoder)
    fixed_points = (SobolEngine(v.dim, scramble=True, seed=0).draw(BATCH) * 2 - 1).to(x)
    fixed_rows = x[:BATCH]

    def loss(points: Tensor, rows: Tensor) -> Tensor:
        with torch.no_grad():
            inputs = torch.cat([v.decoder(points), rows])
            wanted = torch.cat([points, before(rows)])
        return cycle_loss(wanted, v.encoder(inputs))

    def random_loss() -> Tensor:
        points = torch.rand(BATCH // 2, v.dim, generator=generator) * 2.1 - 1.05
        return loss(points.to(x), _blurred_batch(x, BATCH // 2, generator))

    def score() -> float:
        return loss(fixed_points, fixed_rows).item()

    v.encoder.requires_grad_(True)
    with torch.no_grad():
        run.best = math.inf
        run.keep(v, score())
    try:
        _minimise(v, list(v.encoder.parameters()), random_loss, score, steps, 2e-3, "fit v_e", run)
    except KeyboardInterrupt:
        run.interrupted = True
    v.requires_grad_(False)


def _minimise(
    v: VizAE,
    weights: list[nn.Parameter],
    loss_of: Callable[[], Tensor],
    score_of: Callable[[], float],
    steps: int,
    rate: float,
    title: str,
    run: _Run,
) -> None:
    """Adam under a one-cycle rate; every 50 steps the score decides whether these are the best weights."""
    optimiser = torch.optim.Adam(weights, rate)
    stale = 0
    bar = tqdm(range(1, steps + 1), desc=title, disable=run.progress is not True, leave=False)
    try:
        for step in bar:
            warm = min(1.0, step / max(1.0, 0.05 * steps))
            optimiser.param_groups[0]["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
            loss = loss_of()
            optimiser.zero_grad()
            loss.backward(inputs=weights)  # and not into the decoder's
            optimiser.step()
            run.steps += 1
            if callable(run.progress):
                run.progress(step, steps, title)
            if step % CHECK_EVERY == 0 or step == steps:
                with torch.no_grad():
                    score = score_of()
                bar.set_postfix(held_out=f"{score:.4g}")
                stale = 0 if run.keep(v, score) else stale + 1
                if stale == PATIENCE:
                    break
    finally:
        bar.close()
        run.restore(v)


@torch.no_grad()
def _fill_the_map(v: VizAE, z: Tensor) -> None:
    """Turn the map to its principal axes and scale it into [-1, 1]^d, inside the first and last layers of v."""
    points = v.encode(z.unflatten(1, v.latent_shape)).double()
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
    lost_variance: float,
    run: _Run,
    seconds: float,
) -> FitReport:
    """The report: errors on all training and held-out codes; image errors on at most 500 of each."""
    mean = z[trained.to(z.device)].double().mean(0)

    def errors(rows: Tensor) -> tuple[float | None, float | None]:
        if len(rows) == 0:
            return None, None
        codes = z[rows.to(z.device)].unflatten(1, v.latent_shape)
        decoded = v(codes)
        unexplained = fvu(codes.flatten(1), decoded.flatten(1), mean)
        if decoder is None:
            return unexplained, None
        few = slice(MEASURED)
        try:
            return unexplained, image_error(decode_images(decoder, codes[few]), decode_images(decoder, decoded[few]))
        except KeyboardInterrupt:
            run.interrupted = True
            return unexplained, None

    trained_fvu, trained_error = errors(trained)
    held_fvu, held_error = errors(held_out)
    sample = z[trained[: 4 * MEASURED].to(z.device)]
    return FitReport(
        k=len(z),
        n=z.shape[1],
        dim=v.dim,
        rank=v.basis.shape[1],
        lost_variance=lost_variance,
        held_out=len(held_out),
        fvu=trained_fvu if trained_fvu is not None else 0.0,
        fvu_held_out=held_fvu,
        fvu_pca=pca_fvu(sample, v.dim),
        image_error=trained_error,
        image_error_held_out=held_error,
        steps=run.steps,
        seconds=round(seconds, 3),
        interrupted=run.interrupted,
    )
