"""The autoencoder of colour images: its loss sees edges, its layers fit the sizes that are asked for."""

import pytest
import torch
from zoo_sizes import built, pictures

from latent_vizae.adapters.zoo import ConvolutionalVAE
from latent_vizae.adapters.zoo.colour import laplacian_l1
from latent_vizae.adapters.zoo.regularised import gaussian_kl


def test_equal_images_have_no_difference_and_a_constant_one_counts_once():
    images = pictures(2, (3, 16, 16))
    assert laplacian_l1(images, images) == 0
    assert laplacian_l1(images + 0.25, images).item() == pytest.approx(0.25 * 3 * 16 * 16, rel=1e-5)


def test_an_edge_that_is_blurred_costs_more_than_a_shade_that_is_off():
    """The same absolute difference per pixel, once in a checkerboard, once everywhere."""
    images = torch.full((1, 1, 16, 16), 0.5)
    board = 0.1 * (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))
    fine, flat = laplacian_l1(images + board, images), laplacian_l1(images + 0.1, images)
    assert fine.item() == pytest.approx(flat.item(), rel=1e-4)  # each is all in one level, and levels weigh the same
    middle = 0.1 * (-1.0) ** (torch.arange(16)[:, None] // 2 + torch.arange(16) // 2)
    assert laplacian_l1(images + middle, images).item() == pytest.approx(flat.item(), rel=1e-4)


def test_the_difference_is_that_of_its_definition():
    """Level by level, for one pyramid written out."""
    one, other = pictures(1, (1, 8, 8)), pictures(1, (1, 8, 8), seed=1)
    total = torch.zeros(())
    fine = one - other
    coarse = fine.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    total = (fine - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)).abs().sum() + 4 * coarse.abs().sum()
    assert laplacian_l1(one, other).item() == pytest.approx(total.item(), rel=1e-5)


def test_its_losses_are_the_reconstruction_from_noisy_codes_and_the_divergence():
    model, images = built("ConvolutionalVAE", beta=2.0), pictures(4, (3, 8, 8))
    losses = model.losses(images, torch.Generator().manual_seed(0), 0.0)
    mean, log_variance = model.posterior(images)
    assert losses["kl"].item() == pytest.approx(2 * gaussian_kl(mean, log_variance).mean().item())
    codes = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    assert losses["reconstruction"].item() == pytest.approx(laplacian_l1(model.decode(codes), images).item())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"image_shape": [3, 60, 64]}, "multiples of 16, got 60x64"),
        ({"down": []}, "down is a list"),
        ({"up": [4, 0]}, "a size in up"),
        ({"beta": -1}, "beta is a number"),
    ],
)
def test_what_cannot_be_built_is_said(config, said):
    with pytest.raises(ValueError, match=said):
        ConvolutionalVAE(**config)
