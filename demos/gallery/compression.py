"""What the families make of the same images: how much autoencoders lose, how real and how varied a GAN's draws are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from latent_vizae.adapters.zoo import Autoencoder, ZooGenerator
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.gallery.data import encoded, table
from latent_vizae.demos.gallery.spaces import nearest_distance
from latent_vizae.demos.zoo.data import framed
from latent_vizae.demos.zoo.measures import PCA, pca
from latent_vizae.measures.metrics import image_error

__all__ = ["PCA", "Compression", "Draws", "compression", "compression_table", "draws", "pca"]


@dataclass(frozen=True)
class Compression:
    """What an autoencoder loses.

    Attributes:
        numbers: in a code.
        weights: in the network.
        error: mean square over pixels, on images that it never saw.
        pca: the same of PCA with as many numbers; 0 from as many numbers as pixels on.
    """

    numbers: int
    weights: int
    error: float
    pca: float

    def __str__(self) -> str:
        """One line a person reads."""
        return (
            f"{self.numbers:,} numbers a code, {self.weights:,} weights; mean square error {self.error:.5f}, "
            f"PCA with as many numbers {self.pca:.5f}"
        )


@dataclass(frozen=True)
class Draws:
    """What draws from a prior are worth.

    Attributes:
        weights: in the network.
        unreal: mean `nearest_distance` to training images, over that of test images; 1 is as near as real ones.
        variety: mean distance from each other, over that of test images; 0 is one image only.
    """

    weights: int
    unreal: float
    variety: float

    def __str__(self) -> str:
        """One line a person reads."""
        return (
            f"{self.weights:,} weights; its draws are {self.unreal:.2f} times as unlike the nearest real image as "
            f"new real images are, and {self.variety:.2f} times as far from each other"
        )


def weights_of(model: ZooGenerator) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in model.parameters())


def compression(f_d: Autoencoder, images: Tensor, components: PCA) -> Compression:
    """What an autoencoder loses of images (N, C, H, W) in [0, 1], beside PCA of its training images."""
    numbers = math.prod(f_d.latent_shape)
    error = image_error(decode_images(f_d, encoded(f_d, images)), images)
    return Compression(numbers, weights_of(f_d), error, components.error(images, numbers))


def compression_table(results: dict[str, Compression]) -> str:
    """A table of Markdown."""
    rows = [
        (name, f"{c.numbers:,}", f"{c.weights:,}", f"{c.error:.5f}", f"{c.pca:.5f}") for name, c in results.items()
    ]
    return table(("autoencoder", "numbers a code", "weights", "mean square error", "PCA of that size"), rows)


def draws(f_d: ZooGenerator, train: Tensor, test: Tensor, count: int = 500) -> Draws:
    """Judge draws from a prior.

    Args:
        f_d: a generator with a ``sample``.
        train: (N, C, H, W), of which the first 10,000 say what is real.
        test: (M, C, H, W), of which the first ``count`` are compared with; both get a black frame where the
            generator's images are larger.
        count: of the draws.
    """
    side = f_d.image_shape[-1]
    real, others = framed(train[:10_000], side), framed(test[:count], side)
    images = decode_images(f_d, f_d.sample(count, 0))
    near, far = (
        [nearest_distance(some, real).mean(), torch.pdist(some.flatten(1)).mean()] for some in (images, others)
    )
    return Draws(weights_of(f_d), (near[0] / far[0]).item(), (near[1] / far[1]).item())
