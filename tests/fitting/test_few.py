"""Fewer codes than the map has directions: the decoder says which directions are shown."""

import pytest
import torch
from draws import normal

from latent_vizae import fit
from latent_vizae.fitting.frame import _secant_metric
from latent_vizae.fitting.one_code import IMAGE_CHANGE, _reach
from latent_vizae.measures.metrics import image_error


def squares(z):
    """A small smooth decoder without parameters: 16 pixels from the first 6 values."""
    waves = torch.sin(z.flatten(1)[:, :6] @ normal(6, 16, seed=3).to(z))
    return (0.5 + 0.5 * waves).reshape(-1, 1, 4, 4)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_one_code_spans_exactly_what_a_decoder_can_show(linear, dim):
    weight = 0.02 * normal(6, dim, seed=1) @ normal(dim, 16, seed=2)
    code = 0.3 * normal(1, 6)
    v = fit(code, decoder=linear(weight), dim=dim)
    directions = v.decode(torch.eye(dim)) - v.decode(torch.zeros(1, dim))
    shown = torch.linalg.svd(weight)[0][:, :dim]
    assert (directions - directions @ shown @ shown.T).norm() < 1e-3 * directions.norm()
    assert torch.linalg.matrix_rank(directions, rtol=1e-3) == dim
    assert torch.equal(v(code), code)


def test_one_code_spans_the_top_eigenvectors_of_the_pull_back_metric(linear):
    left, right = torch.linalg.qr(normal(6, 6, seed=1))[0], torch.linalg.qr(normal(16, 16, seed=2))[0]
    weight = left @ torch.diag(torch.tensor([0.1, 0.08, 0.05, 0.03, 0.02, 0.01])) @ right[:6]
    v = fit(0.1 * normal(1, 6), decoder=linear(weight), dim=2)
    directions = v.decode(torch.eye(2)) - v.decode(torch.zeros(1, 2))
    eigenvectors = torch.linalg.eigh(weight @ weight.T)[1].flip(1)[:, :2]
    assert (directions - directions @ eigenvectors @ eigenvectors.T).norm() < 1e-3 * directions.norm()


@pytest.mark.parametrize("k", [1, 2])
def test_completed_directions_change_the_image_visibly_and_no_more(f_d, k):
    codes, _ = f_d.examples(label=8, count=k)
    v = fit(codes, decoder=f_d, dim=3)
    ends = torch.cat([torch.eye(3), -torch.eye(3)])[[2, 5]]  # the last direction is always a completed one
    images = f_d(v.decode(torch.cat([torch.zeros(1, 3), ends])))
    change = (images[1:] - images[:1]).square().flatten(1).mean(1).mean().item()
    assert IMAGE_CHANGE <= change < 2 * IMAGE_CHANGE
    assert torch.allclose(v(codes), codes, atol=1e-5)


@pytest.mark.parametrize(("n", "gradients", "most"), [(32, False, 250), (32, True, 250), (1024, True, 100)])
def test_a_slow_decoder_is_asked_for_few_images_that_tell_its_directions(n, gradients, most):
    asked, returned = [], []
    axes = torch.linalg.qr(normal(n, 6, seed=1))[0] * 0.5 ** torch.arange(6)
    patterns = torch.linalg.qr(normal(3 * 64 * 64, 6, seed=2))[0].T

    def decoder(z):
        asked.append(len(z))
        images = (0.5 + 10 * z @ axes @ patterns).unflatten(1, (3, 64, 64))
        if not gradients:
            return images.detach()
        if images.requires_grad:
            images.register_hook(lambda slope: returned.append(len(slope)))
        return images

    code = 0.1 * normal(1, n)
    v = fit(code, decoder=decoder, dim=2)
    directions = v.decode(torch.eye(2)) - v.decode(torch.zeros(1, 2))
    shown = (torch.linalg.qr(directions.T)[0].T @ axes).square().sum()
    assert shown > 0.95 * axes[:, :2].square().sum()
    assert sum(asked) + sum(returned) < most


@pytest.mark.parametrize("k", [4, 20, 49])
def test_few_codes_of_large_images_are_decoded_once_and_no_slope_is_taken(k):
    asked, sloped, patterns = [], [], torch.linalg.qr(normal(3 * 64 * 64, 64, seed=2))[0].T

    def decoder(z):
        asked.append(len(z))
        sloped.append(z.requires_grad)
        return (0.5 + 0.5 * torch.tanh(z) @ patterns).unflatten(1, (3, 64, 64))

    codes = torch.linspace(1, 0.1, 64) * normal(k, 64)
    v = fit(codes, decoder=decoder, dim=2)
    assert sum(asked) == 1 + 4 + k + min(k, 8)  # four to see whether images repeat, at most eight are measured
    assert not any(sloped)
    assert v.report.image_error < 1e-8
    assert v.report.image_error == pytest.approx(image_error(decoder(codes)[:8], decoder(v(codes))[:8]), rel=1e-3)


def test_directions_without_image_change_do_not_blow_up_the_frame():
    def decoder(z):  # three quiet values are all that is seen
        return torch.sigmoid(z[:, :3] @ normal(3, 16, seed=1)).reshape(-1, 1, 4, 4)

    codes = normal(40, 10) * torch.tensor([0.02] * 3 + [1.0] * 7)
    v = fit(codes, decoder=decoder)
    assert torch.linalg.cond(v.frame) < 1e4
    assert v.report.fvu < 1e-4


def test_codes_that_nearly_coincide_do_not_drown_what_images_tell():
    patterns = torch.linalg.qr(normal(3 * 64 * 64, 64, seed=2))[0].T

    def decoder(z):  # in steps, as half precision has them
        images = 0.5 + torch.tanh(z) @ patterns
        return ((images * 500).round() / 500).clamp(0, 1).unflatten(1, (3, 64, 64))

    codes = torch.linspace(1, 0.1, 64) * normal(12, 64)
    alone = fit(codes, decoder=decoder)
    doubled = fit(torch.cat([codes, codes[:1] + 1e-4 * normal(1, 64, seed=5)]), decoder=decoder)
    assert (alone.basis.T @ doubled.basis).norm() > 0.99 * 11**0.5
    lengths = [((codes - v.mean) @ v.basis @ v.frame).norm(dim=1) for v in (alone, doubled)]
    assert torch.corrcoef(torch.stack([each / each.mean() for each in lengths]))[0, 1] > 0.9


@pytest.mark.parametrize("k", [20, 200])
def test_slopes_that_are_not_finite_are_left_out_and_told_of_where_there_are_many(k, recwarn):
    def roots(z):
        return (z[:, :4].clamp(0, 9).sqrt() / 3).reshape(-1, 1, 2, 2)

    codes = normal(k, 6).abs() * torch.tensor([3, 2, 1, 1, 1, 1])
    codes[1, 0] = 0
    with_decoder = fit(codes, roots, steps=20)
    assert not recwarn
    assert not torch.equal(with_decoder.frame, fit(codes, steps=20).frame)
    codes[:, 0] = 0
    with pytest.warns(UserWarning, match="slopes of this decoder are NaN or infinite.*: fit does without"):
        fit(codes, roots, steps=20)


def test_white_noise_keeps_its_directions():
    codes = normal(600, 512)
    assert fit(codes, steps=1).report.rank == 512
    assert fit(codes * torch.logspace(0, -2, 512), steps=1).report.rank == 256


def test_of_few_codes_the_metric_takes_distances_of_codes_to_those_of_their_images():
    codes, images = normal(12, 40), torch.rand(12, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    centred = codes - codes.mean(0)
    basis = torch.linalg.svd(centred, full_matrices=False)[2][:11].T
    inside = (centred @ basis).double()
    root = torch.linalg.cholesky(_secant_metric(centred, basis, images))
    assert torch.allclose(torch.cdist(inside @ root, inside @ root).float(), torch.cdist(*2 * [images.flatten(1)]))
    linear = normal(6, 48, seed=2)  # more codes than directions, and images that are linear in them
    centred, basis = codes[:, :6] - codes[:, :6].mean(0), torch.eye(6)
    metric = _secant_metric(centred, basis, (centred @ linear).unflatten(1, (3, 4, 4)))
    assert torch.allclose(metric.float(), linear @ linear.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("power", [1, 3])
def test_a_decoder_without_a_clamp_is_not_led_out_of_its_range(power):
    v = fit(5 * torch.ones(1, 12), decoder=lambda z: (0.5 + (z - 5) ** power).reshape(-1, 1, 3, 4), dim=2)
    assert v.report.rank == 2


@pytest.mark.parametrize("gain", [1e-3, 0.05, 0.5, 5, 1e3])
def test_the_way_to_a_visible_change_is_found_from_either_side(gain):
    def decoder(z):
        return (0.5 + gain * z).clamp(0, 1).reshape(-1, 1, 2, 3)

    one = torch.ones((), dtype=torch.float64)
    reach = _reach(decoder, torch.zeros(6).double(), torch.eye(6).double()[0], one, (6,)).item()
    exact = (6 * IMAGE_CHANGE) ** 0.5 / gain
    assert min(max(exact, 1e-3), 10) <= reach * (1 + 1e-6)
    assert reach <= 1.26 * min(max(exact, 1e-3), 10)


def test_one_code_without_a_decoder_gets_a_plane_of_half_its_norm():
    code = normal(1, 12)
    v = fit(code, dim=3, seed=2)
    directions = v.decode(torch.eye(3)) - code
    assert torch.equal(v(code), code)
    assert torch.allclose(directions @ directions.T, torch.eye(3) * (code.norm() / 2) ** 2, rtol=1e-4, atol=1e-4)
    assert torch.allclose((fit(torch.zeros(1, 12), dim=1).decode([[1.0]])).norm(), torch.ones(()), atol=1e-4)


def test_codes_of_no_variance_are_one_code():
    code = normal(1, 6)
    for k in (3, 70):
        v = fit(code.repeat(k, 1), decoder=squares, dim=2)
        assert v.report.fvu == 0
        assert torch.allclose(v(code), code, atol=1e-6)
        assert torch.linalg.matrix_rank(v.decode(torch.eye(2)) - code) == 2
