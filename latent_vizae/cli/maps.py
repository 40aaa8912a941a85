"""Commands for one map: fit it, decode regions and paths, certify, describe."""

from __future__ import annotations

import importlib
import json
import platform
from enum import Enum
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any, Optional

import numpy as np
import torch
import typer
from torch import Tensor

from latent_vizae.decoders.contract import is_slow
from latent_vizae.decoders.load import ENTRY_POINT_GROUP, load_decoder, load_source
from latent_vizae.decoders.spending import Budget
from latent_vizae.fitting.fit import fit
from latent_vizae.inputs.sources import as_codes
from latent_vizae.maps.certificate import Certificate, certify
from latent_vizae.maps.latent_map import LatentMap
from latent_vizae.maps.samples import Samples
from latent_vizae.model.vizae import VizAE
from latent_vizae.pictures import layer_picture, map_picture, need_plot

from .files import (
    DEFAULT_COUNT,
    REPORT_FILE,
    budget_of,
    codes_to_map,
    counts_of,
    load_v,
    number_of,
    numbers_of,
    options_of,
    output_folder,
    point_of,
    prompts_to_map,
    write_json,
)

PATH_FRAMES = 24
SLOW_FRAMES, SLOW_SHAPES = 8, {1: (10,), 2: (5, 5), 3: (3, 3, 3)}
"""Of a decoder that takes longer than a twentieth of a second: frames of a path and images of a grid."""


class _Curve(str, Enum):
    straight = "straight"
    shortest = "shortest"


class _Outliers(str, Enum):
    keep = "keep"
    ignore = "ignore"


class _Pace(str, Enum):
    constant = "constant"
    linear = "linear"


AnyV = Annotated[
    str, typer.Option("--v", metavar="V", help="Folder of a v (what `map` wrote, or its v/), or user/name of the Hub.")
]

AnyDecoder = Annotated[
    Optional[str],  # noqa: UP045 (typer reads this at run time, on Python 3.10 too)
    typer.Option(metavar="NAME", help="Decoder, as load_decoder takes it. By default the one that v was fitted with."),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]


Detail = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="How much of what the sheet leaves out is added, 0 to 1.  [default: the map's own]"),
]

Decoding = Annotated[
    str,
    typer.Option(
        "--budget", metavar="N|TIME|none", help="Most images to decode for the fit, and for the certificate, or time."
    ),
]

Variant = Annotated[int, typer.Option(help="Which of the maps with detail: a whole number.")]


def map_(
    decoder: Annotated[
        str, typer.Option(metavar="NAME", help="Decoder, as load_decoder takes it; `latent-vizae info` lists them.")
    ] = "mnist",
    codes: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="PATH",
            help="Codes to map instead of the decoder's examples: a folder of shards, as `encode` writes it, or a "
            ".npy, .npz or .safetensors file with `codes` (k, *latent_shape) and perhaps `labels` (k,).",
        ),
    ] = None,
    prompts: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Words to map instead, a prompt a line, by a decoder that takes words; they are the labels.",
        ),
    ] = None,
    option: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            metavar="NAME=VALUE", help="A keyword of load_decoder, such as steps=1; may be given many times."
        ),
    ] = None,
    label: Annotated[Optional[str], typer.Option(help="Only codes with this label.")] = None,  # noqa: UP045
    count: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help=f"Number of codes, drawn by the seed.  [default: {DEFAULT_COUNT}; with --codes: all]"),
    ] = None,
    dim: Annotated[int, typer.Option(help="Dimension of the map: 1, 2 or 3.")] = 2,
    outliers: Annotated[
        _Outliers, typer.Option(help="ignore: fit the map without codes that are very far from all others.")
    ] = _Outliers.keep,
    detail: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="How much of what the sheet leaves out is added, 0 to 1.  [default: by what is measured]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same machine: same map.")] = 0,
    budget: Decoding = "60s",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write: new, empty, or an earlier map's.")] = Path(
        "out"
    ),
    as_json: Json = False,
) -> None:
    """Fit a map of codes; write pictures, an animation, a certificate and a report.

    \b
    Examples:
      latent-vizae map --out digits
      latent-vizae map --label 5 --count 200 --dim 2 --out fives
      latent-vizae map --decoder mnist --codes my_codes.npy --out mine
      latent-vizae map --decoder diffusers-pipeline:stabilityai/sd-turbo --option code=prompt_embeds \\
        --option steps=1 --option guidance=0 --prompts prompts.txt --out words

    \b
    Writes into DIR:
      map.png          the codes as points, and the images that the map's points decode to
      grid.png         samples of the whole map, in a grid
      path.gif, .png   a transformation between two codes that lie far apart
      layers.png       how fast images change over the map, rms image change per map unit
      certificate.txt  whether the map is one-to-one and smooth, measured
      report.json      all the numbers
      v/               the map itself, for --v and VizAE.from_pretrained

    Points lie in [-1, 1]^dim. FVU is the fraction of the codes' variance that the map leaves unexplained, 0 best.
    Image errors are mean squares over pixels in [0, 1]. Of a slow decoder the bar says what it will take, and --budget
    bounds it: a number of images, a time such as 5min, none for no bound. Ctrl-C during the fit keeps the best map so
    far (exit 130).
    Where images cannot be drawn, v/ and the report are kept all the same.
    """
    if prompts is not None and any(value is not None for value in (codes, label, count)):
        raise ValueError("--prompts takes the place of --codes, --label and --count: give one or the other.")
    with output_folder(out, "latent-vizae map") as folder:
        need_plot()
        options = options_of(option)
        f_d = load_decoder(decoder, **options)
        labels: Any
        if prompts is None:
            batch, labels = codes_to_map(f_d, decoder, codes, label, count, seed)
        else:
            batch, labels = prompts_to_map(f_d, decoder, prompts)
        amount = "auto" if detail is None else detail
        most = budget_of(budget)
        v = fit(
            batch, f_d, dim, labels=labels, outliers=outliers.value, detail=amount, seed=seed, budget=most,
            progress=True,
        )  # fmt: skip
        report = v.report
        if report is None:
            raise RuntimeError("fit returned a v without a report.")
        if report.interrupted:
            typer.echo("latent-vizae: interrupted; writing the best map so far", err=True)
        typer.echo("decoding, measuring, drawing ...", err=True)
        certificate, failed = _write_map(folder, v, f_d, batch, most)
        asked = {
            "decoder": decoder, "options": options, "codes": None if codes is None else str(codes),
            "prompts": None if prompts is None else str(prompts), "label": label,
            "count": len(batch), "dim": dim, "outliers": outliers.value, "detail": v.detail, "seed": seed,
            "budget": budget,
        }  # fmt: skip
        document = {"made_by": "latent-vizae map", "latent_vizae": version("latent-vizae"), "asked": asked,
                    "fit": report.to_dict(), "certificate": certificate and certificate.to_dict()}  # fmt: skip
        write_json(folder / REPORT_FILE, document)
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if failed is not None:
        typer.echo(f"latent-vizae: what was made is kept in {out}: {', '.join(names)}", err=True)
        raise failed
    if as_json:
        print_json({**document, "out": str(out), "files": names})
    elif certificate is not None:
        verdicts = [verdict for verdict, _ in certificate.statements()]
        counts = ", ".join(f"{verdict}: {verdicts.count(verdict)}" for verdict in dict.fromkeys(verdicts))
        typer.echo(f"{report}\ncertificate: {counts} (certificate.txt)")
        for verdict, text in certificate.statements():
            if verdict == "does not hold":
                typer.echo(f"  does not hold: {text}")
        typer.echo(f"wrote {out}: {', '.join(names)}")
    if report.interrupted:
        raise typer.Exit(130)


def _write_map(
    folder: Path, v: VizAE, f_d: Any, codes: Tensor, budget: Budget
) -> tuple[Certificate | None, Exception | None]:
    """Write everything but the report; what cannot be measured or drawn costs neither v nor the rest."""
    v.save_pretrained(folder / "v")
    certificate = failed = None
    try:
        certificate = certify(v, f_d, budget=budget, progress=True)
        (folder / "certificate.txt").write_text(f"{certificate}\n", encoding="utf-8")
        if certificate.stretch_layer is not None:
            layer_picture(certificate, folder / "layers.png", points=v.points)
    except Exception as error:
        failed = error
    try:
        _draw(folder, LatentMap(v, f_d), codes)
    except Exception as error:
        failed = failed or error
    return certificate, failed


def _draw(folder: Path, m: LatentMap, codes: Tensor) -> None:
    """The pictures and the animation."""
    v = m.v
    map_picture(m, folder / "map.png")
    shapes: dict[int, tuple[int, ...]] = {1: (20,), 2: (10, 10), 3: (5, 5, 5)}
    slow = is_slow(m.decoder)
    m.grid(shape=SLOW_SHAPES[v.dim] if slow else shapes[v.dim]).save(folder / "grid.png")
    frames, pace = (SLOW_FRAMES, _Pace.linear.value) if slow else (PATH_FRAMES, _Pace.constant.value)
    ends = _far_apart(v.points)
    if ends is None:  # one code, or the same one again and again
        side = torch.eye(1, v.dim) * 0.8
        way = m.path(torch.cat([-side, side]), frames=frames, pace=pace)
    elif v.latent_shape == (v.dim,):  # codes look like points, and a map of as many dimensions leaves nothing out
        way = m.path(v.points[list(ends)], frames=frames, pace=pace)
    else:
        way = m.path(codes[list(ends)], frames=frames, pace=pace, residual=True)
    for ending in ("gif", "png"):
        way.save(folder / f"path.{ending}")


def _far_apart(points: Tensor) -> tuple[int, int] | None:
    """The two points farthest from each other among the four fifths nearest to the middle; outliers make poor ends."""
    if len(points) < 2 or not (points != points[0]).any():
        return None
    apart = (points - points.median(0).values).norm(dim=1)
    inner = apart.argsort()[: max(2, len(points) * 4 // 5)]
    inner = inner if len(inner) <= 1000 else inner[:: len(inner) // 1000]
    distances = torch.cdist(points[inner], points[inner])
    first, second = divmod(int(distances.argmax()), len(inner))
    return int(inner[first]), int(inner[second])


def grid(
    v: AnyV,
    out: Annotated[Path, typer.Option(metavar="FILE", help=".png (a sheet), .gif, .mp4 or .safetensors.")],
    box: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="X0,Y0,X1,Y1",
            help="Region of the map: its lower corner, then its upper one (2 numbers on a 1-D map, 6 on a 3-D one). "
            "By default the whole map.",
        ),
    ] = None,
    points: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="PATH", help="Points to decode instead of a box: what `place` or `grid` wrote, or .npy."),
    ] = None,
    shape: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="ROWSxCOLUMNS", help="10x10 for 2-D, 10 for 1-D, 10x10x10 for 3-D.  [default: 10 each]"),
    ] = None,
    detail: Detail = None,
    variant: Annotated[
        str, typer.Option(metavar="N|each", help="Which of the maps with detail, or each for another draw per image.")
    ] = "0",
    decoder: AnyDecoder = None,
    as_json: Json = False,
) -> None:
    """Decode a regular grid over a box of a map: samples of interest.

    \b
    Examples:
      latent-vizae grid --v fives --out all.png
      latent-vizae grid --v fives --box=-0.2,0.1,0.3,0.6 --shape 8x12 --out some.png
      latent-vizae grid --v fives --shape 40x40 --out some.safetensors

    Map units: the fitted codes lie in [-1, 1]^d. The first row is the top of the map. A .safetensors file holds
    points (k, d), codes (k, *latent_shape) and images (k, C, H, W).
    """
    m = load_map(v, decoder)
    which: Any = int(variant) if variant.isdecimal() else variant
    if points is not None:
        if box is not None or shape is not None:
            raise ValueError("--points takes the place of --box and --shape: give one or the other.")
        where = as_codes(points, (m.v.dim,), "points")
        options: dict[str, Any] = {"detail": detail, "variant": which}
        save_samples(Samples(where, m.v.decode(where, **options), m.render(where, **options)), out, as_json)
        return
    corners = None
    if box is not None:
        numbers = numbers_of(box, "--box")
        if len(numbers) != 2 * m.v.dim:
            raise ValueError(f"--box takes {2 * m.v.dim} numbers on a {m.v.dim}-D map, got {box!r}.")
        corners = (numbers[: m.v.dim], numbers[m.v.dim :])
    counts = None if shape is None else counts_of(shape)
    save_samples(m.grid(corners, counts, detail=detail, variant=which), out, as_json)


def path_(
    v: AnyV,
    start: Annotated[
        str, typer.Option("--from", metavar="END", help="A point such as 0.5,-0.2, or the number of an example code.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="END", help="The other end, likewise.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help=".gif, .mp4, .png (a strip) or .safetensors.")],
    via: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="END", help="A corner on the way; may be given many times."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Number of frames, at least 2.")] = 16,
    curve: Annotated[
        _Curve, typer.Option(help="Straight lines on the map, or the path along which images change least.")
    ] = _Curve.straight,
    pace: Annotated[
        _Pace, typer.Option(help="Equal image changes from frame to frame, or equal steps on the map.")
    ] = _Pace.constant,
    exact: Annotated[
        bool, typer.Option("--exact", help="Between codes: start and end at their own images, not at the map's.")
    ] = False,
    codes: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="PATH", help="Count codes of this file or folder, instead of the decoder's examples."),
    ] = None,
    label: Annotated[Optional[str], typer.Option(help="Count codes with this label only.")] = None,  # noqa: UP045
    detail: Detail = None,
    variant: Variant = 0,
    decoder: AnyDecoder = None,
    as_json: Json = False,
) -> None:
    """Decode a path along a map, frame by frame: a transformation between samples.

    \b
    Examples:
      latent-vizae path --v digits --from=-0.8,0 --to=0.8,0 --out way.gif
      latent-vizae path --v digits --from=-0.8,0 --via=0,0.5 --to=0.8,0 --frames 32 --out way.mp4
      latent-vizae path --v fives --label 5 --from 0 --to 7 --exact --curve shortest --out five.gif

    A whole number is a code, counted from 0 among those of --codes or the decoder's examples; anything else is a
    point, its d coordinates in map units (on a 1-D map write 1.0 for the point 1). An .mp4 needs the extra `plot`.
    """
    m = load_map(v, decoder)
    given = [start, *(via or []), end]
    numbered = [text.strip().isdecimal() for text in given]
    numbers = [int(text) for text, is_code in zip(given, numbered, strict=True) if is_code]
    chosen = _codes_at(numbers, m, codes, label) if numbers else []
    if all(numbered) and m.v.latent_shape != (m.v.dim,):
        corners = chosen
    elif exact:
        raise ValueError("--exact needs codes as ends (whole numbers): points have no residual, which it adds.")
    else:
        placed = iter(m.v.encode(chosen) if numbers else m.v.points[:0])
        corners = [
            next(placed) if is_code else point_of(text, m.v.dim) for text, is_code in zip(given, numbered, strict=True)
        ]
    options: dict[str, Any] = {
        "pace": pace.value,
        "curve": curve.value,
        "residual": exact,
        "detail": detail,
        "variant": variant,
    }
    save_samples(m.path(*corners, frames=frames, **options), out, as_json)


def certify_(v: AnyV, decoder: AnyDecoder = None, budget: Decoding = "60s", as_json: Json = False) -> None:
    """Measure whether a map is one-to-one and locally smooth.

    \b
    Examples:
      latent-vizae certify --v fives
      latent-vizae certify --v fives --json > certificate.json

    Prints the rank of every layer, the noise test and the verdicts. Distances between points are in map units (the
    map is 2 wide), stretches in root mean square image change per map unit.
    """
    loaded = load_v(v)
    certificate = certify(loaded, _load_decoder(loaded, decoder), budget=budget_of(budget), progress=not as_json)
    if as_json:
        print_json(certificate.to_dict())
    else:
        typer.echo(str(certificate))


def paper(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write: new, empty, or an earlier paper's.")],
    budget: Annotated[
        str, typer.Option(metavar="N|TIME|none", help="Most images to decode, about, or time; in the paper's order.")
    ] = "none",
    as_json: Json = False,
) -> None:
    """Reproduce the figures and tables of the paper (Ko et al. 2023), half a minute on two cores.

    \b
    Example:
      latent-vizae paper --out paper

    Writes the pictures of Figures 5, 6, 7, 9, 10, 11 and 12, and a report with our numbers beside the paper's. The bar
    says how many images are decoded; what does not fit into --budget is left out, and the report says which.
    """
    most = budget_of(budget)
    write_paper = importlib.import_module("latent_vizae.demos.paper").write_paper

    with output_folder(out, "latent-vizae paper") as folder:
        summary = write_paper(folder, progress=True, budget=most)
        write_json(folder / REPORT_FILE, {**summary, "made_by": "latent-vizae paper"})
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        print_json(summary)
    else:
        typer.echo(f"wrote {out}: {', '.join(names)}")


def info(
    v: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--v", metavar="V", help="A v to describe: its configuration and what fit measured."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show versions, installed decoders, and the configuration of a v.

    \b
    Examples:
      latent-vizae info
      latent-vizae info --v fives --json
    """
    versions = {
        "latent_vizae": version("latent-vizae"), "torch": torch.__version__, "numpy": np.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    decoders = {entry.name: entry.value for entry in sorted(entry_points(group=ENTRY_POINT_GROUP))}
    document: dict[str, Any] = {"versions": versions, "decoders": decoders}
    if v is not None:
        document["v"] = load_v(v).config
    if as_json:
        print_json(document)
        return
    for title, values in document.items():
        typer.echo(title)
        report = values.get("report") or {}
        for key, value in {**values, **report}.items():
            if key != "report":
                typer.echo(f"  {key:<22}{value}")


def _load_decoder(v: VizAE, name: str | None) -> Any:
    """The decoder of that name, or that of the fit, or None."""
    if name is not None:
        return load_decoder(name)
    return None if v.source is None else load_source(v.source, v.source_options)


def load_map(name: str, decoder: str | None) -> LatentMap:
    """The v of that name with a decoder, by default that of the fit."""
    """A map with the decoder of that name, or that of the fit."""
    v = load_v(name)
    f_d = _load_decoder(v, decoder)
    if f_d is None:
        raise ValueError(f"{name} was saved without the name of its decoder. Give it: --decoder NAME.")
    return LatentMap(v, f_d)


def _codes_at(numbers: list[int], m: LatentMap, path: Path | None, label: str | None) -> Any:
    """The codes with these numbers, of a file, of a folder, or of the decoder's examples."""
    if path is not None:
        codes, _ = codes_to_map(m.decoder, "", path, label, None, 0)
    elif hasattr(m.decoder, "examples"):
        codes, _ = m.decoder.examples(label=number_of(label))
    else:
        raise ValueError("This decoder has no example codes. Give points such as 0.5,-0.2, or --codes.")
    if max(numbers) >= len(codes):
        raise ValueError(f"There are {len(codes)} codes, counted from 0; asked for number {max(numbers)}.")
    chosen: Tensor = codes[numbers]
    return chosen


def save_samples(samples: Samples, out: Path, as_json: bool) -> None:
    """Write samples, and say what was written."""
    samples.save(out)
    if as_json:
        print_json({"out": str(out), "count": len(samples), "points": samples.points.tolist()})
    else:
        typer.echo(f"wrote {out}: {len(samples)} images")


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(document))
