"""Commands that show a map to others: a file of its own, and the page in the browser."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from latent_vizae.decoders.load import load_decoder
from latent_vizae.inputs.columns import as_columns

from .maps import AnyDecoder, AnyV, Json, load_map, print_json


def export(
    v: AnyV,
    out: Annotated[Path, typer.Option(metavar="FILE", help=".html (a page without a server), .png or .svg.")],
    title: Annotated[Optional[str], typer.Option(help="Title of the map.")] = None,  # noqa: UP045
    names: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="NAME,NAME,...", help="Names of the labels 0, 1, ...; by default the numbers."),
    ] = None,
    columns: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="What colours the codes: .csv, .tsv or .parquet with a row a code, in order."
        ),
    ] = None,
    tiles: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Tiles along each axis of a page.  [default: 256 in 1-D, 64 in 2-D, 16 in 3-D]"),
    ] = None,
    size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Pixels of a tile's longer side.  [default: the image's, at most 64]"),
    ] = None,
    quality: Annotated[Optional[int], typer.Option(help="Of the tiles, 1 to 100.  [default: 60]")] = None,  # noqa: UP045
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Put the generator into the page: exact pictures (needs the extra `onnx`).")
    ] = False,
    most_seconds: Annotated[
        float, typer.Option(help="Refuse tiles that would take longer to decode; 0 for any time.")
    ] = 600,
    decoder: AnyDecoder = None,
    as_json: Json = False,
) -> None:
    """Write a map as one file: a page that opens from disk and asks no server for anything, or a picture.

    \b
    Examples:
      latent-vizae export --v digits --out map.html
      latent-vizae export --v digits --out map.html --title "My digits" --names zero,one,two --tiles 96
      latent-vizae export --v digits --out map.svg

    With --onnx the page computes its pictures itself, with the generator in it.

    The page holds the points, their labels and numbers, and tiles of the decoded surface; pictures of places are
    blended from the nearest tiles, and the page says how much they differ from the decoder's.
    """
    m = load_map(v, decoder)
    named = None if names is None else [name.strip() for name in names.split(",")]
    page: dict[str, Any] = {
        "columns": columns,
        "tiles": tiles,
        "size": size,
        "quality": quality,
        "decoder": "onnx" if onnx else None,
    }
    m.save(out, title=title, names=named, most_seconds=most_seconds or None, **page)
    count, size_of_file = len(m.v.points), out.stat().st_size
    if as_json:
        print_json({"out": str(out), "bytes": size_of_file, "codes": count})
    else:
        typer.echo(f"wrote {out}: {count:,} codes, {size_of_file / 1000:,.0f} kB")


def demo(
    map_: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--map", metavar="V", help="Open this map: what `map` wrote, a saved v, or user/name of the Hub."
        ),
    ] = None,
    decoder: AnyDecoder = None,
    columns: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE", help="What else is known of the codes: .csv, .tsv or .parquet with a row a code, in order."
        ),
    ] = None,
    first: Annotated[
        str, typer.Option(metavar="NAME", help="Open on emoji or on digits; the other one is a click away.")
    ] = "emoji",
    port: Annotated[Optional[int], typer.Option(help="By default the first free one from 7860 on.")] = None,  # noqa: UP045
    share: Annotated[bool, typer.Option("--share", help="A public address for 72 hours, through Gradio.")] = False,
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer the endpoints to agents (needs the extra `mcp`).")] = False,
) -> None:
    """Open an interactive map in the browser (needs the extra `demo`).

    \b
    Examples:
      latent-vizae demo --port 7860
      latent-vizae demo --map fives
      latent-vizae demo --map faces --columns faces.csv
      latent-vizae demo --decoder hub:./my-generator

    With --decoder alone the Fit tab offers that decoder. It takes a saved map, too.

    Columns colour the codes and can be searched: words are classes, numbers go on a ramp.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ImportError('The demo needs: pip install "latent-vizae[demo]".')
    if columns is not None and map_ is None:
        raise ValueError("--columns are of a map's codes: give --map too.")
    if map_ is not None:  # errors are one line, before the page starts
        as_columns(columns, len(load_map(map_, decoder).v.points))
    elif decoder is not None:
        load_decoder(decoder)
    if first not in ("emoji", "digits"):
        raise ValueError(f"--first is emoji or digits, got {first!r}.")
    given = (("--first", first), ("--map", map_), ("--decoder", decoder), ("--columns", columns), ("--port", port))
    options = [word for name, value in given if value is not None for word in (name, str(value))]
    options += [flag for flag, wanted in (("--share", share), ("--mcp", mcp)) if wanted]
    # A process of its own: the number of threads is read before torch is imported.
    environment = {"OMP_NUM_THREADS": "1", "GRADIO_ANALYTICS_ENABLED": "False", **os.environ}
    command = [sys.executable, "-m", "latent_vizae.demos.app", *options]
    if os.name == "nt":  # whose execve comes back at once, with the page in the background
        raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)
    os.execve(sys.executable, command, environment)
