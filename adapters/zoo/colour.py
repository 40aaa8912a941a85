"""A variational autoencoder of colour images: convolutions, and a loss that keeps edges sharp."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from latent_vizae.adapters.zoo.autoencoder import as_image_shape, as_share, as_sizes, start_glorot
from latent_vizae.adapters.zoo.base import architecture, in_the_order_of_pixels
from latent_vizae.adapters.zoo.regularised import Variational
from latent_vizae.inputs.checks import as_whole

__all__ = ["ConvolutionalVAE", "laplacian_l1"]


def laplacian_l1(images: Tensor, others: Tensor, least: int = 4) -> Tensor:
    """Absolute differences of two Laplacian pyramids: sum over levels, mean over images.

    Every level weighs as much as the finest, so that edges count as much as colour; with squared errors they blur
    (Bojanowski et al. 2018, "Optimizing the latent space of generative networks", eq. 2). Levels are halved by means
    of 2x2 pixels.

    Args:
        images: (B, C, H, W).
        others: (B, C, H, W).
        least: pixels on a side of the coarsest level, at least.

    Returns:
        A scalar, in units of one pixel's value, as a sum over the pixels of the finest level.
    """
    difference, total, weight = images - others, images.new_zeros(()), 1.0
    while min(difference.shape[2:]) % 2 == 0 and min(difference.shape[2:]) > least:
        coarse = avg_pool2d(difference, 2)
        total = total + weight * (difference - interpolate(coarse, scale_factor=2.0)).abs().sum()
        difference, weight = coarse, 4 * weight
    result: Tensor = (total + weight * difference.abs().sum()) / len(images)
    return result


@architecture
class ConvolutionalVAE(Variational):
    """A variational autoencoder with convolutions, for colour images of 64 pixels.

        f_e  3x64x64 -> Conv k3 s2 for each width of down -> Linear 2n: mean and log variance
        f_d  n -> Linear -> Dconv k4 s2 for each width of up, one Conv k3 at a quarter of the side -> 3x64x64, sigmoid

    SiLU after every layer but the last of each side. The reconstruction is `laplacian_l1`, not a likelihood, so beta
    is in its units per nat.

    Args:
        latent_size: n, codes are (B, n).
        down: channels of the encoder's convolutions, each halving the side.
        up: channels of the decoder's, from the smallest image to the one of half the side.
        beta: weight of the KL term.
        image_shape: (C, H, W); H and W are multiples of ``2 ** len(down)`` and of ``2 ** len(up)``.
    """

    def __init__(
        self,
        latent_size: int = 64,
        down: Sequence[int] = (24, 48, 96, 128),
        up: Sequence[int] = (192, 128, 96, 48),
        beta: float = 1.0,
        image_shape: Sequence[int] = (3, 64, 64),
    ) -> None:
        down, up = as_sizes(down, "down"), as_sizes(up, "up")
        super().__init__(
            latent_size=latent_size,
            down=down,
            up=up,
            beta=as_share(beta, "beta", 0, 1e4),
            image_shape=list(image_shape),
        )
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        self.beta = float(beta)
        channels, height, width = self.image_shape
        halvings = 2 ** max(len(down), len(up))
        if height % halvings or width % halvings:
            raise ValueError(f"Layers that halve need sides that are multiples of {halvings}, got {height}x{width}.")
        layers: list[nn.Module] = []
        for fine, coarse in itertools.pairwise([channels, *down]):
            layers += [nn.Conv2d(fine, coarse, 3, stride=2, padding=1), nn.SiLU()]
        flat = down[-1] * (height >> len(down)) * (width >> len(down))
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 2 * latent_size))
        small = (up[0], height >> len(up), width >> len(up))
        layers = [nn.Linear(latent_size, small[0] * small[1] * small[2]), nn.SiLU(), nn.Unflatten(1, small)]
        for step, (coarse, fine) in enumerate(itertools.pairwise([*up, channels]), start=1):
            layers += [nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1), nn.SiLU()]
            if step == len(up) - 2:
                layers += [nn.Conv2d(fine, fine, 3, padding=1), nn.SiLU()]
        self.decoder = nn.Sequential(*layers[:-1])
        start_glorot(self)
        in_the_order_of_pixels(self)

    def reconstruction(self, codes: Tensor, images: Tensor) -> Tensor:
        """`laplacian_l1` of decoded codes and images."""
        return laplacian_l1(self.decode(codes), images)
