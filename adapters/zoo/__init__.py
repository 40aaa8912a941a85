"""Generators that we define and train ourselves; importing the package puts them on the allowlist."""

from latent_vizae.adapters.zoo.base import ARCHITECTURES, ZooGenerator, architecture
from latent_vizae.adapters.zoo.table1 import Table1Autoencoder

__all__ = ["ARCHITECTURES", "Table1Autoencoder", "ZooGenerator", "architecture"]
