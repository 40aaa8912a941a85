"""Small arguments for every architecture of the zoo: what the tests build."""

import torch

from latent_vizae.adapters.zoo import ARCHITECTURES

SMALL = {
    "ColourGAN": {"latent_size": 4, "channels": [6, 4], "image_channels": 2},
    "ConvolutionalAutoencoder": {"channels": [3, 5], "image_shape": [2, 9, 6]},
    "ConvolutionalVAE": {"latent_size": 3, "down": [4, 5], "up": [6, 5, 4], "image_shape": [3, 8, 8]},
    "DCGAN": {"latent_size": 4, "channels": [6, 4]},
    "DenoisingAutoencoder": {"latent_size": 20, "hidden": 7, "image_shape": [1, 4, 3]},
    "LinearAutoencoder": {"latent_size": 3, "image_shape": [1, 4, 3]},
    "PlainGAN": {"latent_size": 3, "hidden": [5, 6], "image_shape": [1, 4, 3]},
    "ProgressiveGAN": {"channels": [6, 4, 3], "latent_size": 5},
    "RecurrentAutoencoder": {"hidden": 6, "latent_size": 3, "image_shape": [2, 5, 4]},
    "SparseAutoencoder": {"latent_size": 10, "hidden": 7, "image_shape": [1, 4, 3]},
    "StackedAutoencoder": {"hidden": [7, 5], "latent_size": 3, "tied": True, "image_shape": [1, 4, 3]},
    "StyleGAN": {"channels": [6, 4], "latent_size": 5, "depth": 2},
    "Table1Autoencoder": {},
    "VariationalAutoencoder": {"latent_size": 3, "hidden": [7], "image_shape": [1, 4, 3]},
}


def built(name, **changes):
    """A small one in eval mode, its weights off their start (where biases are 0), the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = ARCHITECTURES[name](**SMALL[name] | changes)
        with torch.no_grad():
            for weight in generator.parameters():
                weight += 0.1 * torch.randn(weight.shape)
    return generator.eval()


def pictures(count, shape, seed=0):
    """Images (count, *shape) in [0, 1]."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))
