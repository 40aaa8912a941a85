"""What becomes of v's weights after training."""

import torch

from latent_vizae.fitting.many import LEAST_SINGULAR, keep_rank
from latent_vizae.maps.layers import linear_maps
from latent_vizae.network.perceptron import perceptron


def test_matrices_that_hide_a_direction_show_it_again():
    generator = torch.Generator().manual_seed(0)
    network = perceptron([6, 8, 8, 2]).requires_grad_(False)
    for layer in network[::2]:
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    square = network[2]
    left, values, right = torch.linalg.svd(square.weight)
    square.weight.copy_((left * torch.cat([values[:-1], torch.zeros(1)])) @ right)
    before = [layer.weight.clone() for layer in network[::2]]
    assert [found.full for found in linear_maps(network, "v")] == [True, False, True]

    keep_rank(network)
    assert all(found.full for found in linear_maps(network, "v"))
    after = [layer.weight for layer in network[::2]]
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[2], before[2])
    assert (after[1] - before[1]).norm() <= 1.01 * LEAST_SINGULAR * values[0]
