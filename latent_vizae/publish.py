"""Push maps and directions to the Hub: the files of `save_pretrained`, pictures, and a card that shows them."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from latent_vizae.decoders.load import is_portable, load_source
from latent_vizae.directions.card import write_direction_card
from latent_vizae.directions.directions import Directions
from latent_vizae.inputs.surroundings import warn_caller
from latent_vizae.maps.certificate import certify
from latent_vizae.maps.latent_map import LatentMap
from latent_vizae.model.card import write_card
from latent_vizae.model.vizae import VizAE
from latent_vizae.pictures import direction_picture, map_picture
from latent_vizae.storage.hub import check_push, push_folder

__all__ = ["publish", "publish_directions"]


CERTIFICATE, PICTURES = "certificate.json", ("map.png", "grid.png")


def publish(
    v: VizAE, repo: str, decoder: Callable[[Tensor], Tensor] | None = None, *, licence: str = "other", **where: Any
) -> str:
    """Push a v to the Hub; with its decoder, pictures and a certificate too. See `LatentMap.push_to_hub`."""
    check_push(repo, where.get("token"), create_pr=where.get("create_pr", False))  # before any work
    if _is_left_out(v.source):
        v = copy.copy(v)
        v.source, v.source_options = None, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "v"
        v.save_pretrained(folder)
        seen: dict[str, Any] = {}
        if decoder is not None:
            certificate = certify(v, decoder)
            (folder / CERTIFICATE).write_text(certificate.to_json(), encoding="utf-8")
            seen = {"statements": certificate.statements(), "round_trip": certificate.round_trip_rms}
            seen["pictures"] = _draw(LatentMap(v, decoder), folder)
        text = write_card(v.config, repo, licence=licence, **seen)
        (folder / "README.md").write_text(text, encoding="utf-8")
        where["outdated"] = [CERTIFICATE, *PICTURES]  # of an earlier push
        return push_folder(folder, repo, message="Upload a visualization autoencoder", **where)


def _decoder_of(source: str | None, options: dict[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """The decoder of that name, or None and a warning."""
    if source is None:
        return None
    try:
        decoder: Callable[[Tensor], Tensor] = load_source(source, options)
    except (ValueError, ImportError, OSError) as error:
        warn_caller(f"The decoder {source!r} could not be loaded, so the card shows no images: {error}")
        return None
    return decoder


def _is_left_out(source: str | None) -> bool:
    """Whether a decoder's name means something on this machine only; then a warning says so."""
    if source is None or is_portable(source):
        return False
    warn_caller(
        f"The decoder {source!r} is a folder of this machine, or a repository without a commit, so what is pushed "
        "names no decoder. Push the generator too, load it from there (load_decoder('hub:user/name')), and set source "
        "to that decoder's."
    )
    return True


def _draw(latent_map: LatentMap, folder: Path) -> tuple[str, ...]:
    """The map and a grid of it as pictures; without the extra `plot`, the grid."""
    shape = {1: (10,), 2: (10, 10), 3: (4, 4, 4)}[latent_map.v.dim]
    latent_map.grid(shape=shape).save(folder / "grid.png")
    try:
        map_picture(latent_map, folder / "map.png")
    except ImportError:
        return ("grid.png",)
    return PICTURES


MOST_PICTURES = 12


def publish_directions(
    directions: Directions,
    repo: str,
    decoder: Callable[[Tensor], Tensor] | None = None,
    *,
    licence: str = "other",
    **where: Any,
) -> str:
    """Push directions to the Hub, see `Directions.push_to_hub`."""
    check_push(repo, where.get("token"), create_pr=where.get("create_pr", False))  # before any work
    decoder = _decoder_of(directions.source, directions.source_options) if decoder is None else decoder
    if _is_left_out(directions.source):
        directions = replace(directions, source=None, source_options={})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "directions"
        directions.save_pretrained(folder)
        pictures = () if decoder is None else _draw_directions(directions, decoder, folder)
        text = write_direction_card(
            directions.report,
            directions.source,
            directions.class_labels.tolist(),
            directions.latent_shape,
            repo,
            pictures=pictures,
            licence=licence,
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
        return push_folder(folder, repo, message="Upload semantic directions", **where)


def _draw_directions(directions: Directions, decoder: Callable[[Tensor], Tensor], folder: Path) -> tuple[str, ...]:
    """Pictures of the global set and of classes' sets; none without the extra `plot`."""
    try:
        names = []
        for label in (None, *directions.class_labels.tolist()[: MOST_PICTURES - 1]):
            names.append("global.png" if label is None else f"class-{label}.png")
            direction_picture(directions, decoder, folder / names[-1], label=label)
    except ImportError:
        return ()
    return tuple(names)
