"""fit(): laws of the map it makes, for any codes and any decoder, and that it touches nothing else."""

import contextlib
import inspect
import itertools
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from latent_vizae import VizAE, fit
from latent_vizae.fitting.frame import _secant_metric
from latent_vizae.fitting.one_code import IMAGE_CHANGE, _reach
from latent_vizae.inputs.sources import CodeReader
from latent_vizae.measures.metrics import continuity, fvu, image_error, pca_fvu

QUICK = {"steps": 40}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def squares(z):
    """A small smooth decoder without parameters: 16 pixels from the first 6 values."""
    waves = torch.sin(z.flatten(1)[:, :6] @ normal(6, 16, seed=3).to(z))
    return (0.5 + 0.5 * waves).reshape(-1, 1, 4, 4)


def same(one: VizAE, other: VizAE) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# The contract, for every number of codes and every dimension.


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 20, 49, 60, 200])
def test_any_number_of_codes_gives_a_map_of_any_dimension(f_d, k, dim):
    codes, labels = f_d.examples(count=k, seed=1)
    v = fit(codes, decoder=f_d, dim=dim, labels=labels, **QUICK)
    report = v.report
    assert (report.k, report.n, report.dim) == (k, 10, dim)
    assert dim <= report.rank <= 10
    assert report.held_out == (0 if k < 50 else k // 10)
    assert (report.fvu_held_out is None) == (report.image_error_held_out is None) == (k < 50)
    assert (report.steps > 0) == (k >= 50)
    assert 0 <= report.lost_variance < 1e-6
    assert report.fvu >= 0
    assert 0 <= report.image_error <= 1
    assert report.seconds > 0
    assert not report.interrupted
    assert v.points.shape == (k, dim)
    assert v.points.abs().max() <= 1
    assert torch.allclose(v.encode(codes), v.points, rtol=0, atol=1e-5)
    assert torch.equal(v.labels, labels)
    assert v.source == "mnist"
    assert not v.training
    assert not any(parameter.requires_grad for parameter in v.parameters())
    if k < 50:
        assert report.fvu < 1e-4
        assert report.image_error < 1e-4
    else:
        assert report.fvu < 1
        width = v.points.amax(0) - v.points.amin(0)  # 2 of v_e's guesses; the nearest points are not far from them
        assert torch.allclose(width, torch.full((dim,), 2.0), atol=0.2)


@pytest.mark.wheel
def test_the_report_measures_what_it_says(f_d):
    codes, _ = f_d.examples(count=20, seed=4)
    v = fit(codes, decoder=f_d)
    assert v.report.fvu == pytest.approx(fvu(codes, v(codes)), abs=1e-9)
    assert v.report.fvu_pca == pytest.approx(pca_fvu(codes, 2), rel=1e-6)
    assert v.report.image_error == pytest.approx(image_error(f_d(codes), f_d(v(codes))), abs=1e-7)
    assert type(v.report).from_dict(v.report.to_dict()) == v.report


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(
    "codes",
    [
        torch.eye(8),
        torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))),
        torch.tensor(list(itertools.product((0.0, 3.0), (0.0, 2.0), (0.0, 1.0)))),
        torch.cat([normal(8, 6)] * 2),
        torch.linspace(0, 1, 20)[:, None] * normal(1, 6),
        torch.cat([normal(15, 6), 1e3 * normal(1, 6)]),
        normal(3, 6).repeat_interleave(5, 0) + 1e-3 * normal(15, 6),
        normal(20, 6) + 1e4,
    ],
    ids=["simplex", "cube", "box", "twice", "line", "outlier", "clusters", "offset"],
)
def test_few_codes_come_back_whatever_their_shape(codes, dim):
    v = fit(codes, dim=dim)
    assert v.report.fvu < 1e-4
    assert v.points.abs().max() <= 1


@given(
    k=st.integers(1, 20),
    n=st.integers(5, 40),
    dim=st.integers(1, 3),
    size=st.floats(-6, 6),
    seed=st.integers(0, 10**6),
)
def test_few_codes_come_back_whatever_their_number_and_scale(k, n, dim, size, seed):
    codes = 10**size * (normal(k, n, seed=seed) + 3 * normal(1, n, seed=seed + 1))
    v = fit(codes, dim=dim, seed=seed)
    assert v.report.fvu < 1e-4
    assert v.points.abs().max() <= 1
    assert torch.allclose(v.encode(codes), v.points, rtol=0, atol=1e-5)


# Seeds and side effects.


@pytest.mark.parametrize("k", [1, 8, 120])
def test_one_seed_is_one_v_and_another_is_another(k):
    codes = normal(k, 6)
    first, second, other = (fit(codes, decoder=squares, seed=seed, steps=30) for seed in (0, 0, 1))
    assert same(first, second)
    assert first.report.to_dict() | {"seconds": 0} == second.report.to_dict() | {"seconds": 0}
    assert k == 1 or not torch.equal(first.points, other.points)
    assert not same(fit(codes, seed=0, **QUICK), fit(codes, seed=1, **QUICK))


def test_labels_travel_and_have_no_influence():
    codes = normal(60, 6)
    plain = fit(codes, **QUICK)
    labelled = fit(codes, labels=np.arange(60, dtype=np.uint8), **QUICK)
    assert plain.labels is None
    assert torch.equal(labelled.labels, torch.arange(60))
    assert torch.equal(plain.points, labelled.points)


def state():
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],  # noqa: NPY002
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


class Layered(nn.Module):
    """A decoder with everything that a careless caller could disturb."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Sigmoid())
        self.train()
        self.layers[1].eval()

    def forward(self, z):
        return self.layers(z).reshape(-1, 1, 4, 4)


@pytest.mark.parametrize("k", [1, 10, 80])
def test_fit_touches_nothing_that_is_not_its_own(k, capsys):
    codes = normal(k, 6)
    codes.requires_grad_()
    decoder = Layered()
    before = state()
    tensors = [tensor.clone() for tensor in (codes.detach(), *decoder.state_dict().values())]
    modes = [module.training for module in decoder.modules()]
    fit(codes, decoder=decoder, steps=20)
    assert state() == before
    assert all(map(torch.equal, tensors, [codes.detach(), *decoder.state_dict().values()]))
    assert [module.training for module in decoder.modules()] == modes
    assert codes.grad is None
    assert all(parameter.grad is None and parameter.requires_grad for parameter in decoder.parameters())
    assert capsys.readouterr() == ("", "")


def test_the_bar_goes_to_stderr_and_changes_nothing(capsys):
    codes = normal(60, 6)
    quiet, told = fit(codes, **QUICK), fit(codes, progress=True, **QUICK)
    out, err = capsys.readouterr()
    assert out == ""
    assert "fit" in err
    assert same(quiet, told)


@contextlib.contextmanager
def double_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, double_by_default])
@pytest.mark.parametrize("k", [1, 10, 80])
def test_fit_works_under_any_mode_of_the_caller(around, k):
    with around():
        v = fit(normal(k, 6).float(), decoder=squares, steps=20)
    assert v.points.dtype == torch.float32
    assert v.report.fvu < 1
    assert v(normal(k, 6)).shape == (k, 6)


def test_the_signature_is_the_contract():
    names = list(inspect.signature(fit).parameters)
    assert names[:3] == ["codes", "decoder", "dim"]
    assert {"labels", "seed", "device", "progress"} <= set(names)


# How good the map is.


@pytest.fixture(scope="module")
def decaying():
    """Gaussian codes with a decaying spectrum: to learn from, and to judge on."""
    scales = torch.tensor([3.0, 2.0, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1])
    turn = torch.linalg.qr(normal(8, 8, seed=9))[0]
    return (normal(1000, 8, seed=1) * scales) @ turn, (normal(1000, 8, seed=2) * scales) @ turn


def pca_back(known, new, dim):
    mean = known.mean(0)
    basis = torch.linalg.svd(known - mean, full_matrices=False)[2][:dim].T
    return mean + (new - mean) @ basis @ basis.T


def test_a_trained_v_is_as_good_as_pca_on_new_codes(decaying):
    known, new = decaying
    v = fit(known, dim=2)
    assert fvu(new, v(new)) <= fvu(new, pca_back(known, new, 2))
    assert v.report.fvu_held_out <= 1.2 * v.report.fvu_pca


def test_with_a_linear_decoder_a_trained_v_is_as_good_as_pca_of_images(decaying, linear):
    known, new = decaying
    decoder = linear(0.02 * normal(8, 16, seed=5))
    v = fit(known, decoder=decoder, dim=2, steps=400)
    ideal = pca_back(decoder(known).flatten(1), decoder(new).flatten(1), 2)
    assert image_error(decoder(v(new)).flatten(1), decoder(new).flatten(1)) <= 1.05 * image_error(
        ideal, decoder(new).flatten(1)
    )


def test_turning_the_codes_does_not_change_the_error(decaying):
    known, new = decaying
    turn = torch.linalg.qr(normal(8, 8, seed=4))[0]

    def error(codes, held_out):
        maps = [fit(codes, seed=seed) for seed in range(3)]
        return sum(fvu(held_out, v(held_out)) for v in maps)

    assert error(known[:300] @ turn + 5, new @ turn + 5) == pytest.approx(error(known[:300], new), rel=0.1)


# Fewer codes than the map has directions.


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_one_code_spans_exactly_what_a_decoder_can_show(linear, dim):
    weight = 0.02 * normal(6, dim, seed=1) @ normal(dim, 16, seed=2)
    code = 0.3 * normal(1, 6)
    v = fit(code, decoder=linear(weight), dim=dim)
    directions = v.decode(torch.eye(dim)) - v.decode(torch.zeros(1, dim))
    shown = torch.linalg.svd(weight)[0][:, :dim]
    assert (directions - directions @ shown @ shown.T).norm() < 1e-4 * directions.norm()
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


# The first fit of a process.


def test_nothing_large_is_imported_to_fit():
    code = """
        import sys, torch
        from latent_vizae import fit
        fit(torch.randn(60, 8), decoder=lambda z: z.sigmoid().reshape(-1, 1, 2, 4), steps=2)
        print("sympy" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# Every kind of codes.


KINDS = {
    "1e-6": lambda z: z * 1e-6,
    "1e6": lambda z: z * 1e6,
    "half": lambda z: z.half(),
    "bfloat16": lambda z: z.bfloat16(),
    "double": lambda z: z.double(),
    "int": lambda z: (z * 100).int(),
    "uint8": lambda z: (z * 20 + 128).clamp(0, 255).byte(),
    "bool": lambda z: z > 0,
    "strided": lambda z: z.T.contiguous().T,
    "reversed": lambda z: z.numpy()[::-1, ::-1],
    "big-endian": lambda z: z.numpy().astype(">f8"),
    "gradient": lambda z: z.clone().requires_grad_(),
    "numpy": lambda z: z.numpy(),
    "numpy half": lambda z: z.half().numpy(),
    "lists": lambda z: z.tolist(),
    "list of tensors": lambda z: [row.clone().requires_grad_() for row in z],
    "list of arrays": lambda z: list(z.numpy()),
    "stream": lambda z: iter(z.split(7)),
    "stream of arrays": lambda z: (batch.double().numpy() for batch in z.split(7)),
    "constant dimension": lambda z: torch.cat([z, torch.full((len(z), 1), 3.0)], 1),
    "more than n": lambda z: z[:, :4],
    "wide": lambda z: normal(len(z), 5000),
    "shaped": lambda z: normal(len(z), 4, 8, 8),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_codes_fits(fives, make):
    v = fit(make(fives))
    assert v.report.fvu < 1e-4
    assert v.points.abs().max() <= 1
    assert v.points.dtype == torch.float32
    assert torch.isfinite(v.decode(v.points)).all()


@pytest.mark.parametrize("k", [30, 60])
def test_read_only_memory_maps_fit_and_stay(tmp_path, k):
    np.save(tmp_path / "codes.npy", normal(k, 6).numpy())
    before = (tmp_path / "codes.npy").read_bytes()
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    assert same(fit(mapped, **QUICK), fit(normal(k, 6), **QUICK))
    assert (tmp_path / "codes.npy").read_bytes() == before


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])  # other scales round differently, and a layout is chaotic
@pytest.mark.parametrize("k", [10, 100])
def test_the_scale_of_the_codes_does_not_matter(k, scale):
    plain, scaled = fit(normal(k, 6), **QUICK), fit(normal(k, 6) * scale, **QUICK)
    assert torch.allclose(plain.points, scaled.points, atol=0.02)
    assert scaled.report.fvu == pytest.approx(plain.report.fvu, rel=0.02, abs=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e20])
def test_the_report_is_right_at_any_scale(scale):
    codes = normal(60, 6) * scale
    v = fit(codes, steps=20)
    error, whole = (codes.double() - v(codes)).square().sum(), (codes.double() - v.mean).square().sum()
    low, high = sorted([v.report.fvu, v.report.fvu_held_out])
    assert 0 < low < error / whole < high


def test_cost_follows_the_number_of_codes_and_not_their_size():
    codes = normal(30, 5000)
    v = fit(codes, **QUICK)
    assert (v.report.n, v.report.rank) == (5000, 29)
    assert v.report.fvu < 1e-4
    assert torch.allclose(v(codes), codes, atol=0.05)


def test_codes_keep_their_shape():
    codes = normal(60, 4, 8, 8)
    seen = []

    def decoder(z):
        seen.append(tuple(z.shape[1:]))
        return z[:, :3].sigmoid()

    v = fit(codes, decoder=decoder, steps=20)
    assert set(seen) == {(4, 8, 8)}
    assert v.latent_shape == (4, 8, 8)
    assert v.decode(v.points).shape == codes.shape
    assert v.report.n == 256


# Every kind of decoder.


@torch.inference_mode()
def within_inference(z):
    return squares(z)


class Detached(nn.Module):
    """Parameters that want gradients, images that have none to give."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, z):
        return (squares(z).detach() + self.shift).clamp(0, 1)


def low_precision(dtype):
    with torch.random.fork_rng():
        layers = nn.Sequential(nn.Linear(6, 16), nn.Sigmoid(), nn.Unflatten(1, (1, 4, 4)))
    return layers.to(dtype)


DECODERS = {
    "numpy": lambda z: torch.from_numpy(1 / (1 + np.exp(-z.numpy()[:, :4]))).reshape(-1, 1, 2, 2),
    "inference mode": within_inference,
    "constant": lambda z: torch.full((len(z), 1, 2, 2), 0.5),
    "detached": Detached(),
    "bfloat16": low_precision(torch.bfloat16),
    "double": low_precision(torch.float64),
}


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS.keys())
@pytest.mark.parametrize("k", [1, 12, 80])
def test_every_kind_of_decoder_serves(decoder, k, recwarn):
    v = fit(normal(k, 6), decoder=decoder, steps=20)
    sloped = decoder in (DECODERS["bfloat16"], DECODERS["double"])
    assert len(recwarn) == (0 if sloped or k == 1 else 1)  # of one code slopes are differences of images
    assert v.report.fvu < (1e-4 if k < 50 else 1)
    assert v.report.image_error is not None
    assert v.source is None


@pytest.mark.parametrize("k", [60, 300])
def test_codes_of_nearly_a_plane_get_one_that_is_as_good_as_pca(k):
    codes = normal(k + 50, 2) @ normal(2, 30, seed=1) + 0.05 * normal(k + 50, 30, seed=2) + 3
    held, codes = codes.split([50, k])
    v = fit(codes, steps=100)
    assert fvu(held, v(held), codes.mean(0)) < 1.3 * pca_fvu(held, 2)
    assert v.points.abs().amax(0) == pytest.approx(torch.ones(2), abs=0.01)
    assert (v.encode(v.decode(v.points)) - v.points).abs().max() < 1e-4
    assert fit(codes, steps=100, hidden=(16,)).hidden == (16,)
    bent = torch.cat([codes, (codes[:, :1] - 3).square()], 1)
    assert fit(bent, steps=100).hidden != ()


@pytest.mark.parametrize(("k", "n"), [(4, 6), (12, 6), (60, 6), (60, 300), (500, 40)])
def test_an_affine_map_is_the_plane_of_least_squares(k, n):
    codes = normal(k, n) * torch.linspace(2, 0.1, n) + 5
    v = fit(codes, hidden=())
    assert v.hidden == ()
    assert fvu(codes, v(codes)) == pytest.approx(pca_fvu(codes, 2), rel=1e-4)
    middle = v.decode([[0.1, 0.0], [0.3, 0.4], [0.5, 0.8]])
    assert torch.allclose(middle[1], middle[[0, 2]].mean(0), atol=1e-5)
    guided = fit(codes, decoder=squares, hidden=())  # least squares of images, to first order
    assert guided.hidden == ()
    assert not torch.allclose(guided.decode([[0.5, 0.5]]), v.decode([[0.5, 0.5]]), atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"keep_neighbours": -0.1}, ValueError, "from 0 to 1, got -0.1"),
        ({"keep_neighbours": 1.01}, ValueError, "from 0 to 1, got 1.01"),
        ({"keep_neighbours": float("nan")}, ValueError, "from 0 to 1, got nan"),
        ({"keep_neighbours": "all"}, TypeError, "a number from 0 to 1, got 'all'"),
        ({"keep_neighbours": True}, TypeError, "a number from 0 to 1, got True"),
        ({"pull": 3.0}, ValueError, "keep_neighbours, 0 to 1, instead of pull"),
        ({"keep_neighbours": 0.5, "pull": 3.0}, ValueError, "keep_neighbours, 0 to 1, instead of pull"),
    ],
)
def test_keeping_neighbours_is_a_share(wrong, kind, message):
    with pytest.raises(kind, match=message):
        fit(normal(60, 6), **wrong)


def test_keeping_neighbours_trades_closeness_for_continuity(f_d):
    codes, _ = f_d.examples(label=5, count=1500)
    held, codes = codes.split([500, 1000])
    maps = [fit(codes, f_d, keep_neighbours=share) for share in (0.0, 0.5, 1.0)]
    errors = [image_error(f_d(held), f_d(v(held))) for v in maps]
    kept = [continuity(held, v.encode(held)) for v in maps]
    assert errors[0] < errors[1] < errors[2]
    assert kept[0] + 0.01 < kept[1] < kept[2] + 0.01
    assert [v.keep_neighbours for v in maps] == [0.0, 0.5, 1.0]
    assert maps[0].pull == 0 < maps[1].pull < maps[2].pull


# Interrupts.


class Interrupting:
    """`squares`, until somebody presses Ctrl-C at the n-th call."""

    def __init__(self, at=None):
        self.at, self.calls = at, 0

    def __call__(self, z):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return squares(z)


def test_an_interrupt_at_any_time_after_the_start_returns_the_best_v():
    codes, settings = normal(80, 6), {"steps": 10}
    whole = Interrupting()
    first = next(n for n in itertools.count(1) if not interrupted_before_a_v(codes, n, settings))
    fit(codes, decoder=whole, **settings)
    assert first < whole.calls
    for at in range(first, whole.calls + 1, 3):
        v = fit(codes, decoder=Interrupting(at), **settings)
        assert v.report.interrupted
        assert v.report.fvu < 1
        assert "interrupted" in str(v.report)
        assert v.points.abs().max() <= 1


def interrupted_before_a_v(codes, at, settings):
    try:
        fit(codes, decoder=Interrupting(at), **settings)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.parametrize("decoder", [None, squares])
def test_an_interrupt_while_measuring_returns_a_measured_v(monkeypatch, decoder):
    codes, take, left = normal(20, 6), CodeReader.take, itertools.count(1, -1)

    def interrupted(rows, chosen):
        if next(left) == 1:
            raise KeyboardInterrupt
        return take(rows, chosen)

    wanted = fit(codes, decoder).report
    monkeypatch.setattr(CodeReader, "take", interrupted)
    report = fit(codes, decoder).report
    assert report.interrupted
    assert report.fvu == wanted.fvu


def test_an_interrupted_training_keeps_the_best_weights():
    def progress(step, steps, title):
        if step == 130:
            raise KeyboardInterrupt

    codes = normal(100, 6) * torch.tensor([3.0, 2.0, 1.0, 0.3, 0.2, 0.1])
    v = fit(codes, steps=1000, progress=progress)
    assert v.report.interrupted
    assert 100 <= v.report.steps < 140
    assert v.report.fvu < 0.6
