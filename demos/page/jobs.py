"""What a visitor sets going: place a picture, fit, measure, load and pack a map."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from latent_vizae import Directions, LatentMap, VizAE, certify, encode_images, fit
from latent_vizae.demos.page.fitted import FittedMap, quality
from latent_vizae.demos.page.gathering import Gathered
from latent_vizae.demos.page.hub import Decoders, check_amount, fetch_named
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pacing import LOOKED_AT, Pacing
from latent_vizae.demos.page.pictures import as_digit, images_for_page
from latent_vizae.demos.page.plans import Plan

__all__ = ["Progress", "fit_map", "load_map", "mapped", "pack", "place_picture", "trust", "trust_in_words"]

Progress = Callable[[int, int, str], object]
"""Called as ``(step, steps, title)``; raises KeyboardInterrupt to stop what goes on."""


def place_picture(maps: Maps, map_id: str, picture: Image.Image) -> dict[str, Any]:
    """Encode a picture and pin it on a map."""
    f_d = maps.get(map_id).latent_map.decoder
    bundled = getattr(f_d, "source", None) == "mnist"
    code = encode_images(f_d, [as_digit(picture) if bundled else picture])
    pin = maps.pin(map_id, code)
    return {"id": pin.id, "point": pin.point, "image": images_for_page(f_d, code)}


def fit_map(f_d: Any, gathered: Gathered, dim: int, seed: int, progress: Progress) -> FittedMap:
    """Fit a map; where ``progress`` raises KeyboardInterrupt, the best so far comes."""
    v = fit(gathered.codes, f_d, dim, labels=gathered.labels, seed=seed, progress=progress)
    return mapped(f_d, v, gathered)


def mapped(f_d: Any, v: VizAE, gathered: Gathered) -> FittedMap:
    """A map with what the page shows of it."""
    stopped = " Stopped early: the best map so far." if v.report is not None and v.report.interrupted else ""
    return FittedMap(gathered.title, LatentMap(v, f_d), gathered.codes.cpu(), v.labels, quality(v) + stopped)


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
    return FittedMap(
        text, LatentMap(v, f_d), None, v.labels, quality(v) + " Its codes are as the map keeps them.", name=text
    )


def trust(fitted: FittedMap, progress: Progress) -> dict[str, Any] | None:
    """The certificate of a map as plain numbers and words: statements (verdict and text), round-trip errors.

    Of a slow decoder, ``progress(step, steps, title)`` counts images; where it raises KeyboardInterrupt, the result is
    None.
    """
    try:
        v, f_d = fitted.latent_map.v, fitted.latent_map.decoder
        found = certify(v, f_d, fitted.codes_at(slice(1)), progress=progress)
    except KeyboardInterrupt:
        return None
    said = [{"verdict": verdict, "text": text} for verdict, text in found.statements()]
    return {"statements": said, "round_trip_rms": found.round_trip_rms, "round_trip_max": found.round_trip_max}


def trust_in_words(found: dict[str, Any]) -> str:
    """Statements of `trust` as Markdown."""
    signs = {"holds": "✓", "does not hold": "✗", "cannot hold": "∅", "not known": "?"}
    return "\n".join(f"- {signs[one['verdict']]} **{one['verdict']}**: {one['text']}" for one in found["statements"])


def pack(
    fitted: FittedMap,
    selection: dict[str, Any],
    maps: Maps,
    folder: Path,
    directions: Directions | None = None,
    progress: Progress = lambda *_: None,
) -> list[str]:
    """Files of a map and of what is shown beside it, in ``folder``: v, directions, pictures and codes.

    Args:
        fitted: the map.
        selection: the map's last event; its ``shown`` says which grid (``region, rows, cols``), which film (``path,
            frames``), with the residual of which ``pin`` or with which ``detail``, what was drawn (``draws``, a point
            and a seed), and which ``pins`` there are.
        maps: of the page.
        folder: for the files.
        directions: that were found for it.
        progress: called as ``(step, steps, title)`` while pictures are decoded; where it raises KeyboardInterrupt, the
            files that are there by then come.

    Raises:
        ValueError: a region, a path or a pin that is none of this map's.
    """
    made = [_zipped(fitted.latent_map.v.save_pretrained, folder, "v")]
    if directions is not None:
        made.append(_zipped(directions.save_pretrained, folder, "directions"))
    shown = selection.get("shown")
    shown = shown if isinstance(shown, dict) and selection.get("id") == fitted.id else {}
    plans = _plans(fitted, shown, maps)
    even = "path" in plans and _pace_of(shown) == "constant"
    looks = LOOKED_AT * len(plans["path"].codes) if even else 0
    done, count = 0, looks + sum(len(plan.codes) for plan in plans.values())

    def told(images: int) -> None:
        nonlocal done
        done += images
        progress(min(done, count), count, "decode pictures")

    with suppress(KeyboardInterrupt):
        for name, plan in plans.items():
            if name == "path" and even:
                after = done + looks
                plan = _path_plan(fitted, shown, maps, "constant", Pacing(fitted.latent_map.decoder, {}, told=told))
                done = after
            samples = plan.samples(told)
            made.append(samples.save(folder / f"{name}.{'gif' if name == 'path' else 'png'}"))
            made.append(samples.save(folder / f"{name}-codes.safetensors"))
            if name == "path":
                with suppress(ImportError, ValueError):  # without the extra "plot", or of sizes that no MP4 has
                    made.append(samples.save(folder / "path.mp4"))
    return [str(path) for path in made]


def _plans(fitted: FittedMap, shown: dict[str, Any], maps: Maps) -> dict[str, Plan]:
    """What is shown beside a map, by the names of its files; the path at even steps on the map."""
    carried, detail = shown.get("pin"), shown.get("detail")
    plans = {}
    if shown.get("region"):
        region, rows, columns = shown["region"], shown.get("rows"), shown.get("cols")
        plans["grid"] = maps.grid_plan(fitted.id, region, rows, columns, carried, detail)
    if isinstance(drawn := shown.get("draws"), list) and len(drawn) == 2:
        plans["draws"] = maps.draws_plan(fitted.id, *drawn)
    if shown.get("path"):
        pace = _pace_of(shown)
        plans["path"] = _path_plan(fitted, shown, maps, "linear" if pace == "constant" else pace)
    if shown.get("pins"):
        plans["pins"] = maps.pins_plan(fitted.id, shown["pins"])
    return plans


def _pace_of(shown: dict[str, Any]) -> Any:
    return shown.get("pace", "constant")


def _path_plan(fitted: FittedMap, shown: dict[str, Any], maps: Maps, pace: Any, asked: Pacing | None = None) -> Plan:
    corners, frames = shown["path"], shown.get("frames")
    return maps.path_plan(fitted.id, corners, frames, shown.get("pin"), shown.get("detail"), pace, asked)


def _zipped(save: Callable[[Path], object], folder: Path, name: str) -> Path:
    """The zip ``folder/name.zip`` of what ``save`` writes into a folder."""
    save(folder / name)
    archive = folder / f"{name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in sorted((folder / name).iterdir()):
            file.write(path, f"{name}/{path.name}")
    return archive
