"""``latent-vizae samples``: many samples at one place of a map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from .files import point_of
from .maps import AnyDecoder, AnyV, Json, load_map, save_samples

__all__ = ["samples"]


def samples(
    v: AnyV,
    at: Annotated[str, typer.Option(metavar="POINT", help="A point of the map, such as 0.5,-0.2.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help=".png (a sheet), .gif, .mp4 or .safetensors.")],
    count: Annotated[int, typer.Option(help="Number of samples.")] = 16,
    radius: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Samples of the disc around the point, in map units, instead of the point alone."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed: same samples.")] = 0,
    decoder: AnyDecoder = None,
    as_json: Json = False,
) -> None:
    """Draw from what the map leaves open at a place: what it shows there is alike, all else differs.

    \b
    Examples:
      latent-vizae samples --v faces --at 0.5,-0.2 --out sixteen.png
      latent-vizae samples --v faces --at 0,0 --radius 0.1 --count 100 --seed 3 --out some.safetensors

    Needs a map that has detail: of at least 50 codes, fitted by this version.
    """
    m = load_map(v, decoder)
    save_samples(m.samples(point_of(at, m.v.dim), count, seed, radius=radius), out, as_json)
