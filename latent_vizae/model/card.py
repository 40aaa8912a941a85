"""The model card of a saved v: what it is, how to load it, its measures and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latent_vizae.storage.hub import parse_reference

from .report import FitReport

__all__ = ["base_model", "write_card"]


METRICS = {
    "fvu_held_out": "fraction of variance unexplained, held-out codes",
    "fvu": "fraction of variance unexplained, training codes",
    "image_error_held_out": "image error (mean square), held-out codes",
    "image_error": "image error (mean square), training codes",
    "sheet_norm": "norm of decoded codes without detail, relative to the codes'",
    "sheet_unlikeness": "unlikeness of images without detail (1: as far from the nearest image as others)",
    "sheet_spread": "spread of images without detail (1: as far from each other as images of codes)",
    "detail_norm": "norm of decoded codes with detail",
    "detail_unlikeness": "unlikeness of images with detail",
    "detail_spread": "spread of images with detail",
}


def write_card(
    config: dict[str, Any],
    name: str,
    *,
    statements: Sequence[tuple[str, str]] = (),
    round_trip: float | None = None,
    pictures: tuple[str, ...] = (),
    licence: str = "other",
) -> str:
    """The README.md of a v.

    Args:
        config: of the v, see `VizAE.config`.
        name: for ``from_pretrained``: a repository's id, or the name of a folder.
        statements: verdicts and sentences of its certificate.
        round_trip: root mean square of point -> code -> point, in map units; None where it was not measured.
        pictures: names of picture files beside it.
        licence: the Hub's identifier, such as "apache-2.0" or "cc-by-4.0".
    """
    from huggingface_hub import EvalResult, ModelCardData

    report, source = config["report"] or {}, config["source"]
    measured = [(key, text, report[key]) for key, text in METRICS.items() if report.get(key) is not None]
    if round_trip is not None:
        text = "round trip point -> code -> point (root mean square, the map is 2 wide)"
        measured.append(("round_trip_rms", text, round_trip))
    dataset = f"{config['count']} latent codes"
    data = ModelCardData(
        library_name="latent-vizae",
        license=licence,
        base_model=base_model(source),
        tags=["latent-vizae", "latent-space", "visualization", "dimension-reduction"],
        model_name=name.split("/")[-1],
        eval_results=[
            EvalResult(
                task_type="feature-extraction", dataset_type="latent-codes", dataset_name=dataset,
                metric_type=key, metric_name=text, metric_value=value,
            )
            for key, text, value in measured
        ] or None,
    )  # fmt: skip
    dim, shape = config["dim"], tuple(config["latent_shape"])
    of_decoder = f" of the decoder `{source}`" if source else ""
    what = (
        f"A visualization autoencoder (Ko et al. 2023): a two-way map between codes of shape {shape} and points of "
        f"[-1, 1]^{dim}, fitted to {config['count']} codes{of_decoder} with `latent_vizae`."
    )
    limits = (
        f"A map of {dim} dimensions leaves out a part of the codes' variance: the fraction of variance unexplained, "
        "above. Far from the fitted codes (`v.points`) it extrapolates; `LatentMap.support` measures where."
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name.split('/')[-1]}: a {dim}-D map of latent codes",
        what,
        *(f"![{picture.removesuffix('.png')}]({picture})" for picture in pictures),
        f"```python\n{_snippet(name, source)}\n```",
        "| measured | |\n|---|---|\n" + "\n".join(f"| {text} | {value:.4g} |" for _, text, value in measured),
        "## What it shows and what it does not",
        limits,
    ]
    if report and (notes := FitReport.from_dict(report).notes):
        parts.append("\n".join(f"- {note}" for note in notes))
    if config.get("detail_axes") is not None:
        parts.append(
            f"Detail is {config['detail']:g}: `v.decode(points, detail=0)` gives the sheet alone, `detail=1` codes as "
            "typical as the fitted ones, `variant=1` another map of the same places. `v.sample(points)` draws codes "
            "from what the map leaves open."
        )
    if statements:
        parts.append("\n".join(f"- **{verdict}**: {text}" for verdict, text in statements))
    return "\n\n".join(parts) + "\n"


def base_model(source: str | None) -> str | None:
    """The repository in a decoder's name, or None."""
    try:
        return parse_reference(str(source).partition(":")[2]).repo
    except ValueError:
        return None


def _snippet(name: str, source: str | None) -> str:
    """Code that runs as it stands."""
    if source is None:
        return (
            "from latent_vizae import VizAE\n\n"
            f'v = VizAE.from_pretrained("{name}")\n'
            "codes = v.decode(v.points)    # the fitted codes, as the map keeps them"
        )
    return (
        "from latent_vizae import LatentMap\n\n"
        f'm = LatentMap.from_pretrained("{name}")    # v and its decoder\n'
        'm.grid().save("grid.png")'
    )
