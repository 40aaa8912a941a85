import math

import pytest
import torch
from torch import nn

from latent_vizae import VizAE, fit, load_decoder
from latent_vizae.measures.metrics import image_error
from latent_vizae.network.abtanh import AbTanh
from latent_vizae.network.nearest_point import (
    DAMPING,
    FAR,
    NODES,
    Surface,
    nearest_point,
    project,
    starts_from,
)
from latent_vizae.network.perceptron import is_perceptron, perceptron, through, with_slopes


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_perceptron(*sizes):
    network = perceptron(list(sizes)).double().requires_grad_(False)
    for index, layer in enumerate(network):
        if isinstance(layer, AbTanh):
            layer.log_scale.copy_(0.3 * normal(layer.num_parameters, seed=200 + index // 2))
            layer.location.copy_(normal(layer.num_parameters, seed=300 + index // 2))
        else:
            layer.weight.copy_(normal(*layer.weight.shape, seed=index // 2) / layer.in_features**0.5)
            layer.bias.copy_(normal(layer.out_features, seed=100 + index // 2))
    return network


def freely(network, x, start):
    return project(network, x, start, start, torch.zeros(len(x), 1).double())[0]


def test_outputs_and_slopes_are_those_of_autograd():
    for sizes in ((2, 7), (1, 5, 4), (3, 6, 8, 9)):
        network, points = random_perceptron(*sizes), normal(11, sizes[0])
        made, slopes = with_slopes(network, points)
        jacobian = torch.func.vmap(torch.func.jacrev(network))(points)
        assert torch.allclose(made, network(points), atol=1e-12)
        assert torch.allclose(through(network, points), network(points), atol=1e-12)
        assert torch.allclose(slopes.mT, jacobian, atol=1e-12)


def test_what_was_decoded_stays_and_is_found_from_nearby():
    network, points = random_perceptron(2, 16, 10), 0.8 * normal(200, 2).clamp(-1, 1)
    made = network(points)
    assert torch.allclose(freely(network, made, points), points, atol=1e-9)
    guess = points + 0.05 * normal(200, 2, seed=1)
    found = freely(network, made, guess)
    assert (found - points).norm(dim=1).mean() < 0.05 * (guess - points).norm(dim=1).mean()


def test_no_guess_is_made_worse_and_most_become_better():
    network, x, guess = random_perceptron(2, 16, 10), 2 * normal(500, 10, seed=2), 0.5 * normal(500, 2, seed=3)
    before, after = ((x - network(p)).norm(dim=1) for p in (guess, freely(network, x, guess)))
    assert (after <= before).all()
    assert (after < before).double().mean() > 0.9


def test_on_a_plane_each_step_leaves_what_it_is_damped_by():
    plane = nn.Sequential(nn.Linear(2, 5)).double().requires_grad_(False)
    plane[0].weight.copy_(torch.linalg.qr(normal(5, 2))[0] * torch.tensor([0.1, 30.0]))
    nearest, guess = torch.tensor([[0.3, -0.2]]).double(), torch.tensor([[0.7, 0.4]]).double()
    found = freely(plane, plane(nearest), guess)
    left = math.prod(damping / (1 + damping) for damping in DAMPING[1])
    assert 0 < left < 3e-3
    assert torch.allclose(found - nearest, (guess - nearest) * left, atol=1e-12)


def test_points_stay_on_the_map_or_as_near_to_it_as_the_guess():
    plane = nn.Sequential(nn.Linear(2, 5)).double().requires_grad_(False)
    far = plane(torch.tensor([[9.0, 0.0], [-9.0, 9.0]]).double())
    found = freely(plane, far, torch.tensor([[0.5, 0.5], [-1.5, 2.0]]).double())
    assert found[0].abs().max() == 1
    assert found[1].tolist() == [-1.5, 2.0]


def test_a_flat_or_boundless_network_gives_the_guess_back():
    flat = random_perceptron(2, 16, 10)
    flat[0].weight.data.zero_()
    x, guess = normal(3, 10), normal(3, 2, seed=1)
    assert torch.equal(freely(flat, x, guess), guess)
    network = random_perceptron(2, 16, 10)
    huge = torch.full_like(x, 1e200)
    assert torch.isfinite(freely(network, huge, guess)).all()


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_from_a_guess_on_another_fold_the_search_starts_where_the_network_comes_near(dim):
    network = random_perceptron(dim, 16, 10)
    network[0].weight.mul_(4)
    points = 0.9 * normal(300, dim, seed=4).clamp(-1, 1)
    made, guess = network(points), points + 0.5 * normal(300, dim, seed=5).sign()
    nodes = Surface(network, guess).nodes
    starts = [nodes.points[chosen] for chosen in starts_from(network, nodes, made, guess, 0.0)[0]]
    missing, left = ((made - network(freely(network, made, p))).norm(dim=1) for p in (guess, starts[0]))
    assert left.mean() < 0.5 * missing.mean()
    if dim == 3:
        first, second = starts
        assert ((made - network(first)).norm(dim=1) <= (made - network(second)).norm(dim=1)).all()
        assert 0.3 <= (first - second).norm(dim=1).min() < 0.5
    assert torch.allclose(nearest_point(network, made, points, 20.0), points, atol=1e-9)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_pull_follows_what_is_left_at_the_best_point_between_the_places_or_at_the_edge(dim):
    space = nn.Sequential(nn.Linear(dim, dim + 1)).double().requires_grad_(False)
    space[0].weight.copy_(torch.eye(dim + 1)[:, :dim])
    space[0].bias.zero_()
    cell = 2 / (NODES[dim - 1] - 1)
    between = torch.full((dim,), -1 + 4.5 * cell).double()  # as far from nodes as can be
    beyond = torch.full((dim,), -1 + 4 * cell).double()
    beyond[0] = 1 + cell
    guess, codes = torch.zeros(2, dim).double(), torch.zeros(2, dim + 1).double()
    codes[:, :dim], codes[:, dim] = torch.stack([between, beyond]), cell
    _, weight = starts_from(space, Surface(space, guess).nodes, codes, guess, 50.0)
    at_guess, at_best = codes.square().sum(1), torch.tensor([cell**2, 2 * cell**2]).double()
    assert torch.allclose(weight.flatten(), 50 * (at_guess - at_best) * at_best / at_guess, rtol=0.1)


@pytest.mark.parametrize("far", [(1.2, 0.3), (1.5, 0.3), (2.0, -0.3), (1.04, -1.0)])
def test_where_a_step_ends_at_the_edge_the_other_axis_makes_the_best_of_it(far):
    plane = nn.Sequential(nn.Linear(2, 2)).double().requires_grad_(False)
    plane[0].weight.copy_(torch.tensor([[1.0, 0.9], [0.0, 0.4359]]))
    code = plane(torch.tensor([far]).double())
    edge = torch.stack([torch.ones(20_001), torch.linspace(-1, 1, 20_001)], 1).double()
    least = (code - plane(edge)).square().sum(1).min()
    found = nearest_point(plane, code, torch.zeros(1, 2).double(), 0.0)
    assert found[0, 0] == 1
    assert (code - plane(found)).square().sum() < 1.0001 * least


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_of_the_ways_down_from_the_guess_and_from_elsewhere_the_better_one_is_taken(dim, monkeypatch):
    network = random_perceptron(dim, 16, 10)
    network[0].weight.mul_(4)
    x, guess = network(0.9 * normal(400, dim, seed=4).clamp(-1, 1)), 0.5 * normal(400, dim, seed=5).clamp(-2, 2)
    x = x + normal(400, 10, seed=6)
    guess[:100] = nearest_point(network, x[:100], guess[:100], 0.0)
    nodes = Surface(network, guess).nodes
    starts = [nodes.points[chosen] for chosen in starts_from(network, nodes, x, guess, 0.0)[0]]
    found = [freely(network, x, p) for p in (guess, *starts)]
    far = (found[1] - guess).abs().amax(1) > FAR
    assert 0.2 < far.double().mean() < 0.8
    ways = torch.stack([(x - network(p)).norm(dim=1) for p in found])
    taken = nearest_point(network, x, guess, 0.0)
    assert torch.allclose((x - network(taken)).norm(dim=1)[far], ways.amin(0)[far], rtol=1e-2)
    assert (ways[0] < ways[1:].amin(0))[~far].any()  # which is not looked for from there, for it is as good as found
    best = ways.argmin(0)[far]
    for way in range(dim == 1, len(ways)):  # on a line nodes are so many that none is missed
        assert (best == way).any()
    alone = torch.cat([nearest_point(network, x[i : i + 1], guess[i : i + 1], 0.0) for i in range(20)])
    assert torch.allclose(alone, taken[:20], atol=1e-9)
    monkeypatch.setattr("latent_vizae.network.nearest_point.BLOCK", 7)
    assert torch.allclose(nearest_point(network, x, guess, 0.0), taken, atol=1e-9)


def test_distances_stay_where_a_network_has_more_outputs_than_units():
    network, x, points = random_perceptron(2, 16, 6, 40), normal(50, 40, seed=6), normal(50, 2, seed=7)
    surface = Surface(network, x)
    narrow, y = surface.network, surface.narrowed(x)
    assert y.shape == (50, 7)
    assert torch.allclose((y - narrow(points)).norm(dim=1), (x - network(points)).norm(dim=1), atol=1e-12)
    assert torch.allclose(through(narrow, points), narrow(points), atol=1e-12)
    inside = network(points)
    assert surface.narrowed(inside)[:, -1].abs().max() < 1e-6
    wide = random_perceptron(2, 16, 7)
    assert Surface(wide, y).network is wide
    assert Surface(wide, y).narrowed(y) is y


@pytest.mark.parametrize("way", ["in place", "replaced", "loaded"])
def test_what_was_prepared_goes_with_the_weights(way):
    v, other = (fit(normal(60, 5, seed=seed).float(), steps=5, seed=seed, hidden=(16,)) for seed in (0, 1))
    codes = normal(9, 5, seed=2).float()
    v.encode(codes)
    if way == "in place":
        for mine, its in zip(v.parameters(), other.parameters(), strict=True):
            mine.copy_(its)
        for mine, its in zip(v.buffers(), other.buffers(), strict=True):
            mine.copy_(its)
    elif way == "replaced":
        for name in ("encoder", "decoder", "mean", "basis", "frame", "unframe"):
            setattr(v, name, getattr(other, name))
    else:
        v.load_state_dict(other.state_dict())
    v.pull = other.pull
    assert torch.equal(v.encode(codes), other.encode(codes))


def test_a_place_far_from_the_guess_has_to_be_much_nearer_to_the_code():
    line = nn.Sequential(nn.Linear(1, 2)).double().requires_grad_(False)
    line[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
    line[0].bias.zero_()
    guess = torch.zeros(3, 1).double()
    codes = torch.tensor([[0.5, 0.0], [0.5, 0.1], [0.5, 2.0]]).double()  # the best place is it; much, hardly nearer
    nodes = Surface(line, guess).nodes
    (chosen,), weight = starts_from(line, nodes, codes, guess, 100.0)
    start = nodes.points[chosen]
    for pulled, share in zip(weight.flatten(), (1.0, 0.25 / 0.26, 0.25 / 4.25), strict=True):
        assert pulled.item() == pytest.approx(100 * share * (1 - share) * (0.25 / share), rel=1e-3, abs=1e-3)
    assert start[0].item() == pytest.approx(0.5, abs=1e-2)
    least = [0.5 / (1 + w) for w in weight.flatten().tolist()]  # of (0.5 - p)^2 + w p^2
    assert torch.allclose(start.flatten(), torch.tensor(least).double(), atol=2e-3)  # the next place
    found = nearest_point(line, codes, guess, 100.0).flatten()
    assert torch.allclose(found, torch.tensor(least).double(), atol=1e-3)
    assert found[0] > found[1] > found[2] > 0
    huge = torch.full_like(codes, 1e200)
    assert torch.equal(nearest_point(line, huge, guess, 100.0), guess)
    solid, guess = random_perceptron(3, 16, 10), guess.expand(3, 3)
    assert torch.equal(nearest_point(solid, torch.full_like(normal(3, 10), 1e200), guess, 20.0), guess)


def test_held_out_codes_come_back_closer_than_from_the_guess_alone():
    f_d = load_decoder("mnist")
    codes, _ = f_d.examples(count=700)
    v = fit(codes[:400], f_d, steps=200)
    held = codes[400:]
    guess = through(v.encoder, (held - v.mean) @ v.basis @ v.frame)
    images = f_d(held)
    assert image_error(images, f_d(v(held))) < 0.97 * image_error(images, f_d(v.decode(guess)))


def test_layers_of_somebody_elses_are_used_as_they_are():
    v = VizAE((6,), 2, (8,))
    assert is_perceptron(v.decoder)
    with torch.no_grad():
        v.basis.copy_(torch.eye(6))
        v.frame.copy_(torch.eye(6))
        v.unframe.copy_(torch.eye(6))
    v.decoder[1] = nn.Softsign()
    codes = normal(5, 6).float()
    assert not is_perceptron(v.decoder)
    assert torch.allclose(v.encode(codes), v.encoder(codes), atol=1e-6)
