"""Judge and draw the flow of emoji that ``train_zoo flow-emoji`` made, and put it into the guide's page on pipelines.

    python -m latent_vizae.demos.train_zoo flow-emoji --out out/zoo/flow-emoji
    python -m latent_vizae.demos.gallery.flow out/zoo/flow-emoji

A few minutes on one core. What it measures goes between the marks of the page, pictures to ``demos/pictures/flow``.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from latent_vizae import LatentMap, VizAE, fit, load_decoder
from latent_vizae.demos.zoo.data import SHARED
from latent_vizae.demos.zoo.emoji import Emoji, read_emoji
from latent_vizae.demos.zoo.flow import SIDE, at_32_pixels, halves_of
from latent_vizae.measures.realism import sliced_wasserstein, spread, unlikeness
from latent_vizae.pictures.map import mosaic
from latent_vizae.pictures.style import caption, new_figure, save_figure
from latent_vizae.storage.folder import atomic_file

PAGE = Path(__file__).parents[1] / "guide" / "pipelines.md"
PICTURES = PAGE.parents[1] / "pictures" / "flow"
MARKS = re.compile(r"(?<=<!-- flow -->\n).*?(?=<!-- to here -->)", re.DOTALL)
WIDEST = 1000
CODES, SHAPE, BUDGET = 1000, (14, 14), "5min"
"""Codes of the map of noise, images of its picture, and most decoding of its fit."""


def scores(images: Tensor, known: Tensor, held_out: Tensor) -> list[float]:
    """Patches, unlikeness and spread of images (k, 3, 32, 32), as held-out ones (k, 3, 32, 32) have 1 or 0.

    Patches are `sliced_wasserstein`, divided by that of as many of the known ones (N, 3, 32, 32), N at least k.
    """
    rows = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[: len(held_out)]
    own = sliced_wasserstein(known[rows], held_out)
    patches = sliced_wasserstein(images, held_out) / own
    return [patches, unlikeness(images, held_out, known), spread(images, held_out)]


def draws(pipelines: list[Any], groups: Tensor) -> Tensor:
    """An image (k, 3, 32, 32) of new noise for each of k groups (k,), by the decoder of its group."""
    codes = pipelines[0].sample(len(groups), seed=0)
    images = torch.empty(len(groups), 3, SIDE, SIDE)
    for group, f_d in enumerate(pipelines):
        if (rows := groups == group).any():
            images[rows] = f_d(codes[rows])
    return images


def table(pipelines: list[Any], emoji: Emoji) -> str:
    """Rows of the flow, of the VAE of emoji, and of emoji themselves."""
    known, others = halves_of(emoji)
    small = at_32_pixels(emoji.images)
    images = {"`flow-emoji`, noise and group of each": draws(pipelines, emoji.groups[others])}
    vae = load_decoder("emoji")
    images["`emoji`, the VAE, at 32 pixels"] = avg_pool2d(vae(vae.sample(len(others), 0)), 64 // SIDE)
    rows = torch.randperm(len(known), generator=torch.Generator().manual_seed(1))[: len(others)]
    images["emoji that were trained on"] = small[known[rows]]
    lines = ["| draws | patches | unlikeness | spread |", "|---|---|---|---|"]
    for name, shown in images.items():
        cells = " | ".join(f"{value:.2f}" for value in scores(shown, small[known], small[others]))
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def draw_maps(v: VizAE, pipelines: list[Any], names: list[str], folder: Path) -> None:
    """Pictures of a map of noise: the sheet, with detail, and the same places in each group."""
    figure, cells = new_figure(12, 6.3, 1, 2)
    m = LatentMap(v, pipelines[-1])
    for cell, amount, text in zip(cells, (0.0, 1.0), ("the sheet alone", "with detail"), strict=True):
        v.detail = amount
        mosaic(cell, m, SHAPE)
        caption(cell, text)
    save_figure(figure, folder / "noise.png")
    figure, cells = new_figure(12, 12.4, 3, 3)
    for cell, f_d, name in zip(cells, pipelines, names, strict=False):
        mosaic(cell, LatentMap(v, f_d), (6, 6))
        caption(cell, name)
    save_figure(figure, folder / "groups.png")


@torch.no_grad()
def judged(trained: Path, emoji: Emoji, folder: Path) -> str:
    """What the page says of a trained flow; its pictures go to a folder."""
    reference = f"diffusers-pipeline:{trained / 'pipeline'}"
    pipelines = [load_decoder(reference, label=label) for label in range(len(emoji.group_names) + 1)]
    f_d = pipelines[-1]
    v = fit(f_d.sample(CODES, seed=0), decoder=f_d, detail=1.0, budget=BUDGET)
    draw_maps(v, pipelines, emoji.group_names, folder)
    last = json.loads((trained / "losses.json").read_text(encoding="utf-8"))[-1]
    weights = sum(tensor.numel() for tensor in f_d.state_dict().values())
    size = sum(path.stat().st_size for path in (trained / "pipeline").rglob("*") if path.is_file()) / 1e6
    typical = "" if v.report is None else v.report.typicality()
    return (
        f"{weights:,} parameters, {size:.1f} MB in half precision; {last['step']:,} steps of training, "
        f"{last['seconds'] / 60:.0f} min on a share of one core.\n\n{table(pipelines, emoji)}\n\n"
        f"The map of {CODES:,} codes of noise: {typical}.\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, measure, draw, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path, help="what train_zoo left")
    parser.add_argument("--data", type=Path, default=SHARED / "emoji", help="folder with fluent-64.npz")
    given = parser.parse_args(arguments)
    try:
        emoji = read_emoji(given.data)
        with tempfile.TemporaryDirectory() as folder:
            said = judged(given.trained, emoji, Path(folder))
            PICTURES.mkdir(parents=True, exist_ok=True)
            for path in (Path(folder) / "noise.png", Path(folder) / "groups.png", given.trained / "samples.png"):
                picture = Image.open(path).convert("RGB")
                picture.thumbnail((WIDEST, 2 * WIDEST))
                picture.quantize(256).save(PICTURES / path.name, optimize=True)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    page = PAGE.read_text(encoding="utf-8")
    with atomic_file(PAGE) as partial:
        partial.write_text(MARKS.sub(lambda _: f"\n{said}\n", page), encoding="utf-8")
    print(said)


if __name__ == "__main__":
    main()
