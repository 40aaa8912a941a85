"""Adam is torch's; Muon turns matrices and leaves the rest to Adam."""

import itertools

import pytest
import torch
from draws import normal
from torch import nn

from latent_vizae.network.abtanh import AbTanh
from latent_vizae.network.backprop import Half
from latent_vizae.training.optimisers import Adam, Muon, near_orthogonal


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


def test_adam_steps_as_torchs_does_and_gives_the_weights_back():
    ours, theirs = [network(4, 6, 3, seed=9) for _ in range(2)]
    x, wanted = normal(20, 4, seed=60), normal(20, 3, seed=61)
    reference = torch.optim.Adam(theirs.parameters(), 0.01, betas=(0.9, 0.98))
    optimiser, half = Adam(ours.parameters(), 0.01), Half(ours)
    for share in (1.0, 0.5, 0.25):
        reference.param_groups[0]["lr"] = 0.01 * share
        reference.zero_grad()
        (theirs(x) - wanted).square().mean().backward()
        reference.step()
        with torch.no_grad():
            half.backward((half.forward(x) - wanted) * (2 / wanted.numel()))
            optimiser.step(share)
    optimiser.release()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
        assert one.grad is None
        assert one.untyped_storage().nbytes() == one.numel() * 4


@pytest.mark.parametrize("shape", [(6, 6), (6, 10), (10, 6)])
def test_near_orthogonal_keeps_singular_vectors_and_evens_out_their_values(shape):
    left, _ = torch.linalg.qr(normal(3, shape[0], min(shape)).double())
    right, _ = torch.linalg.qr(normal(3, shape[1], min(shape), seed=1).double())
    values = torch.tensor([50.0, 20.0, 10.0, 5.0, 2.0, 1.0], dtype=torch.float64)
    found = near_orthogonal(left * values @ right.mT)
    inside = left.mT @ found @ right
    evened = inside.diagonal(dim1=1, dim2=2)
    assert torch.allclose(inside, torch.diag_embed(evened))
    assert torch.allclose(found, left * evened.unsqueeze(1) @ right.mT)
    assert evened.min() > 0.5
    assert evened.max() < 1.3
    assert torch.equal(near_orthogonal(torch.zeros(2, *shape)), torch.zeros(2, *shape))


def test_muon_turns_matrices_and_leaves_the_rest_to_adam():
    ours, theirs = [network(4, 6, 6, 7, 3, seed=9) for _ in range(2)]
    matrices = [ours[2].weight, ours[4].weight]
    before = [matrix.clone() for matrix in matrices]
    muon, adam = Muon(ours.parameters(), matrices, 0.01), Adam(theirs.parameters(), 0.01)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        one.grad.copy_(normal(*one.shape, seed=5))
        other.grad.copy_(one.grad)
    muon.step(0.5)
    adam.step(0.5)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other) != any(one is matrix for matrix in matrices)
    for matrix, old in zip(matrices, before, strict=True):
        step = old - matrix
        assert torch.allclose(step, 0.065 * near_orthogonal(matrix.grad.unsqueeze(0))[0], atol=1e-6)
    muon.release()
    assert all(weight.grad is None for weight in ours.parameters())
