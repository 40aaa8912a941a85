"""Fit the map of clothes at the top of the page anew, as after another training of its generator.

python -m latent_vizae.demos.gallery.clothes
"""

from __future__ import annotations

import torch

from latent_vizae import fit
from latent_vizae.adapters.zoo import Autoencoder
from latent_vizae.demos.gallery.data import CLOTHES, encoded, labelled
from latent_vizae.demos.page.firsts import CLOTHES as FOLDER
from latent_vizae.demos.page.firsts import CLOTHES_GENERATOR, CODES


def main() -> None:
    """Fit and save."""
    f_d = Autoencoder.from_folder(CLOTHES_GENERATOR)  # its source stays None: no path of a machine is saved
    train, _ = labelled("fashion-mnist")
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:CODES]
    words = [CLOTHES[label] for label in train.labels[rows].tolist()]
    v = fit(encoded(f_d, train.images[rows]), decoder=f_d, dim=2, labels=words, seed=0)
    v.save_pretrained(FOLDER)
    print(v.report)


if __name__ == "__main__":
    main()
