"""TAEF2, a tiny pretrained autoencoder for the latent space of FLUX.2, and the scheme ``taef2`` that loads it.

From github.com/madebyollin/taesd (MIT), which has the pretrained weights; they are not part of this package. Its
blocks at the lowest resolution have a branch with pooled statistics, which `diffusers.AutoencoderTiny` lacks.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from latent_vizae.adapters.zoo.base import in_the_order_of_pixels
from latent_vizae.adapters.zoo.files import read_weights
from latent_vizae.inputs.checks import as_device, as_whole
from latent_vizae.inputs.surroundings import methods_in_own_surroundings
from latent_vizae.storage.hub import fetch_folder, parse_reference

__all__ = ["TAEF2", "TAEF2_FILE", "TAEF2_REPOSITORY", "load_taef2"]

TAEF2_REPOSITORY = "madebyollin/taef2"
TAEF2_FILE = "taef2.safetensors"
CHANNELS, WIDTH, HALVINGS = 32, 64, 3
MOST_BYTES = 2**26
"""Of the download, which has 10 MB: a saved map may name a stranger's repository."""


class _Block(nn.Module):
    """Three convolutions beside the identity; with ``pooled``, after a branch that is normalised over the image."""

    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU(), convolutions[2])
        wide = 4 * WIDTH
        self.pool = (
            nn.Sequential(
                nn.Conv2d(WIDTH, wide, 1, bias=False),
                nn.GroupNorm(4, wide),
                nn.ReLU(),
                nn.Conv2d(wide, WIDTH, 1, bias=False),
            )
            if pooled
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, H, W) -> the same."""
        x = x if self.pool is None else x + self.pool(x)
        out: Tensor = (self.conv(x) + x).relu()
        return out


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1), _Block()]
    for halving in range(HALVINGS):
        layers.append(nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False))
        layers += [_Block(pooled=halving == HALVINGS - 1) for _ in range(3)]
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, CHANNELS, 3, padding=1))


def _decoder() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(CHANNELS, WIDTH, 3, padding=1), nn.ReLU()]
    for doubling in range(HALVINGS):
        layers += [_Block(pooled=doubling == 0) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, _Block(), nn.Conv2d(WIDTH, 3, 3, padding=1))


@methods_in_own_surroundings
class TAEF2(nn.Module):
    """A tiny autoencoder for FLUX.2's latents: codes (B, 32, S/8, S/8) to images (B, 3, S, S) in [0, 1].

    Latents are cut to (-3, 3) by a tanh before they are decoded, and images to [0, 1] after it.

    Args:
        image_size: S, pixels on a side, a multiple of 8.

    Attributes:
        source: the string for `latent_vizae.load_decoder`, or None.
        options: the keywords for it.
    """

    def __init__(self, image_size: int = 256) -> None:
        super().__init__()
        side = as_whole(image_size, "image_size", 8)
        if side % 2**HALVINGS:
            raise ValueError(f"image_size is a multiple of {2**HALVINGS}, got {side}.")
        self.image_shape = (3, side, side)
        self.latent_shape = (CHANNELS, side >> HALVINGS, side >> HALVINGS)
        self.source: str | None = None
        self.options = {"image_size": side}
        self.encoder = nn.ModuleDict({"layers": _encoder()})
        self.decoder = nn.ModuleDict({"layers": _decoder()})

    def forward(self, codes: Tensor) -> Tensor:
        """Latents (B, 32, S/8, S/8) to images (B, 3, S, S) in [0, 1]."""
        images: Tensor = self.decoder["layers"](3 * (codes / 3).tanh())
        return images.clamp(0, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [0, 1] to latents (B, 32, S/8, S/8)."""
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(f"TAEF2 was loaded for images (B, {self.image_shape}), got {tuple(images.shape)}.")
        latents: Tensor = self.encoder["layers"](images)
        return latents


def load_taef2(
    reference: str = "",
    *,
    image_size: int = 256,
    device: str | torch.device | None = None,
    token: str | bool | None = None,
    most_bytes: int | None = MOST_BYTES,
) -> TAEF2:
    """The entry point of the scheme ``taef2``.

    Args:
        reference: a folder with ``taef2.safetensors``, or ``user/repo[@revision]`` on the Hub; by default
            ``madebyollin/taef2`` (10 MB).
        image_size: pixels on a side of an image, a multiple of 8.
        device: of the decoder; by default the CPU.
        token: of a Hub user; by default the one that is logged in.
        most_bytes: most bytes of the download; None for any number.

    Returns:
        The autoencoder, in evaluation mode, its weights without gradients. Its ``source`` has the commit, or the
        whole path.

    Raises:
        FileNotFoundError: the folder or repository has no ``taef2.safetensors``.
        ValueError: neither a folder nor a repository, a size that is no multiple of 8, or other weights.
        huggingface_hub.errors.HfHubHTTPError: the Hub refused.
    """
    place = as_device("cpu" if device is None else device)
    autoencoder = TAEF2(image_size)
    folder = Path(reference).expanduser().absolute()
    if reference and folder.is_dir():
        autoencoder.source = f"taef2:{folder}"
    else:
        try:
            repo, subfolder, revision = parse_reference(reference or TAEF2_REPOSITORY)
        except ValueError as error:
            raise ValueError(f"There is no folder {reference!r} with {TAEF2_FILE}. {error}") from error
        inside = f"{subfolder}/{TAEF2_FILE}".lstrip("/")
        root, commit = fetch_folder(repo, [inside], revision, token, most_bytes=most_bytes)
        folder, autoencoder.source = root / subfolder, f"taef2:{repo}/{subfolder}".rstrip("/") + f"@{commit}"
    file = folder / TAEF2_FILE
    if not file.is_file():
        raise FileNotFoundError(f"{reference or TAEF2_REPOSITORY} has no {TAEF2_FILE}.")
    autoencoder.load_state_dict(read_weights(file, autoencoder.state_dict(), exact=False), strict=True)
    in_the_order_of_pixels(autoencoder)
    return autoencoder.float().eval().requires_grad_(False).to(place)
