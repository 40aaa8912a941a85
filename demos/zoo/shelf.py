"""The trained zoo: what there is, how it was made, what of it ships in ``demos/zoo``, and the page about it.

Weights ship in half precision: of the range [0, 1] a pixel changes by at most 0.003, StyleGAN's by 0.02 (the mean is
below 1e-4), and errors by less than the table shows. They take at most 16 MB, are in the repository and not in the
wheel. What does not fit is made again by its command.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from latent_vizae import load_decoder
from latent_vizae.adapters.zoo import ZooGenerator
from latent_vizae.demos.zoo.recipes import RECIPES
from latent_vizae.storage.folder import MODEL_FILE

SHELF = Path(__file__).resolve().parent
SCORES, TABLE = SHELF / "scores.json", SHELF / "README.md"
PICTURES = SHELF.parent / "pictures" / "zoo"
MOST_BYTES = 16_000_000


@dataclass(frozen=True)
class Made:
    """How a generator is made: a recipe of `train_zoo`, its data, arguments; whether its weights ship."""

    recipe: str
    data: str = "mnist"
    config: dict[str, Any] = field(default_factory=dict)
    ships: bool = True

    def command(self, name: str) -> str:
        """What makes it again."""
        config = f" --config '{json.dumps(self.config)}'" if self.config else ""
        return f"python -m latent_vizae.demos.train_zoo {self.recipe} --data {self.data}{config} --out out/zoo/{name}"


BUNDLED = {"bundled": "mnist", "emoji": "emoji"}
"""Generators that come with the package, by the name that `load_decoder` takes."""

ZOO = {
    "linear": Made("linear"),
    "stacked": Made("stacked", ships=False),
    "stacked-tied": Made("stacked-tied"),
    "stacked-pretrained": Made("stacked-pretrained", ships=False),
    "conv-fashion": Made("convolutional", "fashion-mnist"),
    "recurrent": Made("recurrent"),
    "denoising": Made("denoising"),
    "denoising-dropout": Made("denoising-dropout", ships=False),
    "sparse": Made("sparse"),
    "sparse-l1": Made("sparse-l1", ships=False),
    "variational": Made("variational"),
    "beta": Made("beta", ships=False),
    "emoji": Made("convolutional-vae", "emoji", ships=False),
    "emoji-latents": Made("latent-vae", "emoji"),
    "emoji-gan": Made("colour-gan", "emoji"),
    "vae2-fashion": Made("variational", "fashion-mnist", {"latent_size": 2}),
    "table1": Made("table1", ships=False),
    "gan": Made("gan"),
    "dcgan": Made("dcgan"),
    "progressive": Made("progressive"),
    "stylegan": Made("stylegan"),
}
"""Of twins the smaller one ships, or the one that its lesson needs; "emoji" is bundled with the package instead."""


PAGE = """# The zoo

One generator of every family, trained on real images on one or two cores of a CPU, each by one command. They open
with `load_decoder("hub:demos/zoo/NAME")`, with `load_decoder("mnist")` the `bundled` one, the paper's f trained
longer than `table1`, and with `load_decoder("emoji")` the one in colour; `fit` and `LatentMap` take all of them as
they are. Weights are in half precision, {size:.1f} MB in all. Names lead to sheets of images.

Written by `python -m latent_vizae.demos.zoo.scores`, from `scores.json`.

## Autoencoders: what comes back

| name | data | code | parameters, decoder + encoder | minutes | mean squared error | PCA's | nats |
|---|---|---|---|---|---|---|---|
{copies}

- *Parameters*: weights that both use (tied ones) count as the encoder's.
- *Minutes*: of training, by the clock: with one thread beside other work, or, where it says so, with two on two
  idle cores.
- *Mean squared error*: per pixel in [0, 1], over the 10,000 test images.
- *PCA's*: the same through a principal component analysis of the 60,000 training images with codes as long, the best
  linear one; a code as long as the image loses nothing.
- *Nats*: binary cross-entropy of the test images, summed over pixels, mean over images.

## In colour

| name | data | code | parameters | minutes | error | PCA's | of variants | PCA's | patches | unlikeness | spread |
|---|---|---|---|---|---|---|---|---|---|---|---|
{colour}

Trained on the 1,854 emoji without a skin tone, all of them, so that each has its place on a map. `emoji-latents` makes
latents of TAEF2, whose pretrained decoder (1.35 M parameters more) makes the image; TAEF2 comes from the Hub, or with
`load_decoder(..., taef2=FOLDER)` from there.

- *Error*: mean square per pixel in [0, 1], over these 1,854; *of variants*: over the 1,520 variants by skin tone,
  which were not trained on. *PCA's*: the same through a principal component analysis of the 1,854, codes as long.
- *Patches*: sliced Wasserstein distance of the patches of 900 draws from the prior from those of 900 emoji (Karras et
  al. 2018), divided by that between two halves of the emoji; 1 is best.
- *Unlikeness*: distance of draws to the nearest of one half of the emoji, divided by that of the other half; *spread*:
  mean distance between two draws, divided by that between two emoji. 1 is as the emoji are.

1,854 pictures of nearly as many things are few: codes of emoji and paths between them are clear, and sharp through
TAEF2; draws from the prior are shapes and colours of emoji that are none, those of the GAN (with differentiable
augmentation, Zhao et al. 2020) the nearest to them. Sharp is not near: an edge that is a pixel
off costs more than a blur, so that `emoji-latents` has larger errors than `emoji`, most of all where it was not
trained.

## Draws from the prior: what codes give that no image was encoded to

| name | data | code | parameters, decoder + encoder | minutes | score | classes | distance | precision | recall |
|---|---|---|---|---|---|---|---|---|---|
{draws}

Of 10,000 draws, seen by a pretrained LeNet-5 that tells digits. The first row is 10,000 real images. Smooth draws
without detail can be more precise than those, and then recall is lost. Formulas and sources: `demos/zoo/measures.py`.

- *Score*: the inception score with this classifier: 1, all alike, to 10, each a digit beyond doubt, all as frequent.
- *Classes*: how many digits there seem to be; 10 if all are equally frequent.
- *Distance*: Frechet's, of the 84 numbers before the last layer, from those of the 10,000 test images; 0 best.
- *Precision*: share of the draws that lie where real digits lie. *Recall*: share of real digits that lie where draws
  lie.

## Made by

```
{commands}
```

All in half precision are more than 16 MB. These are left to their commands, most of them twins of one that ships:
{left}.
"""


def sizes(generator: ZooGenerator) -> dict[str, Any]:
    """Numbers of a code, and parameters of the decoder and, where there is one, of the encoder.

    Weights that both use (`StackedAutoencoder`, tied) count as the encoder's.
    """
    encoder = sum(weight.numel() for weight in getattr(generator, "encoder", torch.nn.Identity()).parameters())
    decoder = sum(weight.numel() for weight in generator.parameters()) - encoder
    return {"code": generator.latent_shape[0], "decoder": decoder, "encoder": encoder}


def take(name: str, trained: Path) -> dict[str, Any]:
    """Put what a training left on the shelf, if it ships, and say how long it took.

    Args:
        name: of `ZOO`.
        trained: the ``--out`` of its command, trained to the end.

    Returns:
        "steps", "seconds" and "threads" of the training; the threads it had at last, if it was resumed.

    Raises:
        FileNotFoundError: it is not all there.
        ValueError: it is another training than the recipe's.
    """
    made = ZOO[name]
    recipe = RECIPES[made.recipe]
    generator = load_decoder(f"hub:{trained / 'generator'}")
    with torch.device("meta"):
        wanted = recipe.architecture(**recipe.config | made.config)
    last = json.loads((trained / "losses.json").read_text(encoding="utf-8"))[-1]
    trained_as = (type(generator).__name__, generator.config, last["step"])
    asked = (type(wanted).__name__, wanted.config, recipe.plan.steps)
    if trained_as != asked:
        raise ValueError(f"{trained} is not what `{made.command(name)}` makes: {trained_as} instead of {asked}.")
    if made.ships:
        generator.save_pretrained(SHELF / name, half=True)
    return {"steps": last["step"], "seconds": last["seconds"], "threads": last.get("threads", 1)}


def _cells(*values: Any) -> str:
    return "| " + " | ".join("-" if value is None else str(value) for value in values) + " |"


def _shown(row: dict[str, Any], key: str, form: str) -> str | None:
    return format(row[key], form) if key in row else None


def _facts(name: str, row: dict[str, Any]) -> list[Any]:
    """Name, data, size of a code, parameters, minutes: the first cells of a row."""
    both = f"{row['decoder']:,}" + (f" + {row['encoder']:,}" if row["encoder"] else "")
    minutes = f"{row['seconds'] / 60:.1f}" if "seconds" in row else None
    if row.get("threads", 1) > 1:
        minutes = f"{minutes}, {row['threads']} threads"
    shown = f"[{name}](../pictures/zoo/{name}.png)"
    return [shown, ZOO[name].data if name in ZOO else "mnist", row["code"], both, minutes]


def page(scores: dict[str, dict[str, Any]]) -> str:
    """``demos/zoo/README.md``: every figure of it comes from the scores and from the files on the shelf."""
    copies = [
        _cells(
            *_facts(name, row),
            *(_shown(row, key, form) for key, form in (("error", ".5f"), ("pca", ".5f"), ("nats", ".1f"))),
        )
        for name, row in scores.items()
        if "error" in row and "patches" not in row
    ]
    draws = [
        _cells(
            *(_facts(name, row) if name in ZOO else ["training images of MNIST", *[None] * 4]),
            *(_shown(row, key, ".2f") for key in ("score", "classes", "frechet", "precision", "recall")),
        )
        for name, row in scores.items()
        if "score" in row
    ]
    ships = [name for name in ZOO if (SHELF / name / MODEL_FILE).is_file()]
    colour = [
        _cells(
            *_facts(name, row),
            *(_shown(row, key, ".5f") for key in ("error", "pca", "error_variants", "pca_variants")),
            *(_shown(row, key, ".2f") for key in ("patches", "unlikeness", "spread")),
        )
        for name, row in scores.items()
        if "patches" in row
    ]
    size = sum((SHELF / name / MODEL_FILE).stat().st_size for name in ships) / 1e6
    commands = "\n".join(made.command(name) for name, made in ZOO.items())
    left = ", ".join(f"`{name}`" for name in ZOO if name not in ships and name not in BUNDLED)
    return PAGE.format(
        copies="\n".join(copies),
        colour="\n".join(colour),
        draws="\n".join(draws),
        commands=commands,
        size=size,
        left=left,
    )
