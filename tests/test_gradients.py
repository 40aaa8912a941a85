"""Gradients: of codes and images by points, and of points by codes."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.func import jacfwd, jacrev, vmap

from latent_vizae import LatentMap, fit, load_decoder


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def f_d():
    return load_decoder("mnist")


@pytest.fixture(scope="module")
def m(f_d):
    return LatentMap(fit(f_d.examples(count=300)[0], f_d, steps=60), f_d)


def slope(function, at, along, step=1e-4):
    """Central difference along a direction, in float64."""
    return (function(at + step * along) - function(at - step * along)) / (2 * step)


@pytest.mark.parametrize(("k", "dim"), [(1, 2), (20, 1), (20, 2), (90, 2), (90, 3)])
def test_gradients_are_those_of_differences(k, dim):
    v = fit(normal(k, 3, 2), dim=dim, steps=40).double()
    points = (0.5 * normal(2, dim, seed=1)).requires_grad_()
    codes = normal(2, 3, 2, seed=2).requires_grad_()
    assert gradcheck(v.decode, (points,), atol=1e-5)
    assert gradcheck(v.decode, (points, codes), atol=1e-4)
    for pull in (0.0, 0.5):
        v.pull = pull
        assert gradcheck(v.encode, (codes,), atol=1e-4)
    assert gradcheck(v, (codes,), atol=1e-4)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own use
def test_functions_of_torch_func_agree(m):
    point = torch.tensor([[0.2, -0.3]])
    jacobian = jacrev(m.v.decode)(point)
    assert jacobian.shape == (1, 10, 1, 2)
    assert torch.allclose(jacobian, jacfwd(m.v.decode)(point), atol=1e-5)
    v = fit(m.v.decode(m.v.points), steps=2).double()
    wide = point.double()
    for column in range(2):
        differences = slope(v.decode, wide, torch.eye(2, dtype=torch.float64)[column : column + 1])
        assert torch.allclose(jacrev(v.decode)(wide)[0, :, 0, column], differences[0], atol=1e-5)
    points = torch.tensor([[0.1, 0.2], [-0.4, 0.3], [0.0, 0.9]])
    by_point = vmap(jacrev(lambda p: m.v.decode(p[None])[0]))(points)
    whole = jacrev(m.v.decode)(points)
    assert torch.allclose(by_point, torch.stack([whole[i, :, i] for i in range(3)]), atol=1e-5)
    assert torch.allclose(vmap(lambda p: m.v.decode(p[None])[0])(points), m.v.decode(points), atol=1e-6)


def test_images_have_gradients_by_points(m):
    points = torch.tensor([[0.2, -0.3], [0.5, 0.1]], requires_grad=True)
    images = m.render(points)
    assert torch.equal(images.detach(), m.render(points.detach()))
    images.square().mean().backward()
    along = torch.tensor([[1.0, 0.5], [-0.3, 1.0]])
    differences = slope(lambda p: m.render(p).double().square().mean(), points.detach(), along, 1e-2)
    assert (points.grad * along).sum().item() == pytest.approx(differences.item(), rel=0.05)
    jacobian = jacrev(lambda p: m.render(p).mean((1, 2, 3)))(points.detach())
    assert jacobian.abs().max() > 0


def test_many_points_and_codes_have_the_gradients_of_few(m):
    points = m.v.points.repeat(10, 1).requires_grad_()
    m.v.decode(points).square().sum().backward()
    some = points.detach()[:5].requires_grad_()
    m.v.decode(some).square().sum().backward()
    assert torch.allclose(points.grad[:5], some.grad, rtol=1e-4, atol=1e-5)
    codes = m.v.decode(m.v.points).repeat(10, 1).requires_grad_()
    m.v.encode(codes).sum().backward()
    assert codes.grad.isfinite().all()
    assert codes.grad.abs().amax(1).min() > 0


def test_nothing_requires_gradients_unasked(m):
    v = m.v
    v.requires_grad_(True)
    try:
        assert not v.decode([[0.1, 0.2]]).requires_grad
        assert not v.encode(v.decode([[0.1, 0.2]])).requires_grad
        assert not m.render([[0.1, 0.2]]).requires_grad
    finally:
        v.requires_grad_(False)
    points = torch.zeros(1, 2, requires_grad=True)
    with torch.no_grad():
        assert not v.decode(points).requires_grad
        assert not m.render(points).requires_grad
    assert not m.grid(shape=2).images.requires_grad
    assert not m.path(points[0], points[0] + 0.5, frames=2).images.requires_grad


def test_a_decoders_own_weights_do_not_make_images_require_gradients():
    decoder = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Unflatten(1, (1, 2, 2)))
    m = LatentMap(fit(normal(20, 6)), decoder)
    assert not m.render([[0.0, 0.0]]).requires_grad
    points = torch.zeros(1, 2, requires_grad=True)
    m.render(points).sum().backward()
    assert points.grad.abs().max() > 0


def test_a_decoder_without_gradients_is_said():
    m = LatentMap(fit(normal(20, 4)), lambda z: z.detach().sigmoid().reshape(-1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"this decoder's images have none.*points\.detach"):
        m.render(torch.zeros(1, 2, requires_grad=True))
    assert m.render(torch.zeros(1, 2)).shape == (1, 1, 2, 2)


def test_what_was_loaded_in_inference_mode_has_gradients(m, tmp_path):
    m.v.save_pretrained(tmp_path / "v")
    with torch.inference_mode():
        v, f_d = type(m.v).from_pretrained(tmp_path / "v"), load_decoder("mnist")
        LatentMap(v, f_d).grid(shape=2)
        v.encode(v.decode([[0.0, 0.0]]))
    points = torch.zeros(1, 2, requires_grad=True)
    LatentMap(v, f_d).render(points).sum().backward()
    assert points.grad.abs().max() > 0
    v.encode(v.decode(points)).sum().backward()


@pytest.mark.parametrize("detail", [0.0, 0.5, 1.0])
def test_gradients_pass_through_detail(detail):
    v = fit(normal(300, 9), steps=5).double()
    assert v.field is not None
    points = (0.5 * normal(2, 2, seed=1)).requires_grad_()
    with torch.inference_mode():
        v.decode(points, detail=detail)
    assert gradcheck(lambda p: v.decode(p, detail=detail), (points,), atol=1e-5)


def test_torch_compile_gives_the_same(m):
    points = torch.tensor([[0.1, 0.2], [-0.4, 0.3]])
    decode = torch.compile(m.v.decode, backend="eager")
    assert torch.allclose(decode(points), m.v.decode(points), atol=1e-6)
