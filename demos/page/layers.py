"""Heat maps that are drawn under a map of two dimensions."""

from __future__ import annotations

import math
import time
from typing import Any

import torch

from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.page.fitted import FittedMap, shown_rows
from latent_vizae.demos.page.pictures import as_base64

__all__ = ["LAYERS", "layer"]

LAYERS = {
    "support": "How far to trust a place: bright among the codes, dark where there are none and the map extrapolates.",
    "stretch": "How fast the image changes there per step on the map (root mean square, on a logarithmic scale).",
    "error": "How much the image of a code there differs from what the map makes of it (mean square).",
}
LAYER_SECONDS = 30
"""About how long a layer may take; a slow decoder's is coarser."""
SIDES = {"support": 48, "stretch": 21, "error": 48}


def _affordable(fitted: FittedMap, most: int) -> int:
    """How many images a layer may decode: all it wants, or fewer of a slow decoder."""
    started = time.perf_counter()
    decode_images(fitted.latent_map.decoder, fitted.codes[:1])
    return max(64, min(most, int(LAYER_SECONDS / (time.perf_counter() - started + 1e-6))))


def layer(fitted: FittedMap, name: str) -> dict[str, Any]:
    """A heat map of a 2-D map, for the page: bytes of a square, and the values that 0 and 255 stand for."""
    m, side = fitted.latent_map, SIDES[name]
    if name == "stretch":  # four images a place
        side = min(side, math.isqrt(_affordable(fitted, 4 * side * side) // 4))
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    points = torch.stack([x, y], -1).reshape(-1, 2)
    if name == "support":
        values = m.support(points)
    elif name == "stretch":
        values = m.stretch(points)[:, 1].clamp(min=1e-6).log10()
    else:
        rows = shown_rows(len(fitted.codes))[: _affordable(fitted, 2000) // 2]
        made = decode_images(m.decoder, m.v.decode(m.v.points[rows]))
        errors = (decode_images(m.decoder, fitted.codes[rows]) - made).square().flatten(1).mean(1)
        near = torch.softmax(-torch.cdist(points, m.v.points[rows].cpu()).square() / (2 * 0.06**2), 1)
        values = near @ errors.cpu()
    low, high = values.min().item(), values.max().item()
    scaled = (255 * (values - low) / max(high - low, 1e-12)).round().byte().numpy()
    shown = (10**low, 10**high) if name == "stretch" else (low, high)
    return {"side": side, "values": as_base64(scaled), "low": shown[0], "high": shown[1], "text": LAYERS[name]}
