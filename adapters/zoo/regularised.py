"""Autoencoders that are regularised by other means than a small code: noise, sparsity, a prior."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latent_vizae.adapters.zoo.autoencoder import (
    Autoencoder,
    as_image_shape,
    as_share,
    as_sizes,
    dense,
    start_glorot,
)
from latent_vizae.adapters.zoo.base import architecture
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.surroundings import own_surroundings

__all__ = [
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "Variational",
    "VariationalAutoencoder",
    "gaussian_kl",
    "sparsity_kl",
]


def normal_like(x: Tensor, random: torch.Generator) -> Tensor:
    """White noise of x's shape, type and device, drawn on the CPU: the same on every device."""
    return torch.randn(x.shape, generator=random).to(x)


def sparsity_kl(activity: Tensor, target: float) -> Tensor:
    """KL divergence of a coin with bias ``target`` from coins with biases ``activity`` (n,) in [0, 1], summed.

    target log(target / activity) + (1 - target) log((1 - target) / (1 - activity)); Ng 2011, CS294A, "Sparse
    autoencoder".
    """
    share = activity.clamp(1e-6, 1 - 1e-6)
    rest = (1 - target) * (math.log(1 - target) - (1 - share).log())
    return (target * (math.log(target) - share.log()) + rest).sum()


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, I), both (B, n): (B,), in nats.

    1/2 sum(mean^2 + variance - 1 - log variance); Kingma & Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


@architecture
class DenoisingAutoencoder(Autoencoder):
    """Overcomplete: the code is larger than the image, and the network is trained to remove noise.

        f_e  C*H*W -> Linear hidden + ReLU -> Linear n, n > C*H*W
        f_d  n -> Linear hidden + ReLU -> Linear C*H*W, sigmoid

    In training, noise is added to the images and the reconstruction is compared with the clean ones (Vincent et al.
    2008); `encode` and `decode` add no noise.

    Args:
        latent_size: n, codes are (B, n).
        hidden: size of the layer between image and code.
        noise: "gaussian" (added, of standard deviation ``amount``), or "dropout" (a share ``amount`` of the pixels,
            drawn anew for each image, is set to 0, and the others are divided by what is left: the mean stays).
        amount: of the noise, in (0, 1).
        image_shape: (C, H, W).
    """

    def __init__(
        self,
        latent_size: int = 1024,
        hidden: int = 256,
        noise: str = "gaussian",
        amount: float = 0.4,
        image_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        if noise not in ("gaussian", "dropout"):
            raise ValueError(f"noise is 'gaussian' or 'dropout', got {noise!r}.")
        super().__init__(
            latent_size=latent_size,
            hidden=hidden,
            noise=noise,
            amount=as_share(amount, "amount", 0.001, 0.999),
            image_shape=list(image_shape),
        )
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        self.noise, self.amount = noise, float(amount)
        sizes = [math.prod(self.image_shape), as_whole(hidden, "hidden", 1), latent_size]
        self.encoder = nn.Sequential(nn.Flatten(), *dense(sizes))
        self.decoder = nn.Sequential(*dense(sizes[::-1]), nn.Unflatten(1, self.image_shape))
        start_glorot(self)

    def damage(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Images (B, C, H, W) with noise, which may lead out of [0, 1]."""
        if self.noise == "gaussian":
            return images + self.amount * normal_like(images, random)
        stays = (torch.rand(images.shape, generator=random) >= self.amount).to(images)
        return images * stays / (1 - self.amount)

    def losses(self, images: Tensor, random: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The reconstruction of the clean images from damaged ones."""
        return {"reconstruction": self.reconstruction(self.encode(self.damage(images, random)), images)}


@architecture
class SparseAutoencoder(Autoencoder):
    """Many code units, few of them active at a time, so that each represents a feature.

        f_e  C*H*W -> Linear hidden + ReLU -> Linear n, sigmoid: codes in [0, 1]
        f_d  n -> Linear hidden + ReLU -> Linear C*H*W, sigmoid

    The penalty is the L1 norm of the code (sum over units, mean over images), or the KL divergence of a target
    activity from each unit's mean activity over the batch, which also keeps units from dying (`sparsity_kl`).

    Args:
        latent_size: n, codes are (B, n) in [0, 1].
        hidden: size of the layer between image and code.
        penalty: "kl" or "l1".
        weight: of the penalty, in nats of reconstruction per unit of it.
        target: mean activity that "kl" asks for, in (0, 1).
        image_shape: (C, H, W).
    """

    def __init__(
        self,
        latent_size: int = 256,
        hidden: int = 256,
        penalty: str = "kl",
        weight: float = 1.0,
        target: float = 0.1,
        image_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        if penalty not in ("kl", "l1"):
            raise ValueError(f"penalty is 'kl' or 'l1', got {penalty!r}.")
        super().__init__(
            latent_size=latent_size,
            hidden=hidden,
            penalty=penalty,
            weight=as_share(weight, "weight", 0, 1e4),
            target=as_share(target, "target", 0.001, 0.999),
            image_shape=list(image_shape),
        )
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        self.penalty, self.weight, self.target = penalty, float(weight), float(target)
        sizes = [math.prod(self.image_shape), as_whole(hidden, "hidden", 1), latent_size]
        self.encoder = nn.Sequential(nn.Flatten(), *dense(sizes), nn.Sigmoid())
        self.decoder = nn.Sequential(*dense(sizes[::-1]), nn.Unflatten(1, self.image_shape))
        start_glorot(self)

    def losses(self, images: Tensor, random: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The reconstruction, and the penalty "l1" or "kl"."""
        codes = self.encode(images)
        cost = codes.sum(1).mean() if self.penalty == "l1" else sparsity_kl(codes.mean(0), self.target)
        return {"reconstruction": self.reconstruction(codes, images), self.penalty: self.weight * cost}


class Variational(Autoencoder):
    """A variational autoencoder of any networks: ``encoder`` returns mean and log variance, (B, 2n).

    Minimises reconstruction + beta KL(N(mean, variance), N(0, I)) with the code mean + deviation * noise, through
    which gradients flow (Kingma & Welling 2014); beta > 1 asks for more independent units (Higgins et al. 2017).
    N(0, I) is then the prior: `sample` draws codes from it. `encode` gives the mean.
    """

    beta: float

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, n) of the code of each image (B, C, H, W)."""
        mean, log_variance = super().encode(images).chunk(2, 1)
        return mean, log_variance

    @own_surroundings()
    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to the means of their codes (B, n)."""
        return self.posterior(images)[0]

    @own_surroundings()
    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Codes (count, n) from the prior, N(0, I)."""
        random = torch.Generator().manual_seed(as_whole(seed, "seed"))
        codes = torch.randn(as_whole(count, "count", 1), *self.latent_shape, generator=random)
        return codes.to(next(self.parameters()).device)

    def losses(self, images: Tensor, random: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The reconstruction from codes that are drawn, and the weighted KL divergence; mean over images."""
        mean, log_variance = self.posterior(images)
        codes = mean + (0.5 * log_variance).exp() * normal_like(mean, random)
        kl = gaussian_kl(mean, log_variance).mean()
        return {"reconstruction": self.reconstruction(codes, images), "kl": self.beta * kl}


@architecture
class VariationalAutoencoder(Variational):
    """Each image has a normal distribution of codes, and all of them together are kept near N(0, I).

        f_e  C*H*W -> Linear + ReLU for each hidden size -> Linear 2n: mean and log variance
        f_d  n -> the same sizes backwards, sigmoid

    Args:
        latent_size: n, codes are (B, n).
        hidden: sizes of the layers between image and code.
        beta: weight of the KL term; 1 makes the loss a bound on the likelihood.
        image_shape: (C, H, W).
    """

    def __init__(
        self,
        latent_size: int = 10,
        hidden: Sequence[int] = (512, 256),
        beta: float = 1.0,
        image_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        sizes = as_sizes(hidden, "hidden")
        super().__init__(
            latent_size=latent_size, hidden=sizes, beta=as_share(beta, "beta", 0, 1e4), image_shape=list(image_shape)
        )
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        self.beta = float(beta)
        sizes = [math.prod(self.image_shape), *sizes]
        self.encoder = nn.Sequential(nn.Flatten(), *dense([*sizes, 2 * latent_size]))
        self.decoder = nn.Sequential(*dense([latent_size, *sizes[::-1]]), nn.Unflatten(1, self.image_shape))
        start_glorot(self)
