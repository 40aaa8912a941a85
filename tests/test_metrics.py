"""The measures, against another route to the same number."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.metrics import r2_score

from latent_vizae.metrics import continuity, fvu, image_error, path_evenness, pca_fvu, trustworthiness


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(count=st.integers(8, 90), share=st.floats(0, 0.45), seed=st.integers(0, 999))
def test_trustworthiness_is_scikit_learns(count, share, seed):
    codes, points = normal(count, 6, seed=seed), normal(count, 2, seed=seed + 1)
    neighbours = max(1, int(share * count))
    expected = sklearn_trustworthiness(codes.numpy(), points.numpy(), n_neighbors=neighbours)
    assert trustworthiness(codes, points, neighbours) == pytest.approx(expected, abs=1e-9)
    back = sklearn_trustworthiness(points.numpy(), codes.numpy(), n_neighbors=neighbours)
    assert continuity(codes, points, neighbours) == pytest.approx(back, abs=1e-9)


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
