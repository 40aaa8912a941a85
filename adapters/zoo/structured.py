"""Autoencoders with the structure of images: planes (convolutional), or sequences of rows (recurrent)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from latent_vizae.adapters.zoo.autoencoder import Autoencoder, as_image_shape, as_sizes, start_glorot
from latent_vizae.adapters.zoo.base import architecture, in_the_order_of_pixels
from latent_vizae.inputs.checks import as_whole

__all__ = ["ConvolutionalAutoencoder", "RecurrentAutoencoder"]


@architecture
class ConvolutionalAutoencoder(Autoencoder):
    """Strided convolutions down to a code of two numbers: a latent space that can be drawn as it is.

        f_e  1x28x28 -> Conv 32 k3 s2 -> Conv 64 k3 s2 -> Conv 128 k3 s2 (128x4x4) -> Linear 2
        f_d  2 -> Linear 128*4*4 -> Dconv 64 k3 s2 -> Dconv 32 k3 s2 -> Dconv 1 k3 s2, sigmoid

    ReLU after every layer but the last of each side; each stride halves the sides, rounded up, and its mirror undoes
    that. As for Fashion-MNIST in Foster 2023, Generative Deep Learning, chapter 3 (there padded to 32x32, with one
    more convolution at the end).

    Args:
        channels: of the convolutions.
        latent_size: n, codes are (B, n).
        image_shape: (C, H, W).
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128),
        latent_size: int = 2,
        image_shape: Sequence[int] = (1, 28, 28),
    ) -> None:
        channels = as_sizes(channels, "channels")
        super().__init__(channels=channels, latent_size=latent_size, image_shape=list(image_shape))
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        widths = [self.image_shape[0], *channels]
        sizes = [self.image_shape[1:]]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for fine, coarse in itertools.pairwise(widths):
            height, width = sizes[-1]
            sizes.append(((height + 1) // 2, (width + 1) // 2))
            down += [nn.Conv2d(fine, coarse, 3, stride=2, padding=1), nn.ReLU()]
            extra = (1 - height % 2, 1 - width % 2)
            up += [nn.ConvTranspose2d(coarse, fine, 3, stride=2, padding=1, output_padding=extra), nn.ReLU()]
        layers = [layer for pair in reversed(range(len(channels))) for layer in up[2 * pair : 2 * pair + 2]][:-1]
        flat = channels[-1] * sizes[-1][0] * sizes[-1][1]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, latent_size))
        start = [nn.Linear(latent_size, flat), nn.ReLU(), nn.Unflatten(1, (channels[-1], *sizes[-1]))]
        self.decoder = nn.Sequential(*start, *layers)
        start_glorot(self)
        in_the_order_of_pixels(self)


class _Rows(nn.Module):
    """seq2vec: rows of images to one vector; the last state of an LSTM, then a linear layer."""

    def __init__(self, row: int, hidden: int, latent_size: int) -> None:
        super().__init__()
        self.read = nn.LSTM(row, hidden, batch_first=True)
        self.code = nn.Linear(hidden, latent_size)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to codes (B, n)."""
        rows = images.transpose(1, 2).flatten(2)  # (B, H, C*W)
        codes: Tensor = self.code(self.read(rows)[0][:, -1])
        return codes


class _Writer(nn.Module):
    """vec2seq: one vector, repeated for each row, to the rows of an image."""

    def __init__(self, latent_size: int, hidden: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.write = nn.LSTM(latent_size, hidden, batch_first=True)
        self.row = nn.Linear(hidden, image_shape[0] * image_shape[2])

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, n) to logits of images (B, C, H, W)."""
        channels, height, width = self.image_shape
        rows = self.row(self.write(codes.unsqueeze(1).expand(-1, height, -1))[0])
        images: Tensor = rows.unflatten(2, (channels, width)).transpose(1, 2)
        return images


@architecture
class RecurrentAutoencoder(Autoencoder):
    """An image is a sequence of rows: one recurrent network reads it into a code, another writes it from there.

        f_e  28 rows of 28 -> LSTM hidden, its last output -> Linear n          (sequence to vector)
        f_d  n, 28 times -> LSTM hidden -> Linear 28 for each row, sigmoid      (vector to sequence)

    After Geron 2019, Hands-On Machine Learning, chapter 17, "Recurrent Autoencoders".

    Args:
        hidden: size of the LSTMs' states.
        latent_size: n, codes are (B, n).
        image_shape: (C, H, W); a row holds C*W numbers.
    """

    def __init__(self, hidden: int = 128, latent_size: int = 16, image_shape: Sequence[int] = (1, 28, 28)) -> None:
        super().__init__(hidden=hidden, latent_size=latent_size, image_shape=list(image_shape))
        self.image_shape = as_image_shape(image_shape)
        self.latent_shape = (as_whole(latent_size, "latent_size", 1),)
        as_whole(hidden, "hidden", 1)
        self.encoder = _Rows(self.image_shape[0] * self.image_shape[2], hidden, latent_size)
        self.decoder = _Writer(latent_size, hidden, self.image_shape)
        start_glorot(self)
