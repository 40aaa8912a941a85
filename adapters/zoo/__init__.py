"""Generators that we define and train ourselves; importing the package puts them on the allowlist."""

from latent_vizae.adapters.zoo.autoencoder import Autoencoder, LinearAutoencoder, StackedAutoencoder
from latent_vizae.adapters.zoo.base import ARCHITECTURES, ZooGenerator, architecture
from latent_vizae.adapters.zoo.gan import DCGAN, AdversarialGenerator, PlainGAN
from latent_vizae.adapters.zoo.progressive import ProgressiveGAN
from latent_vizae.adapters.zoo.regularised import DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder
from latent_vizae.adapters.zoo.structured import ConvolutionalAutoencoder, RecurrentAutoencoder
from latent_vizae.adapters.zoo.stylegan import StyleGAN
from latent_vizae.adapters.zoo.table1 import Table1Autoencoder

__all__ = [
    "ARCHITECTURES",
    "DCGAN",
    "AdversarialGenerator",
    "Autoencoder",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "LinearAutoencoder",
    "PlainGAN",
    "ProgressiveGAN",
    "RecurrentAutoencoder",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "StyleGAN",
    "Table1Autoencoder",
    "VariationalAutoencoder",
    "ZooGenerator",
    "architecture",
]
