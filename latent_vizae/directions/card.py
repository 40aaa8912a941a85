"""The model card of saved directions."""

from __future__ import annotations

from collections.abc import Sequence

from latent_vizae.model.card import base_model

from .report import DirectionsReport

__all__ = ["write_direction_card"]


SAID = (
    "A step of 1 changes images by the same measured amount in every direction. No attribute was labelled, so the "
    "meaning of a direction is for people to name."
)
SAID_GIVEN = "A step of 1 is the vector as it was given; its effect on images was not measured."


def write_direction_card(
    report: DirectionsReport,
    source: str | None,
    labels: Sequence[int],
    latent_shape: tuple[int, ...],
    name: str,
    *,
    pictures: tuple[str, ...] = (),
    licence: str = "other",
) -> str:
    """The README.md of saved directions.

    Args:
        report: their measures.
        source: name of their decoder, as `load_decoder` takes it, or None.
        labels: class ids of the sets.
        latent_shape: of the codes.
        name: what ``from_pretrained`` takes: a repository's id, or the name of a folder.
        pictures: names of picture files beside it.
        licence: the Hub's identifier, such as "apache-2.0".
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="latent-vizae",
        license=licence,
        base_model=base_model(source),
        tags=["latent-vizae", "latent-space", "semantic-directions"],
        model_name=name.split("/")[-1],
    )
    of_decoder = f" of the decoder `{source}`" if source else ""
    of_classes = f", and as many of each of the classes {', '.join(map(str, labels[:20]))}" if labels else ""
    methods = {
        "trained": "learned with shift predictors (Kim & Lee 2024; Voynov & Babenko 2020)",
        "codes": "the principal components of codes",
        "features": "the principal components of features (GANSpace)",
        "metric": "the leading directions of the average pull-back metric",
        "given": "as they were given",
    }
    what = (
        f"{report.directions} global directions of the latent space{of_decoder}, codes of shape "
        f"{latent_shape}{of_classes}: {methods.get(report.method, report.method)}, with `latent_vizae`."
    )
    load = f'load_decoder("{source}")' if source else "...    # your decoder: codes -> images"
    snippet = (
        "from latent_vizae import Directions, load_decoder\n\n"
        f'directions = Directions.from_pretrained("{name}")\n'
        f"decoder = {load}\n"
        f"direction = directions.pick(0{f', label={labels[0]}' if labels else ''})\n"
        f"code = directions.example({labels[0] if labels else ''})\n"
        "images = decoder(direction.along(code))    # 13 of them, the 7th unchanged"
    )
    rows = "\n".join(f"| {key} | {text} |" for key, text in report.lines())
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name.split('/')[-1]}: directions of a latent space",
        what,
        *(f"![{picture.removesuffix('.png')}]({picture})" for picture in pictures),
        f"```python\n{snippet}\n```",
        f"| {'as given' if report.method == 'given' else 'measured on held-out codes'} | |\n|---|---|\n{rows}",
        SAID_GIVEN if report.method == "given" else SAID,
    ]
    return "\n\n".join(parts) + "\n"
