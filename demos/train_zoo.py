"""Train a generator of the zoo: an autoencoder, or a GAN.

    python -m latent_vizae.demos.train_zoo NAME --data mnist
    python -m latent_vizae.demos.train_zoo convolutional --data fashion-mnist

Each takes at most 20 minutes on two CPU cores. Stop it whenever you like with Ctrl-C; the same command goes on. In
the folder ``out/zoo/NAME-DATA``, or ``--out``, are then ``generator`` (``load_decoder("hub:FOLDER/generator")``),
``samples.png``, ``losses.json`` and the state. For the paper's f, ``table1``, ``train_mnist.py`` gets further: it
takes longer, and another optimiser.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from latent_vizae.demos.zoo.data import framed, load_images
from latent_vizae.demos.zoo.loop import Stop, train
from latent_vizae.demos.zoo.recipes import RECIPES
from latent_vizae.demos.zoo.training import build


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
