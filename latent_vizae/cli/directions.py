"""``latent-vizae directions``: find, measure and draw semantic directions."""

from __future__ import annotations

import json
import math
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from latent_vizae.decoders.load import load_decoder
from latent_vizae.decoders.spending import Limit, spending
from latent_vizae.directions.budget import Allowance, with_classifier
from latent_vizae.directions.classifier import learn_classifier
from latent_vizae.directions.directions import Directions
from latent_vizae.directions.discover import discover_directions
from latent_vizae.inputs.names import Labels
from latent_vizae.maps.latent_map import LatentMap
from latent_vizae.pictures import arrow_picture, direction_picture, need_plot
from latent_vizae.pictures.directions import MOSAIC, STEPS

from .files import REPORT_FILE, budget_of, codes_to_map, load_v, output_folder, write_json

__all__ = ["directions"]


MAKER = "latent-vizae directions"


class _Method(str, Enum):
    trained = "trained"
    codes = "codes"
    features = "features"
    metric = "metric"


def directions(
    decoder: Annotated[
        str, typer.Option(metavar="NAME", help="Decoder, as load_decoder takes it; `latent-vizae info` lists them.")
    ] = "mnist",
    codes: Annotated[
        Optional[Path],  # noqa: UP045 (typer reads this at run time, on Python 3.10 too)
        typer.Option(
            metavar="PATH",
            help="Codes instead of the decoder's own: a folder of shards, as `encode` writes it, or a .npy, .npz or "
            ".safetensors file with `codes` (k, *latent_shape) and, for classes, `labels` (k,).",
        ),
    ] = None,
    count: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Number of codes, drawn by the seed.  [default: 2000; with --codes: all]"),
    ] = None,
    method: Annotated[
        _Method,
        typer.Option(help="Trained, or in closed form: components of codes, of features, or of the pull-back metric."),
    ] = _Method.trained,
    n_directions: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--directions", metavar="K", help="Directions in each set.  [default: 5, or a third of n if fewer]"
        ),
    ] = None,
    global_only: Annotated[
        bool, typer.Option("--global-only", help="Find the global set only, also of codes with labels.")
    ] = False,
    shift: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Largest move in training, in code units.  [default: measured]"),
    ] = None,
    steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Steps of training.  [default: 1000; closed forms: 0]"),
    ] = None,
    v: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--v", metavar="V", help="A map of this decoder's codes, to draw the directions on as arrows."),
    ] = None,
    checkpoint: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="A .safetensors to go on from after Ctrl-C."),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            metavar="N|TIME|none",
            help="Most images to decode, about, or time; with a classifier a quarter is for what it is trained on.",
        ),
    ] = "10min",
    seed: Annotated[int, typer.Option(help="Same seed, same machine: same directions.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder to write: new, empty, or earlier directions'.")
    ] = Path("directions"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")
    ] = False,
) -> None:
    """Find semantic directions, for all classes and for each one, and draw their effects.

    \b
    Examples:
      latent-vizae directions --out directions
      latent-vizae directions --method metric --global-only --directions 6 --out metric
      latent-vizae directions --v fives --out directions

    \b
    Writes into DIR:
      global.png, class-8.png, ...   a row per direction, 13 images from -3 to 3 steps, the 7th unchanged
      arrows.png, arrows-8.png, ...  with --v: arrows of the directions on the map
      report.json                    all that was measured on held-out codes
      directions/                    the directions, for Directions.from_pretrained

    A step of 1 changes images by the same measured amount in every direction. If the codes have labels, a small
    classifier of the decoder's images is trained on them, and each class gets directions of its own. Ctrl-C during
    the training keeps the best directions so far (exit 130).
    """
    most = budget_of(budget)
    with output_folder(out, MAKER) as folder:
        need_plot()
        f_d = load_decoder(decoder)
        latent_map = None if v is None else LatentMap(load_v(v), f_d)
        batch, labels = codes_to_map(f_d, decoder, codes, None, count, seed)
        labels = labels.numbers if isinstance(labels, Labels) else labels
        by_class = labels is not None and not global_only and len(labels.unique()) > 1
        classifier, rest = None, most
        if by_class:
            first, rest, words = with_classifier(f_d, batch, most)
            if words:
                typer.echo(f"latent-vizae: classifier and directions ask for {words}; pictures come then", err=True)
            classifier = learn_classifier(f_d, batch, labels, seed=seed, budget=first, progress=True)
        discovered = discover_directions(
            f_d, batch, classifier, n_directions=n_directions, method=method.value, shift=shift, steps=steps,
            seed=seed, checkpoint=checkpoint, budget=rest, progress=True,
        )  # fmt: skip
        if discovered.report.interrupted:
            typer.echo("latent-vizae: interrupted; writing the best directions so far", err=True)
        with spending() as spent:
            drawing = Allowance(f_d, Limit(), spent, {})
            with drawing.shown(True, "pictures", _images_of_pictures(discovered, latent_map)):
                _draw(folder, discovered, f_d, latent_map)
        discovered.save_pretrained(folder / "directions")
        asked = {
            "decoder": decoder, "codes": None if codes is None else str(codes), "count": len(batch),
            "method": method.value, "directions": n_directions, "global_only": global_only, "shift": shift,
            "steps": steps, "v": v, "seed": seed, "budget": budget,
        }  # fmt: skip
        document: dict[str, Any] = {
            "made_by": MAKER, "latent_vizae": version("latent-vizae"), "asked": asked,
            "class_labels": discovered.class_labels.tolist(), "global_steps": discovered.global_steps.tolist(),
            "class_steps": discovered.class_steps.tolist(), "global_effects": discovered.global_effects.tolist(),
            "class_effects": discovered.class_effects.tolist(), "measured": discovered.report.to_dict(),
        }  # fmt: skip
        write_json(folder / REPORT_FILE, document)
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        typer.echo(json.dumps({**document, "out": str(out), "files": names}))
    else:
        typer.echo(f"{discovered.report}\nwrote {out}: {', '.join(names)}")
    if discovered.report.interrupted:
        raise typer.Exit(130)


def _images_of_pictures(directions: Directions, latent_map: LatentMap | None) -> int:
    """Images that `_draw` asks for, about."""
    walks, own = len(directions.global_directions), sum(len(one) for one in directions.class_directions)
    behind_arrows = 0 if latent_map is None else math.prod(MOSAIC[min(latent_map.v.dim, 2)])
    return STEPS * (walks * (1 + len(directions.class_labels)) + own) + behind_arrows


def _draw(folder: Path, directions: Directions, f_d: Any, latent_map: LatentMap | None) -> None:
    """The figures, and with a map its arrows."""
    for label in (None, *directions.class_labels.tolist()):
        name = "global" if label is None else f"class-{label}"
        direction_picture(directions, f_d, folder / f"{name}.png", label=label)
        if latent_map is not None:
            name = "arrows" if label is None else f"arrows-{label}"
            side = None if label is None or latent_map.v.dim > 2 else 16  # a class has a small part of the map
            arrow_picture(latent_map, latent_map.arrows(directions, side, label=label), folder / f"{name}.png")
