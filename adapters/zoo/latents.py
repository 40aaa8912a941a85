"""A variational autoencoder of the latents of another, pretrained autoencoder, whose decoder makes the images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latent_vizae.adapters.zoo.autoencoder import as_share, as_sizes, start_glorot
from latent_vizae.adapters.zoo.base import architecture
from latent_vizae.adapters.zoo.regularised import Variational
from latent_vizae.adapters.zoo.taef2 import CHANNELS, HALVINGS, TAEF2, TAEF2_REPOSITORY, load_taef2
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.surroundings import own_surroundings

__all__ = ["LatentVAE"]
LOG_VARIANCE = (-12.0, 4.0)
"""Bounds: without them a training on emoji went to infinity after a thousand steps."""


@architecture
class LatentVAE(Variational):
    """A variational autoencoder over the latents of TAEF2, a pretrained autoencoder of images.

        f_e  image -> TAEF2's encoder -> (z - mean) / deviation -> Linear + SiLU for each hidden size -> Linear 2n
        f_d  n -> Linear + SiLU for each hidden size backwards, twice the last -> z -> TAEF2's decoder -> image

    An image is as sharp as TAEF2 makes it, from n numbers. Saved are the layers here; TAEF2's weights are read where
    `latent_vizae.load_decoder` is told, ``taef2=`` a folder or a repository, by default from the Hub.

    Trained with half the squared error of standardised latents, summed, and ``beta`` KL.

    Args:
        latent_size: n, codes are (B, n).
        hidden: sizes of the layers.
        beta: weight of the KL term: the variance of a standardised latent that is not explained.
        image_size: pixels on a side, a multiple of 8.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, latent_size: int = 64, hidden: Sequence[int] = (320,), beta: float = 0.05, image_size: int = 64
    ) -> None:
        hidden = as_sizes(hidden, "hidden")
        super().__init__(
            latent_size=latent_size, hidden=hidden, beta=as_share(beta, "beta", 0, 1e4), image_size=image_size
        )
        small = as_whole(image_size, "image_size", 2**HALVINGS) >> HALVINGS
        if image_size % 2**HALVINGS:
            raise ValueError(f"image_size is a multiple of {2**HALVINGS}, got {image_size}.")
        self.image_shape, self.latent_shape = (3, image_size, image_size), (as_whole(latent_size, "latent_size", 1),)
        self.beta = float(beta)
        self._loaded: list[TAEF2] = []  # not a submodule: its weights are not saved here
        inside = (CHANNELS, small, small)
        self.register_buffer("mean", torch.zeros(CHANNELS, 1, 1))
        self.register_buffer("deviation", torch.ones(CHANNELS, 1, 1))
        down = [math.prod(inside), *hidden]
        self.encoder = nn.Sequential(nn.Flatten(), *_dense(down), nn.Linear(hidden[-1], 2 * latent_size))
        up = [latent_size, hidden[-1], *hidden[::-1]]
        self.decoder = nn.Sequential(*_dense(up), nn.Linear(hidden[0], down[0]), nn.Unflatten(1, inside))
        start_glorot(self)

    @property
    def taef2(self) -> TAEF2:
        """The autoencoder behind it, loaded when it is first needed."""
        if not self._loaded:
            place = str(self.options.get("taef2", TAEF2_REPOSITORY))
            self._loaded.append(load_taef2(place, image_size=self.image_shape[1]))
        return self._loaded[0].to(self.mean.device)

    def latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [0, 1] to standardised latents of TAEF2, (B, 32, S/8, S/8)."""
        self.check_images(images)
        latents: Tensor = (self.taef2.encode(images) - self.mean) / self.deviation
        return latents

    @torch.no_grad()
    def learns_from(self, images: Tensor) -> Tensor:
        """Bytes to standardised latents on the CPU; the first that it sees say what is standard."""
        parts = [self.latents(part.to(self.mean.device).float() / 255).cpu() for part in images.split(100)]
        latents = torch.cat(parts)
        if (self.deviation == 1).all():
            mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
            self.mean.copy_(mean[:, None, None])
            self.deviation.copy_(deviation[:, None, None])
            latents = (latents - self.mean.cpu()) / self.deviation.cpu()
        return latents

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, n) of the code of each image, or of what `learns_from` made of it."""
        latents = self.latents(images) if images.shape[1] == 3 else images
        mean, log_variance = self.encoder(latents).chunk(2, 1)
        return mean, log_variance.clamp(*LOG_VARIANCE)

    @own_surroundings()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, n) to images (B, 3, S, S) in [0, 1]."""
        images: Tensor = self.taef2(self.decoder(codes) * self.deviation + self.mean)
        return images

    def reconstruction(self, codes: Tensor, images: Tensor) -> Tensor:
        """Half the squared error of standardised latents (B, 32, S/8, S/8): summed, mean over images."""
        loss: Tensor = 0.5 * (self.decoder(codes) - images).square().sum() / len(images)
        return loss

    def start_at_mean(self, mean: float) -> None:
        """Nothing: latents are standardised."""


def _dense(sizes: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.SiLU()]
    return layers
