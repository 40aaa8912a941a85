"""v as a surface through the codes: what rotating, scaling and settling change, and what they leave."""

import pytest
import torch

from latent_vizae import fit, load_decoder
from latent_vizae.fitting.affine import rescale, to_principal_axes
from latent_vizae.fitting.frame import GROWTH, MOST_SHARE, _code_share
from latent_vizae.fitting.last_layer import settle, solve_last_layer
from latent_vizae.measures.metrics import continuity, image_error, mean_square
from latent_vizae.network.nearest_point import nearest_point
from latent_vizae.network.perceptron import linear_layer, through


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def f_d():
    return load_decoder("mnist")


@pytest.fixture
def v(f_d):
    codes, _ = f_d.examples(label=5, count=300)
    return fit(codes, f_d, steps=40)


def come_back(v, x):
    return through(v.decoder, nearest_point(v.decoder, x, through(v.encoder, x), v.pull))


def test_rotating_and_scaling_change_the_map_and_not_what_comes_back(v):
    x = normal(200, 10)
    before, shown = through(v.encoder, x), v.decoder(v.encoder(x))
    rescale(v, torch.tensor([-3.0, 0.5]).double(), torch.tensor([1.0, 0.7]).double())
    assert not torch.allclose(through(v.encoder, x), before, atol=0.1)
    assert torch.allclose(v.decoder(v.encoder(x)), shown, atol=1e-3)
    to_principal_axes(v, x)
    points = through(v.encoder, x)
    assert torch.allclose(v.decoder(v.encoder(x)), shown, atol=1e-3)
    assert points.amin(0).tolist() == pytest.approx([-1, -1], abs=1e-3)
    assert points.amax(0).tolist() == pytest.approx([1, 1], abs=1e-3)
    assert torch.corrcoef(points.T)[0, 1].abs() < 1e-3


def test_a_last_layer_solved_leaves_nothing_that_its_inputs_explain(v):
    points, wanted = normal(500, 2), normal(500, 10, seed=1)
    solve_last_layer(v.decoder, points, wanted)
    hidden = v.decoder[:-1](points)
    rest = wanted - v.decoder(points)
    assert (hidden.T @ rest).abs().max() < 1e-3 * (hidden.T @ wanted).abs().max()
    assert rest.mean(0).abs().max() < 1e-4


def test_settled_codes_come_back_closer_those_not_seen_too(v, f_d):
    codes, _ = f_d.examples(label=5, count=2300)
    x, held = v.coordinates.into(codes[300:1300]), v.coordinates.into(codes[1300:])
    before = [mean_square(rows, come_back(v, rows)).item() for rows in (x, held)]
    settle(v, lambda: x, lambda: mean_square(held, come_back(v, held)).item())
    after = [mean_square(rows, come_back(v, rows)).item() for rows in (x, held)]
    assert after[0] < 0.97 * before[0]
    assert after[1] < before[1]


@pytest.mark.parametrize("ends", ["worse", "interrupted", "nan"])
def test_a_round_that_helps_nobody_is_undone(v, ends):
    last = linear_layer(v.decoder, -1)
    before, kept, scores = last.weight.clone(), [], iter([1.0, 0.5, None])

    def score():
        value = next(scores)
        if value is not None:
            kept.append(last.weight.clone())
            return value
        if ends == "interrupted":
            raise KeyboardInterrupt
        return 2.0 if ends == "worse" else float("nan")

    if ends == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            settle(v, lambda: normal(300, 10), score)
    else:
        settle(v, lambda: normal(300, 10), score)
    assert not torch.equal(last.weight, before)
    assert torch.equal(last.weight, kept[1])


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


def test_what_codes_say_in_the_frame_is_bounded_by_the_directions_that_come_to_count():
    generator = torch.Generator().manual_seed(0)

    def directions(share, metric, variances):
        values, vectors = torch.linalg.eigh((1 - share) * metric + share * torch.eye(len(metric)).double())
        root = (vectors * values.sqrt()) @ vectors.T
        spread = torch.linalg.eigvalsh(root @ torch.diag(variances) @ root)
        return (spread.sum() ** 2 / spread.square().sum()).item()

    basis = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64))[0]
    for steep, falling in ((3.0, 0.0), (3.0, 1.0), (1.0, 2.0), (0.0, 1.0)):
        sizes = torch.arange(1, 41).double()
        metric = (basis * sizes**-steep) @ basis.T
        metric = metric / metric.diagonal().mean()
        variances = sizes**-falling
        share = _code_share(metric, variances)
        assert 0 <= share <= MOST_SHARE
        grown = directions(share, metric, variances) / directions(0, metric, variances)
        assert grown <= GROWTH * (1 + 1e-9)
        if share < MOST_SHARE:
            assert directions(share + 0.01, metric, variances) / directions(0, metric, variances) > GROWTH
    even = torch.ones(40).double()
    assert _code_share(torch.eye(40).double(), even) == MOST_SHARE
    one = torch.zeros(40, 40).double()
    one[0, 0] = 40
    assert _code_share(one, even) == pytest.approx(0.25, abs=0.01)
