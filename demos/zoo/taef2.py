"""TAEF2's pickled weights, as github.com/madebyollin/taesd has them, to the one file that ``taef2:FOLDER`` reads.

    python -m latent_vizae.demos.zoo.taef2 FOLDER out/taef2

``FOLDER`` has ``taef2_encoder.pth`` and ``taef2_decoder.pth``. Without them nothing has to be converted: the Hub's
``madebyollin/taef2`` is in this form already.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from latent_vizae.adapters.zoo.taef2 import TAEF2, TAEF2_FILE
from latent_vizae.storage.folder import atomic_file

BEFORE = {"encoder": 0, "decoder": 1}
"""Layers of the original before the first that `TAEF2` counts: its decoder starts with the tanh."""


def convert(pickles: Path, folder: Path) -> None:
    """Write ``taef2.safetensors`` in half precision, as the pickles are.

    Raises:
        FileNotFoundError: a pickle is missing.
        RuntimeError: it holds another network's weights.
    """
    tensors: dict[str, Tensor] = {}
    for part, before in BEFORE.items():
        state = torch.load(pickles / f"taef2_{part}.pth", weights_only=True, map_location="cpu")
        for name, tensor in state.items():
            number, _, rest = name.partition(".")
            tensors[f"{part}.layers.{int(number) - before}.{rest}"] = tensor.contiguous()
    TAEF2().load_state_dict(tensors, strict=True)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / TAEF2_FILE) as partial:
        save_file(tensors, partial)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pickles", type=Path, help="folder with taef2_encoder.pth and taef2_decoder.pth")
    parser.add_argument("folder", type=Path, help="for taef2.safetensors")
    given = parser.parse_args(arguments)
    try:
        convert(given.pickles, given.folder)
    except (FileNotFoundError, RuntimeError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
