"""v to the Hub: the folder that `VizAE.save_pretrained` writes, with a card that has pictures and a certificate."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from .card import write_card
from .certificate import certify
from .decoder import load_decoder
from .hub import is_repo_id, push_folder
from .latent_map import LatentMap
from .model import VizAE

__all__ = ["publish"]


def publish(
    v: VizAE, repo: str, decoder: Callable[[Tensor], Tensor] | None = None, *, licence: str = "other", **where: Any
) -> str:
    """Push a v to the Hub, see `VizAE.push_to_hub`."""
    if not isinstance(repo, str) or not is_repo_id(repo):  # before any work
        raise ValueError(f"A repository is called user/name, got {repo!r}.")
    decoder = _decoder_of(v) if decoder is None else decoder
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "v"
        v.save_pretrained(folder)
        certificate = certify(v, decoder)
        (folder / "certificate.json").write_text(certificate.to_json(), encoding="utf-8")
        pictures = () if decoder is None else _draw(LatentMap(v, decoder), folder)
        text = write_card(v.config, repo, certificate=certificate, pictures=pictures, licence=licence)
        (folder / "README.md").write_text(text, encoding="utf-8")
        return push_folder(folder, repo, message="Upload a visualization autoencoder", **where)


def _decoder_of(v: VizAE) -> Callable[[Tensor], Tensor] | None:
    """The decoder that v names, or None and a warning."""
    if v.source is None:
        return None
    try:
        decoder: Callable[[Tensor], Tensor] = load_decoder(v.source, **v.source_options)
    except (ValueError, ImportError, OSError) as error:
        warnings.warn(
            f"The decoder {v.source!r} could not be loaded, so the card shows no images: {error}", stacklevel=4
        )
        return None
    return decoder


def _draw(latent_map: LatentMap, folder: Path) -> tuple[str, ...]:
    """The map and a grid of it as pictures; without the extra `plot`, the grid."""
    drawn = []
    try:
        from .pictures import map_picture

        map_picture(latent_map, folder / "map.png")
        drawn.append("map.png")
    except ImportError:
        pass
    shape = {1: (10,), 2: (10, 10), 3: (4, 4, 4)}[latent_map.v.dim]
    latent_map.grid(shape=shape).save(folder / "grid.png")
    return (*drawn, "grid.png")
