"""Heat maps that are drawn under a map of two dimensions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.decoders.spending import seconds_per_image, spending
from latent_vizae.demos.page.fitted import FittedMap, shown_rows
from latent_vizae.maps.latent_map import LatentMap
from latent_vizae.sharing.described import as_base64

__all__ = ["layer", "layer_names"]

LAYERS = {
    "support": "How far to trust a place: bright among the codes, dark where there are none and the map extrapolates.",
    "stretch": "How fast the image changes there per step on the map (root mean square, on a logarithmic scale).",
    "error": "How much the image of a code there differs from what the map makes of it (mean square).",
}
OF_DETAIL = {
    "typical": "How long decoded codes are beside those of the decoder (Mahalanobis length): 1 is typical, 0 their "
    "mean. Of the decoder's codes 98 % have {low:.2f} to {high:.2f}.",
    "explained": "How much of what images differ by the map explains there. The rest is what images of one place "
    "differ by: More like this shows them.",
}
"""Of maps that know what they leave out."""
NAMES = {"error": "image error", "typical": "how typical", "explained": "share explained"}
"""In the menu, of those that are not called what they are."""
DRAWS, PLACES = 8, 256
LAYER_SECONDS = 30
"""About how long a layer may take; a slow decoder's is coarser."""
SLICE_SECONDS = 0.2
"""That a slice of a layer may take, or one image's if that takes longer."""
SIDES = {"support": 48, "stretch": 21, "error": 48, "typical": 48, "explained": 48}


def layer_names(fitted: FittedMap) -> dict[str, str]:
    """Layers of a map, and what the menu calls them."""
    v = fitted.latent_map.v
    known = [*LAYERS, *(OF_DETAIL if v.field is not None else ())] if v.dim == 2 else []
    return {name: NAMES.get(name, name) for name in known}


def _affordable(fitted: FittedMap, most: int) -> int:
    """How many images a layer may decode: all it wants, or fewer of a slow decoder."""
    decoder = fitted.latent_map.decoder
    seconds = seconds_per_image(decoder)
    if seconds is None:
        with spending() as spent:
            decode_images(decoder, fitted.codes_at(slice(1)))
        seconds = spent.seconds / spent.images
    return int(max(64, min(most, LAYER_SECONDS / max(seconds, 1e-9))))


def layer(fitted: FittedMap, name: str, seconds: float = math.inf) -> dict[str, Any]:
    """A heat map of a 2-D map, as far as it is after so many more seconds of work; whoever asks next goes on with it.

    Returns:
        Bytes of a square, the values that 0 and 255 stand for, and words; of one that is not whole also ``done``,
        ``of`` and ``seconds``: images made, all, and what one takes; and ``known``, of how many places, row by row,
        the values are known.
    """
    if name in fitted.layers:
        return fitted.layers[name]
    parts = fitted.begun.setdefault(name, _parts(fitted, name))
    begun = time.perf_counter()
    try:
        for part in parts:
            if "done" not in part:
                fitted.layers[name] = part
            if "done" not in part or time.perf_counter() - begun > seconds:
                break
    except BaseException:
        fitted.begun.pop(name, None)  # it begins anew
        raise
    if "done" not in part:
        del fitted.begun[name]
    return part


def _parts(fitted: FittedMap, name: str) -> Iterator[dict[str, Any]]:
    """A layer as it grows: as `layer` returns it, the last one whole."""
    m, side, text, each = fitted.latent_map, SIDES[name], (LAYERS | OF_DETAIL)[name], 0
    if name == "stretch":
        side, each = min(side, math.isqrt(_affordable(fitted, 4 * side * side) // 4)), 4
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    points = torch.stack([x, y], -1).reshape(-1, 2)
    if name == "support":
        found, spread = iter([m.support(points)]), None
    elif name == "typical":
        lengths = m.typicality(points)
        found, spread, text = iter([lengths.lengths]), None, text.format(low=lengths.low, high=lengths.high)
    elif name == "stretch":
        found, spread = _sliced(lambda rows: m.stretch(rows)[:, 1].clamp(min=1e-6).log10(), points), None
    elif name == "explained":
        rows, each = shown_rows(len(m.v.points)), DRAWS
        images = _affordable(fitted, PLACES * DRAWS)
        rows = rows[torch.linspace(0, len(rows) - 1, max(2, min(PLACES, len(rows), images // DRAWS))).long()]
        found, spread = _explained(m, m.v.points[rows]), (m.v.points[rows], 0.12)
    else:
        rows, each = shown_rows(len(m.v.points), _affordable(fitted, 2000) // 2), 2
        found, spread = _sliced(partial(_errors, fitted), rows), (m.v.points[rows], 0.06)
    count = len(points) if spread is None else len(spread[0])
    seconds = 0.0
    while True:
        begun = time.perf_counter()
        values = next(found)
        seconds += time.perf_counter() - begun
        done = len(values)
        known = done if spread is None else len(points)
        shown = _shown(
            name, values if spread is None else _nearby(points, spread[0][:done], values, spread[1]), len(points)
        )
        if done == count:
            yield {"side": side, **shown, "text": text}
            return
        yield {
            "side": side, **shown, "text": text, "known": known, "done": each * done, "of": each * count,
            "seconds": seconds / (each * done),
        }  # fmt: skip


def _shown(name: str, values: Tensor, count: int) -> dict[str, Any]:
    """Bytes of the first of ``count`` values, and what 0 and 255 stand for."""
    values = values.cpu()
    low, high = values.min().item(), values.max().item()
    scaled = torch.zeros(count, dtype=torch.uint8)
    scaled[: len(values)] = (255 * (values - low) / max(high - low, 1e-12)).round().byte()
    shown = (10**low, 10**high) if name == "stretch" else (low, high)
    scale = "log" if name == "stretch" else "percent" if name in ("support", "explained") else "linear"
    return {"values": as_base64(scaled.numpy()), "low": shown[0], "high": shown[1], "scale": scale}


def _sliced(function: Callable[[Tensor], Tensor], rows: Tensor) -> Iterator[Tensor]:
    """``function(rows)``, as far as it is, slice by slice; a slice takes about `SLICE_SECONDS`."""
    made: list[Tensor] = []
    start, size = 0, 1
    while start < len(rows):
        begun = time.perf_counter()
        made.append(function(rows[start : start + size]))
        start += size
        size = max(1, min(4 * size, int(SLICE_SECONDS * size / (time.perf_counter() - begun + 1e-6))))
        yield torch.cat(made)


def _errors(fitted: FittedMap, rows: Tensor) -> Tensor:
    """Mean squares (rows,) between images of codes and what the map makes of them."""
    m = fitted.latent_map
    made = decode_images(m.decoder, m.v.decode(m.v.points[rows]))
    return (decode_images(m.decoder, fitted.codes_at(rows)) - made).square().flatten(1).mean(1)


def _explained(m: LatentMap, points: Tensor) -> Iterator[Tensor]:
    """`LatentMap.explained` of the first points, of those that are decoded so far."""
    codes = m.v.sample(points.repeat_interleave(DRAWS, 0), 0).unflatten(0, (-1, DRAWS))

    mean, square, seen = torch.zeros(()), torch.zeros(()), 0  # sums over images

    def within(some: Tensor) -> Tensor:
        nonlocal mean, square, seen
        images = decode_images(m.decoder, some.flatten(0, 1)).flatten(1).double()
        mean, square, seen = (
            mean.to(images) + images.sum(0),
            square.to(images) + images.square().sum(),
            seen + len(images),
        )
        return images.unflatten(0, (-1, DRAWS)).var(1).sum(1)

    for found in _sliced(within, codes):
        total = (square - mean.square().sum() / seen) / (seen - 1)
        yield (1 - found / total.clamp(min=1e-300)).clamp(0, 1).float()


def _nearby(points: Tensor, known: Tensor, values: Tensor, reach: float) -> Tensor:
    """Values (P,) at points, from those at known points nearby: a Gaussian of that standard deviation."""
    near = torch.softmax(-torch.cdist(points, known.float().cpu()).square() / (2 * reach**2), 1)
    return near @ values.cpu()
