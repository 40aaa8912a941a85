"""Train a generator of the zoo: an autoencoder, or a GAN.

    python -m demos.train_zoo NAME --data mnist
    python -m demos.train_zoo convolutional --data fashion-mnist

Each takes at most 20 minutes on two CPU cores. Stop it whenever you like with Ctrl-C; the same command goes on. In
the folder ``out/zoo/NAME-DATA``, or ``--out``, are then ``generator`` (``load_decoder("hub:FOLDER/generator")``),
``samples.png``, ``losses.json`` and the state. For the paper's f, ``table1``, ``train_mnist.py`` gets further: it
takes longer, and another optimiser.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from latent_vizae.adapters import zoo
from latent_vizae.demos.zoo_data import framed, load_images
from latent_vizae.demos.zoo_loop import Stop, train
from latent_vizae.demos.zoo_training import Plan, build


@dataclass(frozen=True)
class Recipe:
    """An architecture, its arguments, and how it is trained."""

    architecture: type[zoo.ZooGenerator]
    plan: Plan
    config: dict[str, Any] = field(default_factory=dict)


GAME = {"batch_size": 64, "rate": 2e-4, "betas": (0.5, 0.999)}
PENALISED = {"batch_size": 64, "rate": 1e-3, "betas": (0.0, 0.99), "r1": 1.0}
GROWING = {"batch_size": 32, "rate": 2e-3, "betas": (0.0, 0.99), "r1": 1.0}

RECIPES = {
    "linear": Recipe(zoo.LinearAutoencoder, Plan(6_000)),
    "stacked": Recipe(zoo.StackedAutoencoder, Plan(12_000)),
    "stacked-tied": Recipe(zoo.StackedAutoencoder, Plan(12_000), {"tied": True}),
    "stacked-pretrained": Recipe(zoo.StackedAutoencoder, Plan(12_000), {"pretrain": 0.3}),
    "convolutional": Recipe(zoo.ConvolutionalAutoencoder, Plan(5_000)),
    "recurrent": Recipe(zoo.RecurrentAutoencoder, Plan(5_000, rate=2e-3)),
    "denoising": Recipe(zoo.DenoisingAutoencoder, Plan(7_000)),
    "denoising-dropout": Recipe(zoo.DenoisingAutoencoder, Plan(7_000), {"noise": "dropout", "amount": 0.5}),
    "sparse": Recipe(zoo.SparseAutoencoder, Plan(12_000)),
    "sparse-l1": Recipe(zoo.SparseAutoencoder, Plan(12_000), {"penalty": "l1", "weight": 0.5}),
    "variational": Recipe(zoo.VariationalAutoencoder, Plan(12_000)),
    "beta": Recipe(zoo.VariationalAutoencoder, Plan(12_000), {"beta": 4.0}),
    "table1": Recipe(zoo.Table1Autoencoder, Plan(4_000, rate=2e-3)),
    "gan": Recipe(zoo.PlainGAN, Plan(20_000, **GAME)),
    "dcgan": Recipe(zoo.DCGAN, Plan(6_000, **PENALISED)),
    "progressive": Recipe(zoo.ProgressiveGAN, Plan(5_500, **GROWING)),
    "stylegan": Recipe(zoo.StyleGAN, Plan(3_000, **GROWING)),
}


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES, metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--data", default="mnist", help="mnist, fashion-mnist, or a folder of idx files")
    parser.add_argument("--out", type=Path, help="folder for the results; by default out/zoo/NAME-DATA")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--batch-size", type=int, help="instead of the recipe's")
    parser.add_argument("--config", type=json.loads, default={}, help="arguments of the architecture, as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(arguments)
    recipe = RECIPES[given.name]
    asked = {"steps": given.steps, "batch_size": given.batch_size}
    plan = replace(recipe.plan, **{key: value for key, value in asked.items() if value is not None})
    out = given.out or Path("out", "zoo", f"{given.name}-{Path(given.data).name}")
    out.mkdir(parents=True, exist_ok=True)
    try:
        model = build(recipe.architecture, recipe.config | given.config, given.seed, given.device)
        images, test = (framed(part, model.image_shape[-1]) for part in load_images(given.data))
        stop = Stop()
        with stop.on_interrupt():
            _, rows = train(model, plan, images, test, out, seed=given.seed, stop=stop)
    except (ValueError, TypeError, FileNotFoundError, ImportError) as error:
        raise SystemExit(f"{given.name}: {error}") from error
    if stop():
        print("Stopped; the same command goes on.")
    elif rows:
        print(f"Done in {rows[-1]['seconds']:.0f} s: {json.dumps(rows[-1])}")
    print(f'load_decoder("hub:{out / "generator"}")')


if __name__ == "__main__":
    main()
