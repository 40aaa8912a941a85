"""The zoo's measures: each is what its formula says where the answer is known."""

import math

import pytest
import torch

from latent_vizae.demos.zoo.measures import (
    classes_seen,
    frechet_distance,
    inception_score,
    pca,
    precision_recall,
)


def cloud(count=400, size=5, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=random) @ torch.randn(size, size, generator=random)


def test_the_score_is_the_number_of_classes_at_best_and_one_at_worst():
    sure = torch.eye(10).repeat(7, 1)
    assert inception_score(sure) == pytest.approx(10)
    assert inception_score(torch.full((50, 10), 0.1)) == pytest.approx(1)  # sees nothing
    assert inception_score(sure[:1].repeat(50, 1)) == pytest.approx(1)  # sees one thing
    assert inception_score(sure[:3].repeat(20, 1)) == pytest.approx(3)


def test_the_score_is_the_information_that_an_image_gives_about_its_class():
    chances = torch.rand(30, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    both = chances / len(chances)  # image and class
    apart = both.sum(1, keepdim=True) * both.sum(0, keepdim=True)
    assert math.log(inception_score(chances)) == pytest.approx((both * (both / apart).log()).sum().item(), rel=1e-4)


def test_classes_are_counted():
    assert classes_seen(torch.eye(10).repeat(3, 1)) == pytest.approx(10)
    assert classes_seen(torch.eye(10)[:1].repeat(9, 1)) == pytest.approx(1)
    lopsided = torch.eye(4)[[0, 0, 0, 1]]
    assert 1 < classes_seen(lopsided) < classes_seen(lopsided[2:]) == pytest.approx(2)


def test_the_frechet_distance_of_a_shifted_cloud_is_the_shift_squared():
    points, shift = cloud(), torch.tensor([1.0, -2.0, 0.0, 0.5, 3.0])
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(points, points + shift) == pytest.approx(shift.square().sum().item(), rel=1e-4)
    assert frechet_distance(points, cloud(seed=1)) == pytest.approx(frechet_distance(cloud(seed=1), points), rel=1e-6)


def test_the_frechet_distance_of_scaled_clouds_is_that_of_their_deviations():
    points = cloud()
    points = points - points.mean(0)
    trace = points.double().T.cov().trace().item()
    assert frechet_distance(points, 3 * points) == pytest.approx(4 * trace, rel=1e-5)  # (3 - 1)^2 of each variance
    flat = points.clone()
    flat[:, 0] = 0  # of less than full rank
    assert math.isfinite(frechet_distance(points, flat))


def test_the_frechet_distance_is_that_of_the_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    first, second = cloud(seed=2).double(), cloud(seed=3).double() + 1
    one, two = first.T.cov(), second.T.cov()
    root = linalg.sqrtm((one @ two).numpy()).real.trace()
    expected = (first.mean(0) - second.mean(0)).square().sum() + one.trace() + two.trace() - 2 * root
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-8)


def test_precision_and_recall_tell_what_is_missing_from_what_is_wrong():
    random = torch.Generator().manual_seed(0)
    left, right = (torch.randn(200, 3, generator=random) + at for at in (0, 100))
    both = torch.cat([left, right])
    assert precision_recall(both, both) == (1, 1)
    assert precision_recall(left, right) == (0, 0)
    assert precision_recall(both, left) == (1, 0.5)  # half of what is real is never drawn
    assert precision_recall(left, both) == (0.5, 1)  # half of the draws are wrong


def test_a_point_reaches_as_far_as_its_kth_neighbour():
    real = torch.tensor([[0.0], [1.0], [3.0]])
    assert precision_recall(real, torch.tensor([[3.9], [4.1]] * 2), 1)[0] == 1  # 3 reaches to 5
    assert precision_recall(real, torch.tensor([[4.9], [5.1]] * 2), 1)[0] == 0.5
    assert precision_recall(real, torch.tensor([[5.9], [6.1]] * 2), 2)[0] == 0.5


def test_pca_loses_the_smallest_variances():
    images = 0.5 + 0.01 * cloud(300, 12, seed=4).reshape(-1, 1, 4, 3)  # far from black and white
    rows = images.flatten(1).double()
    sizes = torch.linalg.svdvals(rows - rows.mean(0))
    for size in (1, 5, 11):
        expected = sizes[size:].square().sum().item() / rows.numel()
        assert pca(images).error(images, size) == pytest.approx(expected, rel=1e-4)
    assert pca(images).error(images, 12) == pytest.approx(0, abs=1e-10)
    assert pca(images).error(images + 0.1, 5) > pca(images).error(images, 5)


def test_what_pca_gives_is_an_image():
    train = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).reshape(2, 1, 1, 2) + 0.5
    test = torch.tensor([1.0, 0.5]).reshape(1, 1, 1, 2)
    assert pca(train).error(test, 1) == pytest.approx(0)
    assert pca(train).error(test + torch.tensor([0.5, 0.0]), 1) == pytest.approx(0.5**2 / 2)  # comes back as 1.5
