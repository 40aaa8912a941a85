"""Judge the generators of the zoo on real test images, and write the table of their scores and a sheet of each.

    python -m latent_vizae.demos.zoo.scores                      # the checkpoints in demos/zoo
    python -m latent_vizae.demos.zoo.scores --trained out/zoo    # first take what train_zoo left in out/zoo/NAME
    python -m latent_vizae.demos.zoo.scores linear gan           # these only; the scores of the others stay

Needs MNIST, and Fashion-MNIST for two of them (see `data`), and a classifier of digits, `LENET`. A minute a
generator on one core. ``demos/zoo/scores.json`` has every figure, ``demos/zoo/README.md`` the table of them,
``demos/pictures/zoo`` the sheets.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from latent_vizae import load_decoder
from latent_vizae.adapters.zoo import Autoencoder, LinearAutoencoder, ZooGenerator
from latent_vizae.demos.zoo.data import SHARED, as_input, framed, load_images, some
from latent_vizae.demos.zoo.loop import save_sheet
from latent_vizae.demos.zoo.measures import (
    PCA,
    LeNet,
    classes_seen,
    frechet_distance,
    inception_score,
    pca,
    precision_recall,
)
from latent_vizae.demos.zoo.shelf import BUNDLED, PICTURES, SCORES, SHELF, TABLE, ZOO, page, sizes, take
from latent_vizae.measures.metrics import image_error
from latent_vizae.measures.realism import sliced_wasserstein, spread, unlikeness
from latent_vizae.storage.folder import MODEL_FILE, atomic_file

LENET = SHARED.parent / "models" / "mnist-lenet" / "lenet.pth"
DRAWS = 10_000


@functools.cache
def images_of(data: str) -> tuple[Tensor, Tensor]:
    """Training and test images, uint8, read once."""
    return load_images(data)


@functools.cache
def components(data: str) -> PCA:
    """Principal components of the training images."""
    return pca(as_input(images_of(data)[0], "cpu"))


@functools.cache
def classifier() -> LeNet:
    """The classifier of digits.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not LENET.is_file():
        raise FileNotFoundError(f"Draws are judged by a classifier of digits, a state dict of LeNet-5: no {LENET}.")
    return LeNet.load(LENET)


def seen(images: Tensor) -> tuple[Tensor, Tensor]:
    """What the classifier makes of images (k, 1, S, S) in [0, 1], S of 28 or 32: features (k, 84), chances (k, 10)."""
    features = torch.cat([classifier().features(framed(part, 32)) for part in images.split(500)])
    return features, classifier().chances(features)


@functools.cache
def real_features() -> Tensor:
    """Of the test images of MNIST."""
    return seen(as_input(images_of("mnist")[1], "cpu"))[0]


def judged(images: Tensor) -> dict[str, float]:
    """Scores of images of digits (k, 1, S, S) in [0, 1]; all but the first two against MNIST's test images."""
    features, chances = seen(images)
    precision, recall = precision_recall(real_features(), features)
    return {
        "score": inception_score(chances),
        "classes": classes_seen(chances),
        "frechet": frechet_distance(features, real_features()),
        "precision": precision,
        "recall": recall,
    }


def reconstruction(generator: Autoencoder, data: str) -> dict[str, float]:
    """Errors of the test images that went through an autoencoder, beside those of a PCA with codes as long."""
    test, squares, nats = images_of(data)[1], 0.0, 0.0
    for part in test.split(500):
        x = as_input(part, "cpu")
        codes = generator.encode(x)
        squares += (generator.decode(codes) - x).square().sum().item() / test.numel()
        nats += generator.reconstruction(codes, x).item() * len(x) / len(test)
    likelihood = {} if isinstance(generator, LinearAutoencoder) else {"nats": nats}  # its loss is no likelihood
    lost = components(data).error(as_input(test, "cpu"), generator.latent_shape[0])
    return {"error": squares, "pca": lost} | likelihood


def copies_in_colour(generator: Autoencoder, data: str) -> dict[str, float]:
    """Errors of the images that were trained on and of those that were not, beside those of a PCA."""
    parts = [as_input(part, "cpu") for part in images_of(data)]
    flat = parts[0].flatten(1)
    mean = flat.mean(0)
    axes = torch.linalg.svd(flat - mean, full_matrices=False).Vh[: generator.latent_shape[0]].T
    scores = {}
    for ending, images in zip(("", "_variants"), parts, strict=True):
        again = torch.cat([generator(generator.encode(part)) for part in images.split(200)])
        rows = images.flatten(1) - mean
        linear = (rows @ axes @ axes.T + mean).clamp(0, 1).reshape(images.shape)
        scores |= {f"error{ending}": image_error(again, images), f"pca{ending}": image_error(linear, images)}
    return scores


def draws_in_colour(generator: ZooGenerator, data: str) -> dict[str, float]:
    """How like real images draws are, in units of how like one half of these is the other."""
    images = as_input(images_of(data)[0], "cpu")
    half = len(images) // 2
    order = some(images, len(images))
    one, other = order[:half], order[half : 2 * half]
    drawn = torch.cat([generator(part) for part in generator.sample(half, 0).split(200)])
    return {
        "patches": sliced_wasserstein(drawn, one) / sliced_wasserstein(other, one),
        "unlikeness": unlikeness(drawn, other, one),
        "spread": spread(drawn, one),
    }


@torch.no_grad()
def scores_of(generator: ZooGenerator, data: str) -> dict[str, Any]:
    """All that the table says of a generator's quality."""
    scores: dict[str, Any] = sizes(generator)
    if generator.image_shape[0] == 3:
        copies = copies_in_colour(generator, data) if isinstance(generator, Autoencoder) else {}
        return scores | copies | draws_in_colour(generator, data)
    if isinstance(generator, Autoencoder):
        scores |= reconstruction(generator, data)
    if hasattr(generator, "sample") and data == "mnist":
        codes = generator.sample(DRAWS, 0)
        scores |= judged(torch.cat([generator(part) for part in codes.split(500)]))
    return scores


def update(
    name: str,
    trained: Path | None,
    scores: dict[str, Any],
    say: Callable[[str], object],
    options: dict[str, Any] | None = None,
) -> None:
    """Score one generator and draw its sheet, if its weights are here; else leave what there is."""
    data = ZOO[name].data if name in ZOO else "mnist"
    if name in ZOO and trained is not None and (trained / name / "generator").is_dir():
        scores[name] = take(name, trained / name)
    if name in BUNDLED:
        generator = load_decoder(BUNDLED[name]).autoencoder
    else:
        here = [SHELF / name] if (SHELF / name / MODEL_FILE).is_file() else []
        here += [trained / name / "generator"] if trained is not None else []
        if not here or not here[0].is_dir():
            say(f"{name}: no weights here; its scores stay as they are")
            return
        generator = load_decoder(f"hub:{here[0]}", **(options or {}))
    known = scores.get(name, {})
    kept = {key: known[key] for key in ("steps", "seconds", "threads") if key in known}
    measured = scores_of(generator, data)
    scores[name] = kept | {key: round(x, 6) if isinstance(x, float) else x for key, x in measured.items()}
    say(json.dumps({name: scores[name]}))
    PICTURES.mkdir(parents=True, exist_ok=True)
    test = as_input(framed(some(images_of(data)[1], 500), generator.image_shape[-1]), "cpu")
    save_sheet(generator, test, PICTURES / f"{name}.png")
    with Image.open(PICTURES / f"{name}.png") as sheet:  # grey, or a palette: half the size
        kept = sheet.convert("L") if generator.image_shape[0] == 1 else sheet.convert("RGB").quantize(256)
        kept.save(PICTURES / f"{name}.png", optimize=True)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, take, score, draw, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*ZOO, "bundled"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; by default all")
    parser.add_argument("--trained", type=Path, help="folder with what train_zoo left, in NAME each")
    parser.add_argument("--taef2", help="folder or repository of TAEF2 for emoji-latents, by default from the Hub")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))} in the zoo")
    scores = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.is_file() else {}
    try:
        if not given.names or "real" not in scores:
            real = judged(as_input(some(images_of("mnist")[0], DRAWS), "cpu"))
            scores["real"] = {key: round(value, 6) for key, value in real.items()}
        for name in given.names or names:
            update(name, given.trained, scores, print, {"taef2": given.taef2} if name == "emoji-latents" else {})
    except (ValueError, FileNotFoundError, ImportError) as error:
        raise SystemExit(str(error)) from error
    finally:
        ordered = {name: scores[name] for name in ("real", *names) if name in scores}
        with atomic_file(SCORES) as partial:
            rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in ordered.items())
            partial.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")
        with atomic_file(TABLE) as partial:
            partial.write_text(page(ordered), encoding="utf-8")


if __name__ == "__main__":
    main()
