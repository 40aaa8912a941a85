"""Heat maps that are drawn under a map of two dimensions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.decoders.spending import Limit, seconds_per_image, spending
from latent_vizae.demos.page.fitted import FittedMap, shown_rows
from latent_vizae.demos.page.pictures import as_base64

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
    return int(max(64, min(most, Limit(seconds=LAYER_SECONDS).images_at(seconds))))


def layer(fitted: FittedMap, name: str) -> dict[str, Any]:
    """A heat map of a 2-D map, for the page: bytes of a square, and the values that 0 and 255 stand for."""
    m, side, text = fitted.latent_map, SIDES[name], (LAYERS | OF_DETAIL)[name]
    if name == "stretch":  # four images a place
        side = min(side, math.isqrt(_affordable(fitted, 4 * side * side) // 4))
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    points = torch.stack([x, y], -1).reshape(-1, 2)
    if name == "support":
        values = m.support(points)
    elif name == "stretch":
        values = m.stretch(points)[:, 1].clamp(min=1e-6).log10()
    elif name == "typical":
        found = m.typicality(points)
        values, text = found.lengths, text.format(low=found.low, high=found.high)
    elif name == "explained":
        images = _affordable(fitted, PLACES * DRAWS)
        rows = shown_rows(len(m.v.points))
        rows = rows[torch.linspace(0, len(rows) - 1, max(2, min(PLACES, len(rows), images // DRAWS))).long()]
        values = _nearby(points, m.v.points[rows], m.explained(m.v.points[rows], DRAWS).clamp(0, 1), 0.12)
    else:
        rows = shown_rows(len(m.v.points), _affordable(fitted, 2000) // 2)
        made = decode_images(m.decoder, m.v.decode(m.v.points[rows]))
        errors = (decode_images(m.decoder, fitted.codes_at(rows)) - made).square().flatten(1).mean(1)
        values = _nearby(points, m.v.points[rows], errors, 0.06)
    values = values.cpu()
    low, high = values.min().item(), values.max().item()
    scaled = (255 * (values - low) / max(high - low, 1e-12)).round().byte().numpy()
    shown = (10**low, 10**high) if name == "stretch" else (low, high)
    scale = "log" if name == "stretch" else "percent" if name in ("support", "explained") else "linear"
    return {
        "side": side, "values": as_base64(scaled), "low": shown[0], "high": shown[1], "scale": scale, "text": text,
    }  # fmt: skip


def _nearby(points: Tensor, known: Tensor, values: Tensor, reach: float) -> Tensor:
    """Values (P,) at points, from those at known points nearby: a Gaussian of that standard deviation."""
    near = torch.softmax(-torch.cdist(points, known.float().cpu()).square() / (2 * reach**2), 1)
    return near @ values.cpu()
