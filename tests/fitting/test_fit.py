"""fit(): laws of the map it makes, for any codes and any decoder, and that it touches nothing else."""

import contextlib
import inspect
import itertools
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from latent_vizae import VizAE, fit
from latent_vizae.measures.metrics import continuity, fvu, image_error, pca_fvu

QUICK = {"steps": 40}


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


@pytest.mark.filterwarnings("ignore:.* is that of 1 outlier,")
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
    if k == 300:  # of 60 codes six say which is better
        bent = torch.cat([codes, (codes[:, :1] - 3).square()], 1)
        assert fit(bent, steps=100).hidden != ()


def test_to_keep_neighbours_is_no_reason_for_a_plane():
    for seed in range(3):  # guesses alone bring spheres back worse than a plane does
        sphere = torch.nn.functional.normalize(normal(60, 4, seed=seed))
        assert fit(sphere, steps=30, keep_neighbours=1).hidden != ()


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


def test_warnings_name_the_line_that_called_fit():
    far = normal(80, 6) * torch.cat([torch.full((1, 1), 1e3), torch.ones(79, 1)])
    for codes, decoder in ((far, None), (normal(80, 6), DECODERS["numpy"])):
        with pytest.warns(UserWarning, match=r"outliers|slopes|gradients") as said:
            fit(codes, decoder=decoder, steps=5)
        assert {Path(one.filename).name for one in said} == {"test_fit.py"}
