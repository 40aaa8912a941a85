"""The sheet: v, fitted to codes and not yet placed, by how many codes there are."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.decoders.repeats import notice_noise
from latent_vizae.inputs.sources import VALUES_PER_PART, CodeReader, drawn
from latent_vizae.model.vizae import VizAE
from latent_vizae.training.checkpoint import fingerprint

from .affine import set_identity, set_plane, to_principal_axes
from .budget import Decoding, cost_of_measuring
from .few import FEW, place_few, solve_few
from .frame import LARGE_IMAGE, Frame, code_frame
from .many import begin, returned, train
from .measure import FEWEST_IMAGES, images_wanted
from .one_code import completed_frame
from .settings import Request
from .subspace import subspace
from .survey import Survey

__all__ = ["Sheet", "fit_sheet", "framed"]

TRAINED_ON = 50_000
"""Of more codes, so many drawn at random are trained on: twice as many change no measure."""
LARGE, STEPS, LARGE_STEPS = 10_000, 340, 400
"""Steps of training below 10,000 codes and from there on, where layers are wider too."""
HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 1000
"""Of the codes that are trained on: enough to choose the best weights by."""
NEARLY_FLAT = 1.25
"""So many times the plane's error does the trained v leave of held-out codes that lie close to a plane, both without a
pull: that neighbours are to stay together does not make codes flat. Of others it mostly leaves less; where it seems to
leave a little more, 5 to 30 codes judge, and images are a tenth better."""


class Sheet(NamedTuple):
    """A fitted v, not yet placed: with its frame, the codes that it was trained on, and those held out."""

    v: VizAE
    frame: Frame
    trained: Tensor
    held_out: Tensor
    steps: int
    interrupted: bool
    has_residuals: bool
    pixels: int


def fit_sheet(
    reader: CodeReader,
    surveyed: Survey,
    request: Request,
    asked: Decoding,
    source: tuple[str | None, dict[str, Any]],
    generator: torch.Generator,
) -> Sheet:
    """The frame and v, by the number of codes."""
    k, dim, detail, settings = len(reader), request.dim, request.detail, request.settings
    decoder, pixels = asked.decoder, 0
    if decoder is not None:
        pixels = decode_images(decoder, reader[:1])[0].numel()
        if asked.may_check:
            with asked.uncounted():
                notice_noise(decoder, reader[: min(2, k)])
    inside = subspace(reader, surveyed, generator)
    rank = inside.basis.shape[1]
    has_residuals = k >= FEW and rank > dim
    if detail and not has_residuals:
        raise ValueError(
            f"{k} codes that vary in {rank} directions have a map of {dim} dimensions that goes "
            f"through all of them, so there is no detail to add, got detail={detail}. Leave it at 'auto'."
        )
    hidden = _default_hidden(k) if settings.hidden is None else settings.hidden
    apart = min(MOST_HELD_OUT, round(HELD_OUT_SHARE * k)) if hidden and has_residuals else 0
    wanted = images_wanted(pixels) if pixels else 0
    to_measure = cost_of_measuring(wanted, (min(k - apart, TRAINED_ON), apart), has_residuals)
    if k < FEW and pixels > LARGE_IMAGE and rank > dim:  # the frame has made images of all
        to_measure = min(k, FEWEST_IMAGES)
    asked.announce(k, reader.n, pixels, rank, dim, to_measure)
    allowed = asked.for_metric(to_measure)
    trained = torch.arange(min(k, TRAINED_ON))
    if rank <= dim:
        frame = completed_frame(reader, inside, dim, decoder, pixels, generator, allowed)
        v = _new_vizae(reader.latent_shape, dim, (), frame)
        set_identity(v)
        return Sheet(v, frame, trained, trained[:0], 0, False, has_residuals, pixels)
    frame = code_frame(reader, inside, decoder, pixels, generator, settings, allowed)
    v = _new_vizae(reader.latent_shape, dim, hidden, frame)
    if hidden and k >= FEW:
        held_out, trained = drawn(k, min(k, apart + TRAINED_ON), generator).tensor_split([apart])
        v, steps, interrupted = _trained(v, frame, reader, trained, held_out, request, source, generator)
        return Sheet(v, frame, trained, held_out, steps, interrupted, has_residuals, pixels)
    if hidden:
        x = framed(v, reader, trained)
        solve_few(v.encoder, v.decoder, x, place_few(frame.for_neighbours(x), dim), generator)
        to_principal_axes(v, x)
    else:
        set_plane(v, frame)
    return Sheet(v, frame, trained, trained[:0], 0, False, has_residuals, pixels)


def _trained(
    v: VizAE,
    frame: Frame,
    reader: CodeReader,
    trained: Tensor,
    held_out: Tensor,
    request: Request,
    source: tuple[str | None, dict[str, Any]],
    generator: torch.Generator,
) -> tuple[VizAE, int, bool]:
    """V of many codes, the steps that it was trained, and whether Ctrl-C ended them; a plane of codes nearly flat."""
    keep, settings, saved = request.keep_neighbours, request.settings, request.checkpoint
    v.keep_neighbours = keep
    begin(v, generator, settings)
    x, x_held = framed(v, reader, trained), framed(v, reader, held_out)
    steps = settings.steps or (STEPS if len(reader) < LARGE else LARGE_STEPS)
    if saved is not None:
        saved.open(fingerprint([v.dim, list(v.hidden), steps, keep, request.seed, *source], [x, v.frame]))
    try:
        loop = train(
            v, frame, x, x_held, keep_neighbours=keep, steps=steps, settings=settings, generator=generator,
            progress=request.progress, checkpoint=saved,
        )  # fmt: skip
    except KeyboardInterrupt:  # before the first step
        return v, 0, True
    try:
        if settings.hidden is None:
            plane = _new_vizae(v.latent_shape, v.dim, (), frame)
            plane.keep_neighbours = keep
            set_plane(plane, frame)
            v = plane if NEARLY_FLAT * returned(plane, x_held, 0.0) < returned(v, x_held, 0.0) else v
    except KeyboardInterrupt:
        return v, loop.step, True
    return v, loop.step, loop.interrupted


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


def framed(v: VizAE, reader: CodeReader, chosen: Tensor) -> Tensor:
    """The chosen codes (K,) in the frame, (K, rank), a part at a time and in the order in which they lie."""
    order = chosen.argsort()
    x = torch.empty(len(chosen), v.basis.shape[1], dtype=torch.float32, device=v.device)
    for part in order.split(max(1, VALUES_PER_PART // reader.n)):
        x[part.to(x.device)] = v.coordinates.into(reader.take(chosen[part]).to(x.device))
    return x
