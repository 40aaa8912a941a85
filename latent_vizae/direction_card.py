"""The model card of saved directions, and their way to the Hub with pictures."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from .card import base_model
from .decoder import load_decoder
from .directions import Directions
from .hub import is_repo_id, push_folder

__all__ = ["publish_directions", "write_direction_card"]

MOST_PICTURES = 12
SAID = (
    "A step of 1 changes images by the same measured amount in every direction. What a direction means is for people "
    "to say: nothing here was labelled with attributes."
)


def write_direction_card(
    directions: Directions, name: str, *, pictures: tuple[str, ...] = (), licence: str = "other"
) -> str:
    """The README.md of saved directions.

    Args:
        directions: that are saved.
        name: what ``from_pretrained`` takes: a repository's id, or the name of a folder.
        pictures: names of picture files beside it.
        licence: as the Hub spells it.
    """
    from huggingface_hub import ModelCardData

    report, source = directions.report, directions.source
    data = ModelCardData(
        library_name="latent-vizae",
        license=licence,
        base_model=base_model(source),
        tags=["latent-vizae", "latent-space", "semantic-directions"],
        model_name=name.split("/")[-1],
    )
    of_decoder = f" of the decoder `{source}`" if source else ""
    labels = directions.class_labels.tolist()
    of_classes = f", and as many of each of the classes {', '.join(map(str, labels[:20]))}" if labels else ""
    methods = {
        "trained": "learned with shift predictors (Kim & Lee 2024; Voynov & Babenko 2020)",
        "codes": "the principal components of codes",
        "features": "the principal components of features (GANSpace)",
        "metric": "the leading directions of the average pull-back metric",
    }
    what = (
        f"{report.directions} global directions of the latent space{of_decoder}, codes of shape "
        f"{directions.latent_shape}{of_classes}: {methods.get(report.method, report.method)}, with `latent_vizae`."
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
        f"| measured on held-out codes | |\n|---|---|\n{rows}",
        SAID,
    ]
    return "\n\n".join(parts) + "\n"


def publish_directions(
    directions: Directions,
    repo: str,
    decoder: Callable[[Tensor], Tensor] | None = None,
    *,
    licence: str = "other",
    **where: Any,
) -> str:
    """Push directions to the Hub, see `Directions.push_to_hub`."""
    if not isinstance(repo, str) or not is_repo_id(repo):  # before any work
        raise ValueError(f"A repository is called user/name, got {repo!r}.")
    if decoder is None and directions.source is not None:
        try:
            decoder = load_decoder(directions.source, **directions.source_options)
        except (ValueError, ImportError, OSError) as error:
            warnings.warn(
                f"The decoder {directions.source!r} could not be loaded, so the card shows no images: {error}",
                stacklevel=3,
            )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "directions"
        directions.save_pretrained(folder)
        pictures = () if decoder is None else _draw(directions, decoder, folder)
        text = write_direction_card(directions, repo, pictures=pictures, licence=licence)
        (folder / "README.md").write_text(text, encoding="utf-8")
        return push_folder(folder, repo, message="Upload semantic directions", **where)


def _draw(directions: Directions, decoder: Callable[[Tensor], Tensor], folder: Path) -> tuple[str, ...]:
    """Pictures of the global set and of classes' sets; none without the extra `plot`."""
    try:
        from .direction_pictures import direction_picture

        names = []
        for label in (None, *directions.class_labels.tolist()[: MOST_PICTURES - 1]):
            names.append("global.png" if label is None else f"class-{label}.png")
            direction_picture(directions, decoder, folder / names[-1], label=label)
    except ImportError:
        return ()
    return tuple(names)
