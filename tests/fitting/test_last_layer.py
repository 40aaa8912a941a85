"""The last layer of v_d in closed form: what it leaves, and that rounds which do not help are undone."""

import pytest
import torch
from draws import normal

from latent_vizae import fit
from latent_vizae.fitting.last_layer import settle, solve_last_layer
from latent_vizae.measures.metrics import mean_square
from latent_vizae.network.nearest_point import nearest_point
from latent_vizae.network.perceptron import linear_layer, through


@pytest.fixture
def v(f_d):
    codes, _ = f_d.examples(label=5, count=300)
    return fit(codes, f_d, steps=40)


def come_back(v, x):
    return through(v.decoder, nearest_point(v.decoder, x, through(v.encoder, x), v.pull))


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
