"""Detail of a fit: what is measured, and when it is wanted."""

import pytest
import torch
from priors import Waves, draws
from scipy.stats import kstest

from latent_vizae import fit, load_decoder
from latent_vizae.fitting.detail import deviation, normality, regression
from latent_vizae.measures.typicality import energy_test


def test_digits_are_typical_as_they_are():
    f_d = load_decoder("mnist")
    for label in (None, 5):
        codes, _ = f_d.examples(label=label, count=600)
        v = fit(codes, f_d, steps=100)
        assert v.detail == 0
        assert v.report.sheet_unlikeness == pytest.approx(1, abs=0.15)
        assert "of the codes' norm, images" in str(v.report)


def test_the_report_has_the_measures_with_and_without():
    report = fit(draws(400), Waves(), steps=60).report
    assert report.sheet_norm < 0.75
    assert 0.9 < report.detail_norm < 1.1
    assert report.sheet_spread < 0.85
    assert 0.85 < report.detail_spread < 1.15
    assert report.sheet_unlikeness < report.detail_unlikeness
    alone = fit(draws(100), steps=5).report
    assert (alone.sheet_unlikeness, alone.detail_spread) == (None, None)
    assert alone.sheet_norm > 0


def test_clusters_are_no_draws_of_a_normal_distribution():
    normal = draws(300)
    clusters = 0.3 * normal + 2 * torch.randn(4, 24, generator=torch.Generator().manual_seed(1))[torch.arange(300) % 4]
    assert normality(normal) > 0.4
    assert normality(clusters) < 0.05


def test_slopes_of_octaves():
    x = draws(4000)[:, :6].double()
    y = torch.tensor([1.0, 0.5, 0.5, 0.25, 0.25, 0.25])
    noise = draws(4000, 1)[:, :6].double()
    assert regression(x, x * y + 0.1 * noise).tolist() == pytest.approx(y.tolist(), abs=0.02)
    assert regression(0 * x, x).tolist() == [0] * 6
    assert regression(x, 5 * x).max() <= 1.1


def test_deviation_is_0_for_typical_images_and_without_images():
    assert deviation([1, 1, 1]) == 0
    assert deviation([0.3, None, None]) == 0
    assert deviation([0.3, 0.8, 0.8]) > deviation([0.9, 0.9, 0.9]) > 0


def test_draws_at_a_place_have_the_conditional_distribution():
    """Of a normal prior: ranks of new codes among draws at their places are uniform, and draws are as new codes."""
    v, new = fit(draws(1500), Waves()), draws(800, 20)
    points = v.encode(new[:200])
    drawn = [v.sample(points, seed) for seed in range(50)]
    for measure in (
        lambda z: z.norm(dim=1),
        lambda z: (z - v.decode(points, detail=0)).norm(dim=1),
        lambda z: z @ torch.ones(24),
    ):
        ranks = torch.stack([measure(each) < measure(new[:200]) for each in drawn]).float().mean(0)
        jitter = (torch.rand(200, generator=torch.Generator().manual_seed(0)) - 0.5) / 50
        assert kstest((ranks + jitter).clamp(0, 1).numpy(), "uniform").statistic < 0.17  # of 200 uniform ones: 0.1
    assert energy_test(drawn[0], new[200:])[1] > 0.01
