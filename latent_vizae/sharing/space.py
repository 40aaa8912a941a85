"""A map as a static Space of the Hugging Face Hub: its page, free to host, with no server of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_vizae.model.card import base_model
from latent_vizae.storage.hub import check_push, push_folder

from .save import save_map

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["push_space"]


def push_space(
    m: LatentMap, repo: str, words: dict[str, Any], page: dict[str, Any], licence: str, where: dict[str, Any]
) -> str:
    """Push a map's page to the Hub, see `LatentMap.push_space_to_hub`."""
    from huggingface_hub import SpaceCardData

    check_push(repo, where.get("token"), create_pr=where.get("create_pr", False))  # before any work
    title = words["title"] or repo.split("/")[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_map(m, folder / "index.html", {**words, "title": title}, page)
        model = base_model(m.v.source)
        card = SpaceCardData(
            title=title, sdk="static", app_file="index.html", license=licence, tags=["latent-vizae", "latent-space"],
            models=None if model is None else [model],
        )  # fmt: skip
        text = (
            f"---\n{card.to_yaml()}\n---\n\nA map of {len(m.v.points):,} latent codes: one page, whose pictures were "
            "decoded beforehand. Made with `latent_vizae`.\n"
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
        return push_folder(folder, repo, message="Upload a map of latent codes", space=True, **where)
