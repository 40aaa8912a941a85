"""Laws of fit, v, the map and its files."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from latent_vizae import LatentMap, VizAE, certify, fit, load_decoder
from latent_vizae.maps.layers import activations, linear_maps
from latent_vizae.maps.paths import frame_changes
from latent_vizae.measures.metrics import continuity, fvu, path_evenness, pca_fvu, trustworthiness

QUICK = {"steps": 60}


@pytest.fixture(scope="module")
def f_d():
    return load_decoder("mnist")


@pytest.fixture(scope="module")
def fives(f_d):
    return f_d.examples(label=5, count=20)[0]


@pytest.fixture(scope="module")
def v(f_d, fives):
    return fit(fives, decoder=f_d, dim=2)


@pytest.fixture(scope="module")
def m(v, f_d):
    return LatentMap(v, f_d)


def linear_decoder(n=6, pixels=16, seed=0):
    weight = torch.randn(n, pixels, generator=torch.Generator().manual_seed(seed)) * 0.02
    return weight, lambda z: (0.5 + z @ weight).reshape(-1, 1, 4, 4)


# fit


@pytest.mark.wheel
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 20])
def test_few_codes_come_back_from_inside_the_map(f_d, k, dim):
    codes, labels = f_d.examples(count=k, seed=7)
    v = fit(codes, decoder=f_d, dim=dim, labels=labels)
    assert v.report.fvu < 1e-4
    assert v.points.shape == (k, dim)
    assert v.points.abs().max() <= 1
    assert torch.allclose(v.encode(codes), v.points, atol=1e-5)
    assert torch.equal(v.labels, labels)
    assert all(layer.full for layer in certify(v).linear_maps)


def test_many_codes_are_learned_and_judged_on_held_out_ones(f_d):
    codes, _ = f_d.examples(count=1200, seed=1)
    v = fit(codes, decoder=f_d, steps=600)
    assert v.report.held_out == 120
    assert v.report.fvu_held_out < 0.8 * pca_fvu(codes, 2)
    assert 0 < v.report.image_error_held_out < 0.06
    assert v.points.abs().max() <= 1
    assert v.points.amax(0).min() > 0.9  # stretched to guesses; nearest points may lie a little inside
    assert all(layer.full for layer in certify(v).linear_maps)  # seed 0: training left 1e-5 of the greatest in v_d.4


def test_one_code_spans_the_directions_in_which_the_decoder_changes_most():
    weight, decoder = linear_decoder()
    code = torch.full((1, 6), 0.3)
    v = fit(code, decoder=decoder, dim=2)
    top = torch.linalg.svd(weight)[0][:, :2]
    directions = v.decode([[1.0, 0.0], [0.0, 1.0]]) - code
    outside = directions - directions @ top @ top.T
    assert outside.norm() < 0.05 * directions.norm()
    assert torch.allclose(v.decode(v.encode(code)), code, atol=1e-6)


def test_without_variance_or_decoder_the_surface_is_a_random_plane_through_the_codes():
    codes = torch.ones(5, 8)
    v = fit(codes, dim=2, seed=3)
    assert torch.allclose(v.decode(v.encode(codes)), codes, atol=1e-6)
    assert torch.linalg.matrix_rank(v.decode([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]) - codes[0]) == 2


def test_the_same_seed_gives_the_same_map_and_nothing_of_the_callers_is_touched(f_d):
    codes, _ = f_d.examples(count=80, seed=2)
    decoder = nn.Sequential(nn.Linear(10, 16), nn.Sigmoid(), nn.Unflatten(1, (1, 4, 4)), nn.Dropout(0.0)).train()
    before, state, threads = codes.clone(), torch.get_rng_state(), torch.get_num_threads()
    first, second, third = (fit(codes, decoder=decoder, seed=s, **QUICK) for s in (0, 0, 1))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    assert not torch.equal(first.points, third.points)
    assert torch.equal(codes, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert all(module.training for module in decoder.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in decoder.parameters())


@pytest.mark.parametrize(
    "make",
    [
        lambda z: z * 1e6,
        lambda z: z * 1e-6,
        lambda z: z.half(),
        lambda z: z.bfloat16(),
        lambda z: z.double(),
        lambda z: (z * 100).int(),
        lambda z: z.T.contiguous().T,
        lambda z: z.clone().requires_grad_(),
        lambda z: z.numpy(),
        lambda z: z.tolist(),
        lambda z: iter(z.split(7)),
        lambda z: torch.cat([z, torch.full((len(z), 1), 3.0)], 1),
        lambda z: torch.cat([z, z]),
        lambda z: z.reshape(len(z), 2, 5),
        lambda z: torch.nn.functional.pad(z, (0, 5000)),
    ],
    ids=[
        "1e6", "1e-6", "half", "bfloat16", "double", "int", "strided", "gradient", "numpy", "list", "stream",
        "constant", "identical", "shaped", "wide",
    ],
)  # fmt: skip
def test_every_kind_of_codes_fits(fives, make):
    assert fit(make(fives)).report.fvu < 1e-4


def test_a_read_only_memory_map_fits(fives, tmp_path):
    np.save(tmp_path / "codes.npy", fives.numpy())
    assert fit(np.load(tmp_path / "codes.npy", mmap_mode="r")).report.fvu < 1e-4


@pytest.mark.filterwarnings("ignore::UserWarning")  # it is said that there are no slopes
def test_a_decoder_without_gradients_fits(fives):
    assert fit(fives, decoder=lambda z: torch.from_numpy(z.numpy() * 0).reshape(-1, 1, 2, 5)).report.fvu < 1e-4


# v and its files


def test_the_residual_brings_a_code_back_and_stays_while_it_moves(v, f_d):
    code = f_d.examples(label=3, count=1)[0]
    here = v.encode(code)
    assert torch.allclose(v.decode(here, residual_of=code), code, atol=1e-6)
    there = here + 0.1
    residual = code - v.decode(here)
    assert torch.allclose(v.decode(there, residual_of=code) - v.decode(there), residual, atol=1e-5)


@pytest.mark.wheel
def test_save_and_load_is_the_identity(v, tmp_path):
    v.save_pretrained(tmp_path / "v")
    again = VizAE.from_pretrained(tmp_path / "v")
    assert again.config == v.config
    assert list(again.state_dict()) == list(v.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), v.state_dict().values(), strict=True))
    v.save_pretrained(tmp_path / "v")
    assert sorted(file.name for file in (tmp_path / "v").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("keep", [0, 7, 100, 2000, -1])
def test_a_truncated_file_is_refused(v, tmp_path, keep):
    v.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="safetensors"):
        VizAE.from_pretrained(tmp_path)


def test_missing_foreign_oversized_and_newer_files_are_refused(v, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        VizAE.from_pretrained(tmp_path / "nowhere")
    for name in ("config.json", "model.safetensors"):
        v.save_pretrained(tmp_path / name)
        (tmp_path / name / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            VizAE.from_pretrained(tmp_path / name)
    v.save_pretrained(tmp_path / "v")
    config = tmp_path / "v" / "config.json"
    for text, message in (
        (json.dumps(json.loads(config.read_text()) | {"format": 99}), "Upgrade"),
        ("{}", "not the configuration"),
        ("nonsense", "not JSON"),
        (" " * 2**21, "at most"),
    ):
        config.write_text(text)
        with pytest.raises(ValueError, match=message):
            VizAE.from_pretrained(tmp_path / "v")


def test_a_folder_with_something_else_is_left_alone(v, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not a v"):
        v.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match="file"):
        v.save_pretrained(tmp_path / "mine.txt")


KILL = """
import sys, torch
from latent_vizae import fit, VizAE
v = fit(torch.randn(30, 400, generator=torch.Generator().manual_seed(0)))
v.save_pretrained(sys.argv[1])
print("ready", flush=True)
while True:
    v.save_pretrained(sys.argv[1])
"""


def test_a_killed_save_leaves_a_whole_v(tmp_path):
    for wait in (0.01, 0.05, 0.13):
        process = subprocess.Popen([sys.executable, "-c", KILL, str(tmp_path / "v")], stdout=subprocess.PIPE)
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(wait + 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert VizAE.from_pretrained(tmp_path / "v").report.k == 30


# the map


def test_a_grid_runs_row_by_row_from_the_top(m):
    samples = m.grid(box=((-0.5, -0.2), (0.5, 0.4)), shape=(3, 5))
    assert torch.allclose(samples.points[0], torch.tensor([-0.5, 0.4]))
    assert torch.allclose(samples.points[4], torch.tensor([0.5, 0.4]))
    assert torch.allclose(samples.points[-1], torch.tensor([0.5, -0.2]))
    assert samples.images.shape == (15, 1, 28, 28)
    assert samples.images.min() >= 0
    assert samples.images.max() <= 1


@pytest.mark.parametrize("layout", ["cover", "grid"])
def test_regions_are_filled_and_not_left(m, layout):
    disc = m.region((0.1, 0.2), 0.5, count=37, layout=layout).points
    assert len(disc) == 37
    assert (disc - torch.tensor([0.1, 0.2])).norm(dim=1).max() <= 0.5 + 1e-6
    triangle = m.region(polygon=[(0, 0), (1, 0), (0, 1)], count=40, layout=layout).points
    assert len(triangle) == 40
    assert triangle.sum(1).max() <= 1 + 1e-6
    assert triangle.min() >= -1e-6
    assert len(torch.unique(triangle, dim=0)) == 40


def test_a_path_has_its_ends_and_a_constant_pace(m, fives, v):
    samples = m.path(fives[0], fives[1], frames=24)
    assert torch.allclose(samples.points[[0, -1]], v.encode(fives[:2]), atol=1e-5)
    assert path_evenness(samples.images) < 0.1
    exact = m.path(fives[0], fives[1], frames=5, residual=True)
    assert torch.allclose(exact.codes[[0, -1]], fives[:2], atol=1e-4)


def test_the_shortest_path_goes_around_a_hill():
    v = fit(torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]]), dim=2)

    def hill(z):
        height = torch.exp(-8 * z.square().sum(1))
        values = torch.cat([0.5 + 0.02 * z, height[:, None], height[:, None]], 1)
        return values.clamp(0, 1).reshape(-1, 1, 2, 2)

    m = LatentMap(v, hill)
    lengths = {
        c: frame_changes(m.path((-0.9, 0.02), (0.9, 0.02), frames=64, curve=c).images).sum()
        for c in ("straight", "shortest")
    }
    assert lengths["shortest"] < 0.5 * lengths["straight"]


def test_support_is_one_at_the_codes_and_none_far_away(m, v):
    assert m.support(v.points).min() > 0.99
    assert m.support([[9.0, 9.0]]).max() < 1e-6


def test_images_find_their_place(m, f_d, v, fives):
    assert torch.allclose(m.place(f_d(fives)), v.encode(f_d.encode(f_d(fives))), atol=1e-5)


@pytest.mark.parametrize("ending", ["png", "gif", "mp4", "safetensors"])
def test_samples_are_saved_whole(m, tmp_path, ending):
    file = m.grid(shape=(2, 3)).save(tmp_path / f"samples.{ending}")
    assert file.stat().st_size > 300
    assert [f.name for f in tmp_path.iterdir()] == [f"samples.{ending}"]


# the certificate and the metrics


def test_ranks_are_counted_as_the_paper_does(f_d):
    assert [layer.rank for layer in linear_maps(f_d, "f")] == [9, 64, 128, 10, 10, 128, 64, 64, 1]
    broken = nn.Linear(4, 4)
    broken.weight.data[0] = broken.weight.data[1]
    assert not linear_maps(broken, "x")[0].full
    verdicts = [
        a.injective for a in activations(nn.Sequential(nn.ReLU(), nn.Tanh(), nn.LeakyReLU(0.1), nn.GELU()), "x")
    ]
    assert verdicts == [False, True, True, False]


def test_a_map_that_folds_is_found_out(fives):
    v = fit(fives[:2], dim=1)
    middle = v.decode([[0.0]])[0]
    folded = certify(
        v, decoder=lambda z: (z - middle).square().sum(1).clamp(0, 1).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    )
    assert folded.collision_count > 0
    assert any(verdict == "does not hold" and "far points" in text for verdict, text in folded.statements())
    assert certify(v).collision_count == 0


def test_the_stretch_of_a_linear_map_is_its_singular_values(fives):
    weight, decoder = linear_decoder()
    v = fit(torch.eye(6)[:3], dim=2)
    found = certify(v, decoder=decoder)
    jacobian = (v.decode([[1.0, 0.0], [0.0, 1.0]]) - v.decode([[0.0, 0.0]])) @ weight
    expected = torch.linalg.svdvals(jacobian) / 16**0.5
    assert found.stretch_max == pytest.approx(expected[0].item(), rel=1e-2)
    assert found.stretch_min == pytest.approx(expected[1].item(), rel=1e-2)
    assert json.loads(found.to_json())["stretch_max"] == found.stretch_max


def test_metrics_agree_with_scikit_learn():
    from sklearn.decomposition import PCA
    from sklearn.manifold import trustworthiness as reference
    from sklearn.metrics import r2_score

    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    y = x[:, :2]
    assert trustworthiness(x, y, 7) == pytest.approx(reference(x, y, n_neighbors=7), abs=1e-6)
    assert continuity(x, y, 7) == pytest.approx(reference(y, x, n_neighbors=7), abs=1e-6)
    pca = PCA(2).fit(x.double().numpy())
    back = torch.from_numpy(pca.inverse_transform(pca.transform(x.double().numpy())))
    assert pca_fvu(x, 2) == pytest.approx(1 - pca.explained_variance_ratio_.sum(), abs=1e-6)
    assert fvu(x, back) == pytest.approx(1 - r2_score(x, back, multioutput="variance_weighted"), abs=1e-6)


# bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"codes": torch.empty(0, 4)}, ValueError, "at least one"),
        ({"codes": torch.tensor([[0.0, float("nan")], [1.0, 2.0]])}, ValueError, r"1 of 2 rows.*rows 0"),
        ({"codes": torch.tensor([[0.0, float("inf")]])}, ValueError, "infinity"),
        ({"codes": torch.zeros(4)}, ValueError, r"\(4,\)"),
        ({"codes": [["a", "b"]]}, TypeError, "numbers"),
        ({"codes": np.array([[object()]])}, TypeError, "numbers"),
        ({"codes": torch.eye(4), "dim": 0}, ValueError, "1, 2 or 3"),
        ({"codes": torch.eye(4), "dim": 4}, ValueError, "1, 2 or 3"),
        ({"codes": torch.eye(4), "dim": "2"}, TypeError, "dim"),
        ({"codes": torch.zeros(3, 1)}, ValueError, "dim=2"),
        ({"codes": torch.eye(4), "labels": [1, 2]}, ValueError, "4 codes"),
        ({"codes": torch.eye(4), "device": "nowhere"}, ValueError, "nowhere"),
        ({"codes": torch.eye(4), "device": "cuda:99"}, ValueError, "cuda:99"),
        ({"codes": torch.eye(4), "decoder": 5}, TypeError, "callable"),
        ({"codes": torch.eye(4), "decoder": lambda z: z}, ValueError, r"\(B, C, H, W\)"),
        ({"codes": torch.eye(4), "decoder": lambda z: z.reshape(-1, 1, 2, 2) * 2 - 1}, ValueError, r"\[0, 1\]"),
        ({"codes": torch.eye(4), "decoder": lambda z: z.missing}, ValueError, "raised AttributeError"),
        ({"codes": torch.eye(4), "seed": "x"}, TypeError, "seed"),
        ({"codes": torch.eye(4), "steps": 0}, ValueError, "steps"),
    ],
)
def test_fit_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        fit(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.render([[0.0, 0.0, 0.0]]), r"\(P, 2\)"),
        (lambda m: m.render([[0.0, float("nan")]]), "finite"),
        (lambda m: m.grid(box=((1, 1), (-1, -1))), "Swap"),
        (lambda m: m.grid(box=((0, 0), (0, 1))), "extent"),
        (lambda m: m.grid(box=((0, 0, 0), (1, 1, 1))), "2 numbers"),
        (lambda m: m.grid(shape=(0, 3)), "shape"),
        (lambda m: m.path((0, 0)), "two ends"),
        (lambda m: m.path((0, 0), (0, 0, 0)), "ends"),
        (lambda m: m.path((0, 0), (1, 1), frames=1), "frames"),
        (lambda m: m.path((0, 0), (1, 1), pace="slow"), "pace"),
        (lambda m: m.region((0, 0)), "disc"),
        (lambda m: m.region((0, 0), -1.0), "radius"),
        (lambda m: m.region((0, 0), 0.5, count=0), "count"),
        (lambda m: m.region(polygon=[(0, 0), (1, 1)]), "polygon"),
        (lambda m: m.place(torch.full((1, 1, 28, 28), 255.0)), r"\[0, 1\]"),
        (lambda m: m.grid(shape=(2, 2)).save("samples.jpeg"), "png"),
        (lambda m: m.grid(shape=(2, 2)).save("nowhere/samples.png"), "Cannot write"),
        (lambda m: LatentMap(m.v, lambda z: z).render([[0.0, 0.0]]), r"\(B, C, H, W\)"),
    ],
)
def test_the_map_refuses(m, call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        call(m)
    assert list(tmp_path.iterdir()) == []


def test_unknown_decoders_are_refused():
    with pytest.raises(ValueError, match=r"nothing.*mnist"):
        load_decoder("nothing:here")
    with pytest.raises(TypeError, match="name"):
        load_decoder(lambda z: z)
