"""The paper's learned deep neural network f, exactly as its Table 1 prints it.

An autoencoder of MNIST images with a latent code of 10 numbers, abTanh after every layer but the last,
which has a sigmoid. "valid" is no padding, "same" keeps (or, at stride 2, doubles) the size.

    f_e  28x28x1  -> Conv 64 k3 s2 valid -> Conv 64 k3 s2 valid -> Dense 128 -> Dense 10
    f_d  10       -> Dense 128 -> Dense 7*7*32 -> Dconv 64 k3 s2 same -> Dconv 64 k3 s2 same
                  -> Dconv 1 k3 s1 same -> sigmoid
"""

from __future__ import annotations

from torch import Tensor, nn

from latent_vizae.adapters.zoo.autoencoder import Autoencoder, start_glorot
from latent_vizae.adapters.zoo.base import architecture, in_the_order_of_pixels
from latent_vizae.network.abtanh import AbTanh

__all__ = ["Table1Autoencoder"]


@architecture
class Table1Autoencoder(Autoencoder):
    """The deep autoencoder f of Ko et al. 2023, Table 1: ``encoder`` is f_e, ``decoder`` is f_d.

    As a generator it takes codes (B, 10); images (B, 1, 28, 28) go through both halves, as in training.

    Weights start from Glorot's uniform distribution (Keras' default): PyTorch's own start sits on the
    plateau of the mean image for more than an epoch.
    """

    code_size = 10
    latent_shape = (10,)
    image_shape = (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 64, 3, stride=2),
            AbTanh(64),
            nn.Conv2d(64, 64, 3, stride=2),
            AbTanh(64),
            nn.Flatten(),
            nn.Linear(6 * 6 * 64, 128),
            AbTanh(128),
            nn.Linear(128, self.code_size),
            AbTanh(self.code_size),
        )
        self.decoder = nn.Sequential(
            nn.Linear(self.code_size, 128),
            AbTanh(128),
            nn.Linear(128, 7 * 7 * 32),
            AbTanh(7 * 7 * 32),
            nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 64, 3, stride=2, padding=1, output_padding=1),
            AbTanh(64),
            nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),
            AbTanh(64),
            nn.ConvTranspose2d(64, 1, 3, padding=1),
            nn.Sigmoid(),
        )
        start_glorot(self)
        in_the_order_of_pixels(self)

    def logits(self, codes: Tensor) -> Tensor:
        """Codes (B, 10) to images (B, 1, 28, 28) before the sigmoid, which is the decoder's last layer."""
        raw: Tensor = nn.Sequential(*list(self.decoder.children())[:-1])(codes)
        return raw

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, 10) to images (B, 1, 28, 28) in [0, 1], f_d."""
        images: Tensor = self.decoder(codes)
        return images

    def forward(self, inputs: Tensor) -> Tensor:
        """Codes (B, 10) to images, or images (B, 1, 28, 28) to their reconstructions, in [0, 1]."""
        return self.decode(self.encode(inputs) if inputs.dim() == 4 else inputs)
