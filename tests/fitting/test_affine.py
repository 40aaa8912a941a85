"""Rotating and scaling: they change the map, and not what comes back."""

import pytest
import torch
from draws import normal

from latent_vizae import fit
from latent_vizae.fitting.affine import rescale, to_principal_axes
from latent_vizae.network.perceptron import through


@pytest.fixture
def v(f_d):
    codes, _ = f_d.examples(label=5, count=300)
    return fit(codes, f_d, steps=40)


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
