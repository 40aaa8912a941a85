"""A map as one HTML file: no server, no request to anywhere; its pictures are blended from tiles."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import TYPE_CHECKING, Any

from torch import Tensor

from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.columns import Columns
from latent_vizae.inputs.names import Names
from latent_vizae.training.progress import Reporting

from .browser_decoder import runtime_script, traced_elements, traced_note
from .described import MOST_DRAWN, as_base64, described
from .modules import COMPONENT, component
from .tiles import DEFAULT_SIDE, MOST_SIDE, Tiles, decode_tiles, tile_points
from .traced import trace

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["FRAME_SIZE", "FRAME_TILES", "static_page", "tiles_of"]


FRAME_TILES, FRAME_SIZE = {1: 128, 2: 32, 3: 10}, 32
"""Of a map in a notebook, whose file keeps them: about 0.2 MB on the bundled map, in 2 s."""

SUPPORT_SIDE = 48

LAYERS = {
    "support": "How far to trust a place: bright among the codes, dark where there are none.",
    "stretch": "How fast the picture changes there (root mean square change per map unit).",
}


def static_page(
    m: LatentMap,
    *,
    labels: ArrayLike | None = None,
    names: Names = None,
    columns: Columns = None,
    title: str | None = None,
    tiles: int | None = None,
    size: int | None = None,
    quality: int = 60,
    progress: Reporting = True,
    most_seconds: float | None = 600,
    most_points: int = MOST_DRAWN,
    decoder: str | None = None,
) -> str:
    """The whole file as text. See `LatentMap.save`."""
    if decoder not in (None, "onnx"):
        raise ValueError(f"decoder is 'onnx' (in the page) or None (tiles alone), got {decoder!r}.")
    traced = None if decoder is None else trace(m)  # which refuses what it cannot do before the tiles are decoded
    side = as_whole(DEFAULT_SIDE[m.v.dim] if tiles is None else tiles, "tiles", 2, MOST_SIDE)
    size = None if size is None else as_whole(size, "size", 1)
    quality = as_whole(quality, "quality", 1, 100)
    described_map = described(m, labels, names, title, columns, most_points)
    sheet = decode_tiles(m, side, size, quality, progress=progress, most_seconds=most_seconds)
    note = _note(m, sheet) if traced is None else traced_note(traced)
    described_map["note"] = f"{note} {described_map['note']}".strip()
    data: dict[str, Any] = {"map": described_map, "transport": _transport(m, sheet)}
    if traced is None:
        scripts, inside, allowed = [component("start_tiles")], "", ""
    else:
        data["image"] = {"channels": traced.channels, "height": traced.height, "width": traced.width}
        data["tiles_note"] = _note(m, sheet)
        scripts = [runtime_script(), component("start_onnx")]
        inside, allowed = traced_elements(traced), " 'wasm-unsafe-eval'"
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    heading = html.escape(described_map["title"])
    style = "".join((COMPONENT / f"{name}.css").read_text(encoding="utf-8") for name in ("page", "map"))
    return PAGE.format(
        title=heading, style=style, data=_json_for_script(data), allowed=digests + allowed, inside=inside,
        scripts="\n".join(f'<script type="module">{script}</script>' for script in scripts),
        text=html.escape(described_map["text"]),
    )  # fmt: skip


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'; form-action 'none'">
<meta name="description" content="{text}">
<meta property="og:title" content="{title}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main></main>
<noscript>This map needs JavaScript. It asks no server for anything.</noscript>
<script type="application/json" id="latent-map">{data}</script>
{inside}{scripts}
</body>
</html>
"""


def _note(m: LatentMap, sheet: Tiles) -> str:
    shape = " x ".join([str(sheet.side)] * m.v.dim)
    return (
        f"Without a server: pictures are blended from {shape} tiles of {sheet.width} x {sheet.height} pixels that "
        f"were decoded beforehand. They differ from the decoder's by {sheet.difference:.3f} (root mean square at "
        f"{sheet.places} places all over the map; black to white is 1). Made with latent_vizae."
    )


def _transport(m: LatentMap, sheet: Tiles) -> dict[str, Any]:
    side = {1: 256, 2: SUPPORT_SIDE, 3: 16}[m.v.dim]
    layers = {"support": _layer(m.support(tile_points(m.v.dim, side)).cpu(), side, "support")}
    if sheet.stretch is not None:
        layers["stretch"] = _layer(sheet.stretch.flatten(), sheet.side, "stretch")
    return {
        "dim": m.v.dim,
        "side": sheet.side,
        "columns": sheet.columns,
        "width": sheet.width,
        "height": sheet.height,
        "kind": "image/webp",
        "sheet": base64.b64encode(sheet.sheet).decode(),
        "layers": layers,
    }


def tiles_of(m: LatentMap, most_seconds: float) -> dict[str, Any]:
    """What the transport of tiles takes, of a few small tiles; ValueError where they would take longer."""
    sheet = decode_tiles(m, FRAME_TILES[m.v.dim], FRAME_SIZE, progress=False, most_seconds=most_seconds)
    return _transport(m, sheet)


def _layer(values: Tensor, side: int, name: str) -> dict[str, Any]:
    low, high = values.min().item(), values.max().item()
    scaled = (255 * (values - low) / max(high - low, 1e-12)).round().byte().numpy()
    return {"side": side, "values": as_base64(scaled), "low": low, "high": high, "text": LAYERS[name]}


def _json_for_script(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it lies in."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
