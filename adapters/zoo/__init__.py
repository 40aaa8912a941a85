"""The zoo: generators that are defined and trained in this repository; importing it puts them on the allowlist.

Autoencoders, with ``encode``: linear and stacked (`autoencoder`), convolutional and recurrent (`structured`),
denoising, sparse and variational (`regularised`), in colour (`colour`), over the latents of another autoencoder
(`latents`), and the paper's f (`table1`). Generators that are trained against a discriminator, with a prior
(``sample``), as the variational autoencoders have one: plain GAN and DCGAN (`gan`), the one in colour (`colour`),
`progressive`, `stylegan`. ``python -m latent_vizae.demos.train_zoo NAME`` trains any of them.
"""

from latent_vizae.adapters.zoo.autoencoder import Autoencoder, LinearAutoencoder, StackedAutoencoder
from latent_vizae.adapters.zoo.base import ARCHITECTURES, ZooGenerator, architecture
from latent_vizae.adapters.zoo.colour import ColourGAN, ConvolutionalVAE
from latent_vizae.adapters.zoo.gan import DCGAN, AdversarialGenerator, PlainGAN
from latent_vizae.adapters.zoo.latents import LatentVAE
from latent_vizae.adapters.zoo.progressive import ProgressiveGAN
from latent_vizae.adapters.zoo.regularised import (
    DenoisingAutoencoder,
    SparseAutoencoder,
    Variational,
    VariationalAutoencoder,
)
from latent_vizae.adapters.zoo.structured import ConvolutionalAutoencoder, RecurrentAutoencoder
from latent_vizae.adapters.zoo.stylegan import StyleGAN
from latent_vizae.adapters.zoo.table1 import Table1Autoencoder

__all__ = [
    "ARCHITECTURES",
    "DCGAN",
    "AdversarialGenerator",
    "Autoencoder",
    "ColourGAN",
    "ConvolutionalAutoencoder",
    "ConvolutionalVAE",
    "DenoisingAutoencoder",
    "LatentVAE",
    "LinearAutoencoder",
    "PlainGAN",
    "ProgressiveGAN",
    "RecurrentAutoencoder",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "StyleGAN",
    "Table1Autoencoder",
    "Variational",
    "VariationalAutoencoder",
    "ZooGenerator",
    "architecture",
]
