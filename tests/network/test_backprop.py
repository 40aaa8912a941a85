"""Slopes by hand are autograd's."""

import itertools

import pytest
import torch
from draws import normal
from torch import nn

from latent_vizae.network.abtanh import AbTanh
from latent_vizae.network.backprop import Half
from latent_vizae.training.optimisers import Adam


def network(*sizes, seed=0):
    layers = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layers += [AbTanh(inputs)] if number else []
        layers += [nn.Linear(inputs, outputs)]
    made = nn.Sequential(*layers)
    with torch.no_grad():
        for number, weight in enumerate(made.parameters()):
            weight.copy_(0.5 * normal(*weight.shape, seed=seed + number))
    return made


@pytest.mark.parametrize("sizes", [(5, 2), (5, 7, 2), (3, 8, 6, 4)])
def test_steps_by_hand_have_the_slopes_of_autograd(sizes):
    made, x, slope = network(*sizes), normal(9, sizes[0], seed=50).requires_grad_(), normal(9, sizes[-1], seed=51)
    expected = torch.autograd.grad((made(x) * slope).sum(), [x, *made.parameters()])
    Adam(made.parameters(), 0.1)
    for by_inputs in (True, False):
        half = Half(made, by_inputs)
        with torch.no_grad():
            assert torch.allclose(half.forward(x), made(x), atol=1e-6)
            found = [half.backward(slope), *(weight.grad for weight in made.parameters())]
        for one, other in list(zip(found, expected, strict=True))[not by_inputs :]:
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_steps_without_a_place_for_slopes_say_so():
    half = Half(network(3, 2))
    half.forward(normal(4, 3))
    with pytest.raises(RuntimeError, match="Adam"):
        half.backward(normal(4, 2))
