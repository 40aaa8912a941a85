"""The GAN of faces that the guide takes as its example, where it is installed.

    pip install --no-deps gan_face_generate==1.1.1

A DCGAN of 64 pixels, trained on synthetic faces by the author of that package (MIT). Its weights are a file in the
package, which is read without running any code; the package itself is not imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from latent_vizae import load_decoder

__all__ = ["load_faces"]

PACKAGE = "gan_face_generate"


def load_faces() -> Any | None:
    """The GAN as a decoder of codes (B, 100, 1, 1) with the prior N(0, I); None without the package."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    layers: list[nn.Module] = []
    for inputs, outputs in ((100, 512), (512, 256), (256, 128), (128, 64)):
        stride, padding = (1, 0) if inputs == 100 else (2, 1)
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)]
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
    network = nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())
    weights = Path(found.origin).with_name("weights.tar")
    saved = torch.load(weights, weights_only=True, map_location="cpu")["netG_state_dict"]
    network.load_state_dict({name.removeprefix("main."): value for name, value in saved.items()}, strict=True)
    return load_decoder(
        "module", module=network.eval().requires_grad_(False), latent_shape=(100, 1, 1), image_shape=(3, 64, 64),
        output_range=(-1, 1), sample="normal",
    )  # fmt: skip
