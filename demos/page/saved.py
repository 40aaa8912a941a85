"""A saved map that a visitor uploads: the zip that the page makes, or the files of its folder."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from latent_vizae import LatentMap, VizAE
from latent_vizae.demos.page.fitted import FittedMap, quality
from latent_vizae.demos.page.hub import check_amount
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE

__all__ = ["open_saved"]

MOST_BYTES = 2**28
"""Of a file in a zip."""


def open_saved(f_d: Any, name: str, files: str | Path | list[str] | None) -> FittedMap:
    """A map of a decoder, as it was saved.

    Args:
        f_d: the decoder.
        name: of the decoder, for the title.
        files: one .zip, or ``model.safetensors`` (and ``config.json``).

    Raises:
        ValueError: there is no map in the files, a damaged one, or one of codes that the decoder does not take.
    """
    given = [Path(file) for file in ([files] if isinstance(files, str | Path) else files or [])]
    if not given:
        raise ValueError("Upload a saved map first: the v.zip that Keep makes, or model.safetensors and config.json.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file in given:
            _put(file, folder)
        if not (folder / MODEL_FILE).is_file():
            raise ValueError(f"There is no {MODEL_FILE} in {', '.join(file.name for file in given)[:200]}.")
        v = VizAE.from_pretrained(folder)
    check_amount(len(v.points), v.latent_shape)
    m = LatentMap(v, f_d)  # whether they fit
    m.render(v.points[:1])
    words = quality(v) + " Its codes are as the map keeps them."
    return FittedMap(f"{len(v.points):,} codes of {name}, a saved map", m, None, v.labels, words)


def _put(file: Path, folder: Path) -> None:
    """A file of a map into a folder, under its own name; of a zip those that lie in it at any depth."""
    if file.suffix.lower() != ".zip":
        if file.name in (MODEL_FILE, CONFIG_FILE):
            shutil.copy(file, folder / file.name)
        return
    try:
        with zipfile.ZipFile(file) as archive:
            for inside in archive.infolist():
                name = inside.filename.rsplit("/", 1)[-1]
                if name not in (MODEL_FILE, CONFIG_FILE):
                    continue
                if inside.file_size > MOST_BYTES:
                    raise ValueError(f"{name} in {file.name} has {inside.file_size / 1e6:,.0f} MB; 268 MB are taken.")
                with archive.open(inside) as source, (folder / name).open("wb") as target:
                    target.write(source.read(MOST_BYTES))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{file.name} cannot be read as a zip: {error}.") from error
