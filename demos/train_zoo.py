"""Train a generator of the zoo: an autoencoder, a GAN, or a flow.

    python -m latent_vizae.demos.train_zoo NAME --data mnist
    python -m latent_vizae.demos.train_zoo convolutional --data fashion-mnist
    python -m latent_vizae.demos.train_zoo flow-emoji

Each takes at most 20 minutes on two CPU cores, those of emoji up to an hour. Stop it whenever you like with Ctrl-C;
the same command goes on. In the folder ``out/zoo/NAME-DATA``, or ``--out``, are then ``generator``
(``load_decoder("hub:FOLDER/generator")``), or of a flow ``pipeline``
(``load_decoder("diffusers-pipeline:FOLDER/pipeline")``), ``samples.png``, ``losses.json`` and the state. For the
paper's f, ``table1``, ``train_mnist.py`` gets further: it takes longer, and another optimiser.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from latent_vizae.demos.zoo.data import SHARED, framed, load_images
from latent_vizae.demos.zoo.emoji import read_emoji
from latent_vizae.demos.zoo.flow import FLOWS, FlowRecipe, train_flow
from latent_vizae.demos.zoo.loop import Stop, train
from latent_vizae.demos.zoo.recipes import RECIPES, Recipe
from latent_vizae.demos.zoo.training import build


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*RECIPES, *FLOWS]
    parser.add_argument("name", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--data", help="mnist, fashion-mnist, or a folder of idx files; a flow takes emoji")
    parser.add_argument("--out", type=Path, help="folder for the results; by default out/zoo/NAME-DATA")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--batch-size", type=int, help="instead of the recipe's")
    parser.add_argument("--config", type=json.loads, default={}, help="arguments of the architecture, as JSON")
    parser.add_argument("--taef2", help="for latent-vae: folder or repository of TAEF2, by default from the Hub")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(arguments)
    recipe: Recipe | FlowRecipe = (RECIPES | FLOWS)[given.name]
    data = given.data or ("emoji" if isinstance(recipe, FlowRecipe) else "mnist")
    asked = {"steps": given.steps, "batch_size": given.batch_size}
    plan = replace(recipe.plan, **{key: value for key, value in asked.items() if value is not None})
    name = given.name.removesuffix(f"-{Path(data).name}")
    out = given.out or Path("out", "zoo", f"{name}-{Path(data).name}")
    out.mkdir(parents=True, exist_ok=True)
    try:
        stop = Stop()
        with stop.on_interrupt():
            if isinstance(recipe, FlowRecipe):
                emoji = read_emoji(Path(data) if Path(data).is_dir() else SHARED / data)
                asked_for = replace(recipe, plan=plan, config=recipe.config | given.config)
                rows = train_flow(asked_for, emoji, out, seed=given.seed, device=given.device, stop=stop)
                opened = f"diffusers-pipeline:{out / 'pipeline'}"
            else:
                model = build(recipe.architecture, recipe.config | given.config, given.seed, given.device)
                model.options |= {} if given.taef2 is None else {"taef2": given.taef2}
                images, test = (framed(part, model.image_shape[-1]) for part in load_images(data))
                if images.shape[1] != model.image_shape[0]:
                    raise ValueError(
                        f"This architecture takes images of {model.image_shape[0]} channels, those of {data} have "
                        f"{images.shape[1]}. emoji are in colour (3), mnist and fashion-mnist are grey (1)."
                    )
                _, rows = train(model, plan, images, test, out, seed=given.seed, stop=stop)
                opened = f"hub:{out / 'generator'}"
    except (ValueError, TypeError, FileNotFoundError, ImportError) as error:
        raise SystemExit(f"{given.name}: {error}") from error
    if stop():
        print("Stopped; the same command goes on.")
    elif rows:
        print(f"Done in {rows[-1]['seconds']:.0f} s: {json.dumps(rows[-1])}")
    taef2 = "" if given.taef2 is None else f', taef2="{given.taef2}"'
    print(f'load_decoder("{opened}"{taef2})')


if __name__ == "__main__":
    main()
