"""Neighbours are scikit-learn's, their loss is scipy's, and learning them keeps them."""

import numpy as np
import pytest
import scipy
import torch
from draws import normal
from sklearn.neighbors import NearestNeighbors

from latent_vizae import fit, load_decoder
from latent_vizae.fitting.neighbours import nearest, neighbour_loss, neighbour_slope
from latent_vizae.measures.metrics import continuity, image_error, trustworthiness


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


def test_a_pull_keeps_codes_at_the_guess_and_neighbours_together_for_some_of_the_error(f_d):
    codes, _ = f_d.examples(label=5, count=2500)
    v, held = fit(codes[:2000], f_d), codes[2000:]
    images, guess, found = f_d(held), v.guess(held), {}
    for pull in (0.0, v.pull, 1e6):
        v.pull = pull
        points = v.encode(held)
        found[pull] = (
            (points - guess).norm(dim=1).mean().item(),
            image_error(images, f_d(v.decode(points))),
            continuity(held, points, 7),
        )
    moved, errors, continuous = zip(*found.values(), strict=True)
    assert moved[0] > moved[1] > moved[2]
    assert errors[0] < errors[1] < errors[2]
    assert continuous[0] < continuous[1] < continuous[2]
