"""How typical codes and how real images are: against known truths, and against another way to the same number."""

import math

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve
from scipy.spatial.distance import cdist, mahalanobis
from scipy.stats import kstest

from latent_vizae.measures import typicality
from latent_vizae.measures.realism import contrast, sliced_wasserstein, spread, unlikeness
from latent_vizae.measures.typicality import (
    distance_ratio,
    energy_distance,
    energy_test,
    mahalanobis_lengths,
    norm_ratio,
)


def blobs(count, seed=0, size=32, channels=1, contrast=1.0):
    """Images of a few smooth blobs."""
    low = normal(count, channels, 6, 6, seed=seed)
    images = torch.nn.functional.interpolate(low, (size, size), mode="bicubic", align_corners=False)
    return (0.5 + 0.12 * contrast * images).clamp(0, 1)


def test_a_prior_has_its_own_norm_and_a_mean_none():
    codes = normal(400, 100)
    assert norm_ratio(codes, normal(400, 100, seed=1)) == pytest.approx(1, abs=0.01)
    assert norm_ratio(0.3 * codes, codes) == pytest.approx(0.3)
    assert norm_ratio(codes.unflatten(1, (4, 5, 5)), codes) == pytest.approx(1)
    assert norm_ratio(torch.zeros(3, 4), torch.zeros(2, 4)) == 1
    assert norm_ratio(torch.ones(3, 4), torch.zeros(2, 4)) == math.inf


def test_mahalanobis_lengths_are_scipys():
    mixing = normal(6, 6, seed=1)
    codes, others = normal(50, 6) @ mixing, normal(300, 6, seed=2) @ mixing + 3
    inverse = np.linalg.inv(np.cov(others.double().numpy().T))
    expected = [mahalanobis(z, others.double().mean(0), inverse) / 6**0.5 for z in codes.double().numpy()]
    assert mahalanobis_lengths(codes, others).tolist() == pytest.approx(expected)
    assert mahalanobis_lengths(others, others).square().mean().item() == pytest.approx(299 / 300)


def test_directions_that_nothing_varies_in_count_for_nothing():
    flat = torch.cat([normal(200, 3), torch.ones(200, 2)], 1)
    assert torch.allclose(mahalanobis_lengths(flat, flat), mahalanobis_lengths(flat[:, :3], flat[:, :3]))


def test_energy_distance_is_what_all_pairs_say():
    one, other = normal(40, 7), 1.3 * normal(50, 7, seed=1)
    x, y = one.double().numpy(), other.double().numpy()
    expected = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert energy_distance(one, other) == pytest.approx(expected)
    assert energy_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_p_values_are_uniform_where_both_are_one_distribution():
    found = [energy_test(normal(25, 8, seed=2 * s), normal(35, 8, seed=2 * s + 1), 99, seed=s)[1] for s in range(200)]
    assert kstest(found, "uniform").pvalue > 0.01
    assert min(found) >= 0.01


@pytest.mark.parametrize(
    "change",
    [lambda x: x + 0.3, lambda x: 0.8 * x, lambda x: x * x.norm(dim=1).mean() / x.norm(dim=1, keepdim=True) / 1.2],
)
def test_p_values_are_small_where_they_are_not(change):
    assert energy_test(change(normal(200, 20)), normal(200, 20, seed=1))[1] <= 0.01


def test_the_order_of_rows_and_the_parts_they_come_in_do_not_matter(monkeypatch):
    one, other, known = normal(30, 5), normal(40, 5, seed=1), normal(90, 5, seed=2)
    energy, ratio = energy_distance(one, other), distance_ratio(one, other, known)
    monkeypatch.setattr(typicality, "VALUES_AT_ONCE", 35)
    assert energy_distance(one.flip(0), other) == pytest.approx(energy)
    assert distance_ratio(one, other.flip(0), known.flip(0)) == pytest.approx(ratio)
    assert distance_ratio(one, other, known) == pytest.approx(
        cdist(one, known).min(1).mean() / cdist(other, known).min(1).mean(), rel=1e-6
    )


def test_means_of_images_are_too_like_and_caricatures_too_unlike():
    known, draws, images = blobs(300), blobs(60, seed=1), blobs(60, seed=2)
    assert unlikeness(images, draws, known) == pytest.approx(1, abs=0.03)
    for strength in (0.5, 1.5):
        bent = 0.5 + strength * (images - 0.5)
        for measure in (spread, contrast):
            assert measure(bent, images) == pytest.approx(strength, rel=1e-6)
        assert (unlikeness(bent, draws, known) < 0.97) == (strength < 1)
    assert unlikeness(known[:50], draws, known) == pytest.approx(0, abs=1e-6)
    assert spread(images[:1].expand(5, -1, -1, -1), draws) == pytest.approx(0, abs=1e-6)


def test_spread_and_contrast_are_numpys():
    images, draws = blobs(20, channels=3), blobs(30, seed=1, channels=3)
    flat, others = images.flatten(1).double().numpy(), draws.flatten(1).double().numpy()
    apart = [cdist(x, x).sum() / (len(x) * (len(x) - 1)) for x in (flat, others)]
    assert spread(images, draws) == pytest.approx(apart[0] / apart[1])
    assert contrast(images, draws) == pytest.approx(flat.std(1).mean() / others.std(1).mean())


def reference_wasserstein(one, other, seed):
    """After Karras et al.'s own code (metrics/sliced_wasserstein.py), in numpy."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256

    def pyramid(images):
        levels = [images]
        while min(images.shape[2:]) // 2 >= 14:
            smaller = convolve(images, kernel, mode="mirror")[:, :, ::2, ::2]
            larger = np.zeros_like(images)
            larger[:, :, ::2, ::2] = smaller
            levels[-1] = images - convolve(larger, 4 * kernel, mode="mirror")
            levels.append(smaller)
            images = smaller
        return levels

    draws = np.random.default_rng(seed)
    found = []
    for pair in zip(pyramid(one.double().numpy()), pyramid(other.double().numpy()), strict=True):
        patches = []
        for images in pair:
            cut = []
            for image in images:
                for _ in range(128):
                    y, x = (draws.integers(side - 6) for side in image.shape[1:])
                    cut.append(image[:, y : y + 7, x : x + 7])
            patches.append(np.stack(cut))
        both = np.concatenate(patches)
        mean, deviation = both.mean((0, 2, 3), keepdims=True), both.std((0, 2, 3), keepdims=True)
        first, second = (((p - mean) / deviation).reshape(len(p), -1) for p in patches)
        directions = draws.standard_normal((first.shape[1], 128))
        directions /= np.sqrt((directions**2).sum(0))
        found.append(np.abs(np.sort(first @ directions, 0) - np.sort(second @ directions, 0)).mean())
    return np.mean(found)


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (28, 1), (45, 1)])
def test_sliced_wasserstein_is_that_of_another_way(size, channels):
    one, other = blobs(24, 0, size, channels), blobs(24, 1, size, channels, contrast=0.6)
    expected = [reference_wasserstein(one, other, seed) for seed in range(4)]
    found = [sliced_wasserstein(one, other, seed) for seed in range(4)]
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.03)  # other patches and directions


def test_sliced_wasserstein_sees_blur_contrast_and_shift_but_not_other_draws():
    one, other = blobs(80), blobs(80, seed=1)
    alike = sliced_wasserstein(one, other)
    assert sliced_wasserstein(one, one) < alike
    blurred = torch.nn.functional.avg_pool2d(other, 5, 1, 2, count_include_pad=False)
    for changed in (blurred, 0.5 + 0.5 * (other - 0.5), (other + 0.15).clamp(0, 1)):
        assert sliced_wasserstein(one, changed) > 1.5 * alike
    assert sliced_wasserstein(one, other) == pytest.approx(sliced_wasserstein(other, one), rel=0.25)


@given(scale=st.floats(0.2, 0.9), seed=st.integers(0, 99))
def test_sliced_wasserstein_has_no_unit(scale, seed):
    one, other = blobs(10, seed), blobs(10, seed + 1)
    assert sliced_wasserstein(scale * one, scale * other) == pytest.approx(sliced_wasserstein(one, other), rel=1e-3)


def test_what_no_measure_takes_is_said():
    for call in (
        lambda: norm_ratio(normal(3, 4), normal(3, 5)),
        lambda: norm_ratio(normal(0, 4), normal(3, 4)),
        lambda: mahalanobis_lengths(normal(3, 4), normal(1, 4)),
        lambda: energy_distance(normal(3, 4), normal(3, 5)),
        lambda: energy_test(normal(3, 4), normal(1, 4)),
        lambda: distance_ratio(normal(3, 4), normal(3, 4), normal(3, 5)),
        lambda: energy_distance(normal(4), normal(4)),
    ):
        with pytest.raises(ValueError, match=r"rows of the same length; got .*\("):
            call()
    with pytest.raises(ValueError, match="at least 1 permutation, got 0"):
        energy_test(normal(3, 4), normal(3, 4), permutations=0)
    for call in (
        lambda: unlikeness(blobs(3), blobs(3), blobs(3, size=16)),
        lambda: spread(blobs(1), blobs(3)),
        lambda: contrast(blobs(3).flatten(1), blobs(3).flatten(1)),
        lambda: sliced_wasserstein(blobs(3), blobs(3, channels=3)),
    ):
        with pytest.raises(ValueError, match=r"at least 2 images \(k, C, H, W\) of one size; got"):
            call()
    with pytest.raises(ValueError, match="same number of images, got 3 and 4"):
        sliced_wasserstein(blobs(3), blobs(4))
    with pytest.raises(ValueError, match="7 x 7 pixels"):
        sliced_wasserstein(blobs(3, size=6), blobs(3, size=6))
