"""How each generator of the zoo is trained, by its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from latent_vizae.adapters import zoo
from latent_vizae.demos.zoo.training import Plan


@dataclass(frozen=True)
class Recipe:
    """An architecture, its arguments, and how it is trained."""

    architecture: type[zoo.ZooGenerator]
    plan: Plan
    config: dict[str, Any] = field(default_factory=dict)


GAME = {"batch_size": 64, "rate": 2e-4, "betas": (0.5, 0.999)}
PENALISED = {"batch_size": 64, "rate": 1e-3, "betas": (0.0, 0.99), "r1": 1.0}
FEW_IMAGES = {"batch_size": 32, "rate": 5e-4, "betas": (0.0, 0.99), "r1": 1.0, "augment": True, "keep_best": True}
GROWING = {"batch_size": 32, "rate": 2e-3, "betas": (0.0, 0.99), "r1": 1.0}

RECIPES = {
    "linear": Recipe(zoo.LinearAutoencoder, Plan(6_000)),
    "stacked": Recipe(zoo.StackedAutoencoder, Plan(12_000)),
    "stacked-tied": Recipe(zoo.StackedAutoencoder, Plan(12_000), {"tied": True}),
    "stacked-pretrained": Recipe(zoo.StackedAutoencoder, Plan(12_000), {"pretrain": 0.3}),
    "convolutional": Recipe(zoo.ConvolutionalAutoencoder, Plan(5_000)),
    "recurrent": Recipe(zoo.RecurrentAutoencoder, Plan(5_000, rate=2e-3)),
    "denoising": Recipe(zoo.DenoisingAutoencoder, Plan(7_000)),
    "denoising-dropout": Recipe(zoo.DenoisingAutoencoder, Plan(7_000), {"noise": "dropout", "amount": 0.5}),
    "sparse": Recipe(zoo.SparseAutoencoder, Plan(12_000)),
    "sparse-l1": Recipe(zoo.SparseAutoencoder, Plan(12_000), {"penalty": "l1", "weight": 0.5}),
    "variational": Recipe(zoo.VariationalAutoencoder, Plan(12_000)),
    "beta": Recipe(zoo.VariationalAutoencoder, Plan(12_000), {"beta": 4.0}),
    "convolutional-vae": Recipe(zoo.ConvolutionalVAE, Plan(2_600, batch_size=32, rate=1.5e-3)),
    "latent-vae": Recipe(zoo.LatentVAE, Plan(5_000, batch_size=64, rate=1.5e-3)),
    "table1": Recipe(zoo.Table1Autoencoder, Plan(4_000, rate=2e-3)),
    "gan": Recipe(zoo.PlainGAN, Plan(20_000, **GAME)),
    "dcgan": Recipe(zoo.DCGAN, Plan(6_000, **PENALISED)),
    "colour-gan": Recipe(zoo.ColourGAN, Plan(6_000, **FEW_IMAGES)),
    "progressive": Recipe(zoo.ProgressiveGAN, Plan(5_500, **GROWING)),
    "stylegan": Recipe(zoo.StyleGAN, Plan(3_000, **GROWING)),
}
