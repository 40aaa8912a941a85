"""Put a trained generator of emoji, with the codes of all emoji, where ``load_decoder("emoji")`` finds them.

    python -m latent_vizae.demos.train_zoo convolutional-vae --data emoji --out out/zoo/emoji
    python -m latent_vizae.demos.zoo.bundle_emoji out/zoo/emoji

Weights and codes are stored in half precision; codes are those of the weights as they are stored.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from latent_vizae import load_decoder
from latent_vizae.adapters.emoji import CODES, DATA
from latent_vizae.adapters.zoo import ConvolutionalVAE, ZooGenerator
from latent_vizae.demos.zoo.data import SHARED, as_input
from latent_vizae.demos.zoo.emoji import read_emoji
from latent_vizae.storage.folder import atomic_file


@torch.no_grad()
def bundle(trained: Path, emoji: Path) -> None:
    """Write the folder of the adapter.

    Args:
        trained: the ``--out`` of `train_zoo`.
        emoji: the folder of the pictures, see `read_emoji`.

    Raises:
        ValueError: it is another kind of generator.
        FileNotFoundError: a file is missing.
    """
    known = read_emoji(emoji)
    generator = load_decoder(f"hub:{trained / 'generator'}")
    if not isinstance(generator, ConvolutionalVAE):
        raise ValueError(f"{trained} has a {type(generator).__name__}, not a ConvolutionalVAE.")
    generator.save_pretrained(DATA, half=True)
    stored = ZooGenerator.from_folder(DATA)
    codes = torch.cat([stored.encode(as_input(part, "cpu")) for part in known.images.split(200)])
    words = json.dumps({"names": known.names, "groups": known.group_names})
    with atomic_file(CODES) as partial:
        save_file({"codes": codes.half(), "labels": known.groups.to(torch.uint8)}, partial, {"words": words})


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path, help="what train_zoo left")
    parser.add_argument("--data", type=Path, default=SHARED / "emoji", help="folder with fluent-64.npz")
    given = parser.parse_args(arguments)
    try:
        bundle(given.trained, given.data)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
