"""The measures, against another route to the same number."""

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr, variation
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.metrics import mean_squared_error, r2_score

from latent_vizae.measures import metrics
from latent_vizae.measures.metrics import (
    continuity,
    fvu,
    image_error,
    map_width,
    path_evenness,
    pca_fvu,
    round_trip_error,
    scale_normalised_stress,
    shepard_rho,
    trustworthiness,
)


@given(count=st.integers(8, 90), share=st.floats(0, 0.45), seed=st.integers(0, 999))
def test_trustworthiness_is_scikit_learns(count, share, seed):
    codes, points = normal(count, 6, seed=seed), normal(count, 2, seed=seed + 1)
    neighbours = max(1, int(share * count))
    expected = sklearn_trustworthiness(codes.double().numpy(), points.double().numpy(), n_neighbors=neighbours)
    assert trustworthiness(codes, points, neighbours) == pytest.approx(expected, abs=1e-9)
    back = sklearn_trustworthiness(points.double().numpy(), codes.double().numpy(), n_neighbors=neighbours)
    assert continuity(codes, points, neighbours) == pytest.approx(back, abs=1e-9)


@pytest.mark.parametrize("at_once", [1, 700, 10_000])
def test_trustworthiness_in_pieces_is_that_of_the_whole(monkeypatch, at_once):
    monkeypatch.setattr(metrics, "VALUES_AT_ONCE", at_once)
    codes, points = normal(333, 6), normal(333, 2, seed=1)
    for neighbours in (1, 7, 166):
        expected = sklearn_trustworthiness(codes.double().numpy(), points.double().numpy(), n_neighbors=neighbours)
        assert trustworthiness(codes, points, neighbours) == pytest.approx(expected, abs=1e-9)


def test_trustworthiness_asks_for_as_many_distances_at_once_as_fit(monkeypatch):
    monkeypatch.setattr(metrics, "VALUES_AT_ONCE", 5000)
    asked, distances = [], metrics._distances
    monkeypatch.setattr(metrics, "_distances", lambda *given: asked.append(distances(*given)) or asked[-1])
    trustworthiness(normal(400, 6), normal(400, 2))
    assert sum(len(part) for part in asked) == 2 * 400
    assert max(part.numel() for part in asked) <= 5000


def test_codes_that_coincide_are_neighbours_of_each_other():
    codes = normal(30, 5).repeat(2, 1)  # every code twice
    assert trustworthiness(codes, codes) == continuity(codes, codes) == 1
    assert trustworthiness(codes, torch.zeros(60, 2)) < 1
    assert continuity(codes, torch.zeros(60, 2)) == 1  # nothing on the map is nearer than a neighbour


def test_a_map_that_keeps_all_distances_is_trusted_wholly():
    codes = normal(50, 2)
    turned = codes @ torch.linalg.qr(normal(2, 2, seed=1))[0] * 7
    assert trustworthiness(codes, turned) == continuity(codes, turned) == 1


@pytest.mark.parametrize("neighbours", [0, -1, 25, 50])
def test_more_neighbours_than_there_are_is_refused(neighbours):
    with pytest.raises(ValueError, match=f"50 codes, got {neighbours}"):
        trustworthiness(normal(50, 6), normal(50, 2), neighbours)


@given(count=st.integers(2, 60), width=st.integers(1, 9), seed=st.integers(0, 999), size=st.floats(-6, 6))
def test_fvu_is_one_minus_r_squared(count, width, seed, size):
    codes = 10**size * normal(count, width, seed=seed).double()
    decoded = codes + 0.3 * 10**size * normal(count, width, seed=seed + 1)
    expected = 1 - r2_score(codes, decoded, multioutput="variance_weighted")
    assert fvu(codes, decoded) == pytest.approx(expected, rel=1e-6)


def test_fvu_at_its_ends():
    codes = normal(30, 4)
    assert fvu(codes, codes) == 0
    assert fvu(codes, codes.mean(0).expand_as(codes)) == pytest.approx(1)
    assert fvu(codes, 2 * codes.mean(0) - codes) == pytest.approx(4)
    assert fvu(codes, codes + 1, mean=codes.mean(0) + 1e3) < 1e-5
    alike = torch.full((5, 3), 7.0)
    assert fvu(alike, alike) == 0
    assert fvu(alike, alike + 1) == float("inf")


@given(count=st.integers(5, 80), width=st.integers(3, 12), dim=st.integers(1, 3), seed=st.integers(0, 999))
def test_pca_fvu_is_scikit_learns(count, width, dim, seed):
    codes = (normal(count, width, seed=seed) * torch.logspace(0, -1, width) + 5).double()
    pca = PCA(dim).fit(codes.numpy())
    back = torch.from_numpy(pca.inverse_transform(pca.transform(codes.numpy())))
    assert pca_fvu(codes, dim) == pytest.approx(fvu(codes, back), rel=1e-6, abs=1e-9)


def test_pca_fvu_of_codes_without_variance_is_none():
    assert pca_fvu(torch.ones(5, 4), 2) == 0
    assert pca_fvu(normal(1, 4), 2) == 0


@given(count=st.integers(1, 60), dim=st.integers(1, 3), seed=st.integers(0, 999))
def test_round_trip_error_is_the_root_of_scikit_learns_error(count, dim, seed):
    points, back = normal(count, dim, seed=seed), normal(count, dim, seed=seed + 1)
    expected = np.sqrt(dim * mean_squared_error(points.numpy(), back.numpy()))
    assert round_trip_error(points, back) == pytest.approx(expected, rel=1e-5)
    assert round_trip_error(points, points) == 0
    assert map_width(points) == pytest.approx(np.ptp(points.numpy(), axis=0).max(), abs=1e-6)
    assert round_trip_error(3 * points, 3 * back) == pytest.approx(3 * expected, rel=1e-5)


def test_round_trip_error_is_a_distance():
    assert round_trip_error(torch.zeros(4, 2), torch.tensor([[3.0, 4.0]]).expand(4, 2)) == pytest.approx(5)


@pytest.mark.parametrize("measure", [fvu, image_error, round_trip_error])
def test_unlike_pairs_are_refused(measure):
    with pytest.raises(ValueError, match=r"same shape, got \(4, 3\) and \(1, 3\)"):
        measure(torch.zeros(4, 3), torch.zeros(1, 3))


def test_points_without_a_code_are_refused():
    with pytest.raises(ValueError, match="got 30 codes and 20 points"):
        trustworthiness(normal(30, 6), normal(20, 2))


@given(count=st.integers(1, 20), seed=st.integers(0, 999))
def test_image_error_is_scikit_learns(count, seed):
    images, others = normal(count, 3, 4, 5, seed=seed), normal(count, 3, 4, 5, seed=seed + 1)
    expected = mean_squared_error(images.flatten(1).numpy(), others.flatten(1).numpy())
    assert image_error(images, others) == pytest.approx(expected, rel=1e-5)


def test_image_error_is_a_mean_over_pixels():
    assert image_error(torch.zeros(3, 1, 2, 2), torch.full((3, 1, 2, 2), 0.5)) == 0.25
    one = torch.zeros(2, 3, 4, 4)
    one[0, 0, 0, 0] = 1
    assert image_error(one, torch.zeros_like(one)) == pytest.approx(1 / one.numel())


@given(frames=st.integers(3, 40), size=st.floats(1e-3, 1))
def test_a_constant_pace_is_even(frames, size):
    ramp = torch.linspace(0, size, frames).reshape(-1, 1, 1, 1).expand(-1, 1, 3, 3)
    assert path_evenness(ramp) < 1e-3


def test_evenness_is_deviation_over_mean():
    positions = torch.tensor([0.0, 0.1, 0.4]).reshape(-1, 1, 1, 1)  # steps of 0.1 and 0.3
    assert path_evenness(positions) == pytest.approx(0.5, rel=1e-6)
    assert path_evenness(torch.zeros(4, 1, 2, 2)) == 0
    assert path_evenness(torch.tensor([0.0, 0.0, 1.0]).reshape(-1, 1, 1, 1)) == pytest.approx(1)


@given(frames=st.integers(3, 20), seed=st.integers(0, 999))
def test_evenness_is_scipys_variation(frames, seed):
    images = normal(frames, 1, 4, 5, seed=seed)
    steps = np.sqrt(np.square(np.diff(images.numpy(), axis=0)).mean((1, 2, 3)))
    assert path_evenness(images) == pytest.approx(variation(steps), rel=1e-5, abs=1e-9)


def test_two_images_have_no_pace():
    with pytest.raises(ValueError, match="at least 3 images of a path, got 2"):
        path_evenness(torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("offset", [0.0, 1e7, 1e20])
def test_fvu_does_not_count_a_column_without_variance(offset):
    codes = torch.cat([normal(30, 5), torch.full((30, 1), offset)], 1)
    decoded = codes + torch.cat([0.3 * normal(30, 5, seed=1), torch.zeros(30, 1)], 1)
    assert fvu(codes, decoded) == pytest.approx(fvu(codes[:, :5], decoded[:, :5]), rel=1e-6)
    assert fvu(codes, codes.mean(0).expand_as(codes)) == pytest.approx(1)
    wrong = decoded + torch.tensor([0.0] * 5 + [1e-3 * offset])
    assert offset == 0 or fvu(codes, wrong) > 100


@given(count=st.integers(3, 60), seed=st.integers(0, 999), step=st.sampled_from([0, 1]))
def test_distances_are_compared_as_scipy_does(count, seed, step):
    codes, points = normal(count, 6, seed=seed), normal(count, 2, seed=seed + 1)
    if step:  # whole numbers: many distances are the same
        codes, points = codes.round(), points.round() + torch.arange(count)[:, None] % 3
    ours, theirs = pdist(codes.double().numpy()), pdist(points.double().numpy())

    def stress(scale):
        return np.sqrt(((ours - scale * theirs) ** 2).sum() / (ours**2).sum())

    least = minimize_scalar(stress, (0, 10), method="brent", options={"xtol": 1e-10}).fun
    assert scale_normalised_stress(codes, points) == pytest.approx(least, abs=1e-6)
    if ours.std() > 1e-9 < theirs.std():
        assert shepard_rho(codes, points) == pytest.approx(spearmanr(ours, theirs).statistic, abs=1e-9)


def test_a_map_at_another_scale_has_no_stress():
    codes = normal(40, 2)
    turned = codes @ torch.linalg.qr(normal(2, 2, seed=1))[0]
    for scale in (1e-3, 1, 1e5):
        assert scale_normalised_stress(codes, scale * turned) == pytest.approx(0, abs=1e-6)
        assert shepard_rho(codes, scale * turned) == pytest.approx(1, abs=1e-6)
    assert scale_normalised_stress(codes, torch.zeros(40, 2)) == 1
    assert scale_normalised_stress(torch.zeros(40, 2), torch.zeros(40, 2)) == 0
    for measure in (scale_normalised_stress, shepard_rho):
        with pytest.raises(ValueError, match="one point per code"):
            measure(codes, turned[:39])
