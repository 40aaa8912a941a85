"""What fit trains with: steps by hand against autograd, Adam against torch's, neighbours against scikit-learn's."""

import itertools

import numpy as np
import pytest
import scipy
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from latent_vizae import fit, load_decoder
from latent_vizae.fitting.neighbours import nearest, neighbour_loss, neighbour_slope
from latent_vizae.measures.metrics import continuity, trustworthiness
from latent_vizae.network.abtanh import AbTanh
from latent_vizae.network.backprop import Half
from latent_vizae.training.optimisers import Adam, Muon, near_orthogonal


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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


def test_nearest_are_scikit_learns():
    rows, among = normal(300, 6), normal(500, 6, seed=1)
    distances, indices = nearest(rows, among, 4)
    expected, where = NearestNeighbors(n_neighbors=4).fit(among.numpy()).kneighbors(rows.numpy())
    assert (indices.numpy() == where).mean() > 0.999
    assert torch.allclose(distances, torch.from_numpy(expected).float(), atol=1e-3)


def test_the_neighbour_loss_is_a_divergence_of_scipys_softmaxes():
    codes, points = normal(40, 6), 0.3 * normal(40, 2, seed=1)
    apart = scipy.spatial.distance.cdist(codes, codes)
    np.fill_diagonal(apart, np.inf)
    groups = apart.reshape(40, 8, 5)  # of each five groups of eight the nearest
    reach = np.sqrt(np.mean(groups.min(1) ** 2, 1))
    near = apart**2 <= np.outer(reach, reach)
    assert 0.05 < near.mean() < 0.15
    q = 1 / (1 + scipy.spatial.distance.cdist(points, points, "sqeuclidean") / 0.2**2)
    np.fill_diagonal(q, 0)
    off = ~np.eye(40, dtype=bool)
    expected = scipy.stats.entropy(near[off], q[off])  # normalises both
    assert neighbour_loss(codes, points).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_slope_of_neighbours_is_autograds(dim):
    codes, points = normal(64, 6), 0.5 * normal(64, dim, seed=1)
    before = codes.clone()
    moved = points.clone().requires_grad_()
    (expected,) = torch.autograd.grad(neighbour_loss(codes, moved), moved)
    assert torch.allclose(neighbour_slope(codes, points), expected, atol=1e-6)
    assert torch.equal(codes, before)
    for same in (torch.zeros(3, 4), torch.zeros(64, 4)):
        assert torch.isfinite(neighbour_slope(same, torch.zeros(len(same), dim))).all()


def test_v_e_keeps_more_neighbours_the_more_it_is_asked_to():
    codes, _ = load_decoder("mnist").examples(label=5, count=1200)
    seen, unseen = codes[:1000], codes[1000:]

    def kept(keep_neighbours):  # by the guesses of v_e's network, two seeds
        points = [fit(seen, seed=seed, keep_neighbours=keep_neighbours).guess(unseen) for seed in range(2)]
        return sum(trustworthiness(unseen, each, 20) + continuity(unseen, each, 20) for each in points) / 2

    assert kept(0.5) > kept(0.0) + 0.005
