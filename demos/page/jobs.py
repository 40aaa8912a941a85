"""What a visitor sets going: gather codes, place a picture, fit, load and pack a map; bounded."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from latent_vizae import Directions, LatentMap, VizAE, certify, encode_images, fit
from latent_vizae.cli.files import read_codes
from latent_vizae.demos.page.fitted import FittedMap, quality
from latent_vizae.demos.page.hub import Decoders, check_amount, fetch_named
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pictures import as_digit, images_for_page, open_picture
from latent_vizae.maps.certificate import Certificate

__all__ = ["certified", "fit_map", "gather_codes", "load_map", "pack", "place_picture", "start_map"]

START = Path(__file__).parent / "start"
MOST_CODES = 20_000


def place_picture(maps: Maps, map_id: str, picture: Image.Image) -> dict[str, Any]:
    """Encode a picture and pin it on a map."""
    f_d = maps.get(map_id).latent_map.decoder
    code = encode_images(f_d, [as_digit(picture) if f_d is maps.start.latent_map.decoder else picture])
    pin = maps.pin(map_id, code)
    return {"id": pin.id, "point": pin.point, "image": images_for_page(f_d, code)}


def gather_codes(
    f_d: Any, source: str, *, labels: list[int] | None = None, count: int = 500, seed: int = 0, files: Any = None
) -> tuple[Tensor, Tensor | None]:
    """Codes, and labels where there are any.

    Args:
        f_d: the decoder.
        source: "examples" of the decoder, "prior", "codes" in a file, or "pictures".
        labels: of the examples; None or [] for all.
        count: at most 20,000.
        seed: of what is drawn.
        files: one file of codes, or pictures.

    Raises:
        ValueError: the decoder has none of these, the files are no such thing, or it is too much.
    """
    if not 1 <= count <= MOST_CODES:
        raise ValueError(f"Between 1 and {MOST_CODES:,} codes can be mapped here, got {count}.")
    if source == "examples":
        if not hasattr(f_d, "examples"):
            raise ValueError("This decoder brings no examples: take samples of its prior, or upload pictures.")
        codes, known = f_d.examples(seed=seed)
        wanted = torch.isin(known, torch.tensor(labels)) if labels else torch.ones(len(codes), dtype=torch.bool)
        codes, known = codes[wanted][:count], known[wanted][:count]
        if len(codes) == 0:
            raise ValueError("There are no examples with these labels.")
        return codes, known
    if source == "prior":
        if not hasattr(f_d, "sample"):
            raise ValueError("This decoder has no prior to draw from: upload pictures or codes.")
        check_amount(count, f_d.latent_shape)
        return f_d.sample(count, seed), None
    files = [files] if isinstance(files, str | Path) else list(files or [])
    if not files:
        raise ValueError("Upload a file first.")
    if source == "codes":
        codes, known = read_codes(Path(files[0]))
        check_amount(len(codes), codes.shape[1:])
        return codes[:count], None if known is None else known[:count]
    if source == "pictures":
        check_amount(min(count, len(files)), f_d.latent_shape)
        return encode_images(f_d, (open_picture(file) for file in files[:count])), None
    raise ValueError(f"Codes are examples, prior, codes or pictures, got {source!r}.")


def fit_map(
    f_d: Any,
    codes: Tensor,
    labels: Tensor | None,
    dim: int,
    seed: int,
    progress: Callable[[int, int, str], object],
    title: str,
) -> FittedMap:
    """Fit a map; ``progress(step, steps, title)`` raises KeyboardInterrupt to stop it, and the best so far comes."""
    v = fit(codes, f_d, dim, labels=labels, seed=seed, progress=progress)
    stopped = " Stopped early: the best map so far." if v.report is not None and v.report.interrupted else ""
    return FittedMap(title, LatentMap(v, f_d), codes.cpu(), labels, quality(v) + stopped)


def load_map(decoders: Decoders, name: Any, token: str | bool = False) -> FittedMap:
    """A map of the Hub, with its decoder.

    Args:
        decoders: kept ones.
        name: ``user/name``.
        token: of the visitor; False for none. Never that of the one who runs the page.

    Raises:
        ValueError: ``name`` is no id of a repository, or what is there is no map with a decoder of the Hub, or it
            is too large.
    """
    text, folder = fetch_named(name, "A map of the Hub is", token)
    v = VizAE.from_pretrained(folder)
    if v.source is None:
        raise ValueError(f"The map {text} names no decoder, so it has no images.")
    check_amount(len(v.points), v.latent_shape)
    f_d = decoders.get(v.source, **v.source_options)
    codes = v.decode(v.points)
    return FittedMap(text, LatentMap(v, f_d), codes, v.labels, quality(v) + " Its codes are as the map keeps them.")


def start_map(f_d: Any) -> FittedMap:
    """The map of the first page: 2,000 codes of all digits, fitted beforehand."""
    codes, labels = f_d.examples(count=2000, seed=0)
    v = VizAE.from_pretrained(START)
    return FittedMap("2,000 handwritten digits", LatentMap(v, f_d), codes, labels, quality(v))


def plain_words(certificate: Certificate) -> str:
    """A certificate as Markdown."""
    signs = {"holds": "✓", "does not hold": "✗", "cannot hold": "∅", "not known": "?"}
    return "\n".join(f"- {signs[verdict]} **{verdict}**: {text}" for verdict, text in certificate.statements())


def certified(fitted: FittedMap) -> str:
    """The certificate of a map, in plain words."""
    return plain_words(certify(fitted.latent_map.v, fitted.latent_map.decoder, fitted.codes[:1]))


def pack(
    fitted: FittedMap, selection: dict[str, Any], maps: Any, folder: Path, directions: Directions | None = None
) -> list[str]:
    """Files of a map and of what is selected on it, in ``folder``: v, pictures, codes; and of directions."""
    made = [_zipped(fitted.latent_map.v.save_pretrained, folder, "v")]
    if directions is not None:
        made.append(_zipped(directions.save_pretrained, folder, "directions"))
    if selection.get("box"):
        samples = maps.grid_samples(fitted.id, {"box": selection["box"]})
        made += [samples.save(folder / "grid.png"), samples.save(folder / "grid-codes.safetensors")]
    if len(selection.get("corners") or []) > 1:
        samples = maps.path_samples(fitted.id, selection["corners"])
        made += [samples.save(folder / "path.gif"), samples.save(folder / "path-codes.safetensors")]
    return [str(path) for path in made]


def _zipped(save: Callable[[Path], object], folder: Path, name: str) -> Path:
    """The zip ``folder/name.zip`` of what ``save`` writes into a folder."""
    save(folder / name)
    archive = folder / f"{name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in sorted((folder / name).iterdir()):
            file.write(path, f"{name}/{path.name}")
    return archive
