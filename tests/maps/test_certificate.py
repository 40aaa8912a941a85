"""certify(): ranks as Table 1 counts them, what folds and what stretches, and the noise test of Table 2."""

import itertools
import json

import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from latent_vizae import LatentMap, certify, fit
from latent_vizae.maps import certificate
from latent_vizae.maps.certificate import noise_test
from latent_vizae.maps.layers import activations, linear_maps
from latent_vizae.network.abtanh import AbTanh

EXACT = "donot_use_mm_for_euclid_dist"


def squares(z):
    return (0.5 + 0.5 * torch.sin(z.flatten(1)[:, :4])).reshape(-1, 1, 2, 2)


@pytest.fixture(scope="module")
def plane():
    """A map whose codes are its points."""
    return fit(torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]]), dim=2)


def verdicts(certificate, words):
    return {verdict for verdict, text in certificate.statements() if words in text}


# Ranks.


def with_weight(layer, matrix):
    """The layer, its weight such that the paper's matrix (inputs x outputs) is this one."""
    with torch.no_grad():
        if isinstance(layer, nn.Linear):
            layer.weight.copy_(matrix.T)
        elif isinstance(layer, nn.Conv2d):
            layer.weight.copy_(matrix.T.reshape(layer.weight.shape))
        else:
            inputs, outputs, *kernel = layer.weight.shape
            layer.weight.copy_(matrix.reshape(inputs, *kernel, outputs).movedim(-1, 1))
    return layer


def layers(inputs, outputs):
    with torch.random.fork_rng():
        yield nn.Linear(4 * inputs, outputs)
        yield nn.Conv2d(inputs, outputs, 2)
        yield nn.ConvTranspose2d(inputs, outputs, 2)


@given(
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 9),
    rank=st.integers(0, 9),
    size=st.floats(-3, 3),
    seed=st.integers(0, 999),
)
def test_the_rank_of_known_matrices_is_found_in_every_kind_of_layer(inputs, outputs, rank, size, seed):
    rank = min(rank, 4 * inputs, outputs)
    left = torch.linalg.qr(normal(4 * inputs, 4 * inputs, seed=seed))[0][:, :rank]
    right = torch.linalg.qr(normal(outputs, outputs, seed=seed + 1))[0][:rank]
    values = 10**size * torch.linspace(2, 1, max(rank, 1))[:rank]
    matrix = left @ torch.diag(values) @ right
    for layer in layers(inputs, outputs):
        (found,) = linear_maps(with_weight(layer, matrix), "x")
        assert (found.inputs, found.outputs, found.rank) == (4 * inputs, outputs, rank)
        assert found.full == (rank == min(4 * inputs, outputs))
        assert found.narrows == (outputs < 4 * inputs)
        if found.full:
            assert found.sigma_min == pytest.approx(values[-1].item(), rel=1e-4)
        if rank:
            assert found.sigma_max == pytest.approx(values[0].item(), rel=1e-4)


@pytest.mark.wheel
def test_the_papers_f_has_the_ranks_of_table_1(f_d):
    encoder, decoder = (
        linear_maps(part, name) for part, name in ((f_d.autoencoder.encoder, "f_e"), (f_d.autoencoder.decoder, "f_d"))
    )
    assert [layer.rank for layer in encoder] == [9, 64, 128, 10]
    assert [layer.rank for layer in decoder] == [10, 128, 64, 64, 1]
    assert [(layer.inputs, layer.outputs) for layer in encoder] == [(9, 64), (576, 64), (2304, 128), (128, 10)]
    assert [(layer.inputs, layer.outputs) for layer in decoder] == [
        (10, 128),
        (128, 1568),
        (288, 64),
        (576, 64),
        (576, 1),
    ]
    assert all(layer.full for layer in linear_maps(f_d, "f"))
    assert {a.kind for a in activations(f_d, "f")} == {"AbTanh", "Sigmoid"}
    assert all(a.injective for a in activations(f_d, "f"))


@pytest.mark.wheel
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 20, 60])
def test_every_v_has_full_rank_and_injective_activations(f_d, k, dim):
    v = fit(f_d.examples(count=k)[0], dim=dim, steps=60)
    found = certify(v)
    assert all(layer.full for layer in found.linear_maps)
    assert all(a.injective for a in found.activations)
    assert found.linear_maps[0].inputs == found.linear_maps[-1].outputs == 10
    assert verdicts(found, "cannot be one-to-one") == {"cannot hold"}


def test_a_lost_rank_is_reported(plane):
    v = fit(normal(12, 6), dim=2)
    with torch.no_grad():
        v.decoder[2].weight[0] = v.decoder[2].weight[1]
    found = certify(v)
    assert [layer.name for layer in found.linear_maps if not layer.full] == ["v_d.2"]
    assert verdicts(found, "v_d: 1 of 4 linear maps lack full rank: v_d.2 128 x 128") == {"does not hold"}
    assert verdicts(certify(plane), "lack full rank") == set()


class Both(torch.nn.Module):
    """An autoencoder that decodes, by calls of its layers or with their weights."""

    def __init__(self, calls: bool) -> None:
        super().__init__()
        self.calls = calls
        self.encoder = torch.nn.Sequential(torch.nn.Linear(48, 6), torch.nn.ReLU())
        self.decoder = torch.nn.Sequential(torch.nn.Linear(6, 48), torch.nn.Sigmoid())

    def forward(self, z):
        layer = self.decoder[0]
        flat = (
            self.decoder(z) if self.calls else torch.sigmoid(torch.nn.functional.linear(z, layer.weight, layer.bias))
        )
        return flat.view(-1, 3, 4, 4)


def test_only_layers_that_decoding_calls_are_judged():
    codes = normal(60, 6)
    v, both = fit(codes, steps=20), Both(calls=True)
    found = certify(v, both)
    assert [m.name for m in found.linear_maps if m.name.startswith("decoder")] == ["decoder.decoder.0"]
    assert [a.kind for a in found.activations if a.name.startswith("decoder")] == ["Sigmoid"]
    assert not any(layer._forward_hooks for layer in both.modules())
    everything = ["decoder.encoder.0", "decoder.decoder.0"]
    for unknown in (certify(v, both, budget=0), certify(v, Both(calls=False))):
        assert [m.name for m in unknown.linear_maps if m.name.startswith("decoder")] == everything


# Activations.


@pytest.mark.parametrize(
    ("layer", "injective"),
    [
        (nn.ReLU(), False),
        (nn.GELU(), False),
        (nn.SiLU(), False),
        (nn.Hardtanh(), False),
        (nn.Softmax(1), False),
        (nn.Tanh(), True),
        (nn.Sigmoid(), True),
        (nn.Softplus(), True),
        (AbTanh(), True),
        (nn.LeakyReLU(0.2), True),
        (nn.LeakyReLU(0.0), False),
        (nn.LeakyReLU(-0.1), False),
        (nn.ELU(), True),
        (nn.PReLU(3), True),
        (nn.PReLU(3, init=-0.2), False),
    ],
    ids=str,
)
def test_which_activations_are_injective(layer, injective):
    (found,) = activations(nn.Sequential(nn.Flatten(), layer), "x")
    assert (found.name, found.kind, found.injective) == ("x.1", type(layer).__name__, injective)
    if injective:  # and it is: an increasing function on a fine grid
        steps = layer(torch.linspace(-2, 2, 41)[:, None].repeat(1, 3).requires_grad_(False)).diff(dim=0)
        assert (steps > 0).all()


@pytest.mark.parametrize(("layer", "verdict"), [(nn.ReLU(), "does not hold"), (nn.LeakyReLU(0.1), "holds")], ids=str)
def test_a_decoders_activations_are_named(plane, layer, verdict):
    with torch.random.fork_rng():
        decoder = nn.Sequential(nn.Linear(2, 8), layer, nn.Linear(8, 4), nn.Sigmoid(), nn.Unflatten(1, (1, 2, 2)))
    found = certify(plane, decoder=decoder)
    assert verdicts(
        found, "decoder: ReLU maps different" if verdict == "does not hold" else "decoder: all 2 activations"
    ) == {verdict}
    assert [layer.name for layer in found.linear_maps if layer.name.startswith("decoder")] == [
        "decoder.0",
        "decoder.2",
    ]
    assert "decoder.2 8 x 4" in str(found)


# One-to-one, measured.


def test_a_decoder_that_folds_is_found_out(plane):
    """Images that depend on |p| alone: all directions look alike."""

    def fold(z):
        return (0.3 * z.norm(dim=1)).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clamp(0, 1)

    found = certify(plane, decoder=fold)
    assert found.collision_count > 10
    assert len(found.collisions) == 10
    for first, second, distance in found.collisions:
        assert torch.dist(torch.tensor(first), torch.tensor(second)) >= 0.5
        assert distance < 0.02
    assert [pair[2] for pair in found.collisions] == sorted(pair[2] for pair in found.collisions)
    assert found.stretch_min < 1e-4
    assert verdicts(found, "pairs of far points") == {"does not hold"}
    assert verdicts(found, "every small step") == {"does not hold"}


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(("level", "size"), [(0, 1), (1000, 1), (0.5, 0.002)])
def test_collisions_are_those_of_all_pairs(monkeypatch, dim, level, size):
    monkeypatch.setattr(certificate, "PAIRS_AT_A_TIME", 1000)
    side = {1: 51, 2: 13, 3: 5}[dim]
    grid = torch.cartesian_prod(*[torch.linspace(-1, 1, side)] * dim).reshape(-1, dim)
    results = level + size * torch.sin((grid.abs() + 0.003 * grid) @ normal(dim, 8))
    apart, changed = (torch.cdist(x.double(), x.double(), compute_mode=EXACT) for x in (grid, results))
    neighbours = (apart > 1e-6) & (apart < 2.01 / (side - 1))
    far = (apart >= 0.5 - 1e-6).triu(1)
    folded = far & (changed <= changed[neighbours].median() / 2)
    worst, count, pairs = certificate._collisions(grid, results)
    assert (count, pairs) == (folded.sum(), far.sum())
    assert count > 0
    wanted = changed[folded].sort().values[:10] / 8**0.5
    torch.testing.assert_close(torch.tensor([pair[2] for pair in worst]).double(), wanted, rtol=1e-3, atol=1e-9)


def test_a_decoder_that_does_not_fold_is_not_accused(plane):
    found = certify(plane, decoder=lambda z: (0.1 * z).sigmoid().repeat(1, 2).reshape(-1, 1, 2, 2))
    assert found.collision_count == 0
    assert found.collisions == ()
    assert found.pairs > 1000
    assert verdicts(found, "pairs of far points") == verdicts(found, "every small step") == {"holds"}


def test_a_v_that_folds_is_found_out_without_a_decoder():
    v = fit(normal(2, 6), dim=1, seed=1)
    assert certify(v).collision_count == 0
    v.decoder = nn.Sequential(Fold(), *v.decoder)
    folded = certify(v)
    assert folded.collision_count > 0
    assert folded.round_trip_max == pytest.approx(2, rel=1e-3)
    assert verdicts(folded, "point -> code -> point") == {"does not hold"}


class Fold(nn.Module):
    def forward(self, points):
        return points.abs()


def test_an_affine_map_comes_back_from_everywhere(plane):
    found = certify(plane)
    assert found.round_trip_max < 1e-5
    assert found.round_trip_rms <= found.round_trip_max
    assert verdicts(found, "point -> code -> point") == {"holds"}


def test_a_fitted_map_comes_back_at_its_codes(v):
    found = certify(v)
    assert found.round_trip_at_codes < 0.02
    assert found.round_trip_at_codes <= found.round_trip_max


# The stretch.


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_stretch_of_a_linear_decoder_is_its_singular_values(linear, dim):
    weight = 0.02 * normal(6, 16, seed=3)
    v = fit(normal(dim + 1, 6, seed=dim), dim=dim)  # affine, being exact
    assert v.hidden == ()
    decoder = linear(weight)
    jacobian = (v.decode(torch.eye(dim)) - v.decode(torch.zeros(1, dim))) @ weight
    values = torch.linalg.svdvals(jacobian.double()) / 16**0.5
    found = certify(v, decoder=decoder)
    assert found.stretch_layer.shape == (len(found.grid), 2)
    for number, expected in (
        (found.stretch_min, values[-1]),
        (found.stretch_max, values[0]),
        *zip(found.stretch_median, values[[-1, 0]], strict=True),
    ):
        assert number == pytest.approx(expected.item(), rel=2e-3)


def test_the_stretch_does_not_need_gradients(plane):
    def smooth(z):
        return (0.5 + 0.1 * torch.sin(3 * z)).repeat(1, 2).reshape(-1, 1, 2, 2)

    found, other = (
        certify(plane, decoder=smooth),
        certify(plane, decoder=lambda z: torch.from_numpy(smooth(z).numpy())),
    )
    assert torch.equal(found.stretch_layer, other.stretch_layer)
    slopes = 0.3 * torch.cos(3 * found.grid).abs() / 2**0.5
    assert torch.allclose(found.stretch_layer, slopes.sort(dim=1).values, atol=1e-3)


# Table 2.


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_the_stretch_of_coarse_images_is_that_of_fine_ones(v, f_d, dtype):
    def coarse(z):
        return (f_d(z) * 255).round() / 255 if dtype == torch.uint8 else f_d(z).to(dtype)

    points = 2 * torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) - 1
    fine, rough = (LatentMap(v, decoder).stretch(points) for decoder in (f_d, coarse))
    assert (rough / fine - 1).abs().median() < 0.03
    assert (rough / fine - 1).abs().max() < 0.5


def test_a_code_of_zero_has_no_norm_to_scale_noise_by():
    assert [test.name for test in noise_test(squares, torch.zeros(1, 6))] == ["1"]
    assert "does not hold" not in str(certify(fit(torch.zeros(1, 6), squares), squares).noise)


def test_the_noise_test_has_the_papers_three_scales(f_d):
    code = f_d.examples(label=5, count=1)[0]
    found = noise_test(f_d, code)
    norm = code.norm().item()
    assert [(t.name, pytest.approx(t.scale)) for t in found] == [
        ("1/|z|", 1 / norm),
        ("0.5/|z|", 0.5 / norm),
        ("1", 1.0),
    ]
    by_scale = sorted(found, key=lambda t: t.scale)
    for smaller, larger in itertools.pairwise(by_scale):
        assert smaller.l2_mean < larger.l2_mean
        assert smaller.mse_mean < larger.mse_mean
    assert all(t.l2_std > 0 for t in found)
    assert noise_test(f_d, code) == found
    assert noise_test(f_d, code, seed=1) != found


def test_the_noise_of_a_linear_decoder_is_in_proportion_to_its_scale(linear):
    decoder = linear(0.01 * normal(6, 16))
    code = 0.7 * normal(1, 6, seed=1)
    found = noise_test(decoder, code)
    for test in found:
        assert test.l2_mean / test.scale == pytest.approx(found[2].l2_mean, rel=1e-3)
        assert test.mse_mean / test.scale**2 == pytest.approx(found[2].mse_mean, rel=1e-3)
    assert found[2].l2_mean ** 2 / 16 <= found[2].mse_mean  # Jensen: norms against mean squares of 16 pixels
    (only,) = {t.l2_std for t in noise_test(decoder, code, draws=1)}
    assert only == 0


def test_the_noise_test_starts_at_the_code_that_was_given(v, f_d):
    codes, _ = f_d.examples(label=1, count=2)
    assert certify(v, decoder=squares, codes=codes).noise == noise_test(squares, codes[:1])
    assert certify(v, decoder=squares).noise == noise_test(squares, v.decode(v.points[:1]))
    assert certify(v).noise == ()


# The record.


@pytest.mark.parametrize("decoder", [None, squares], ids=["alone", "with a decoder"])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_all_numbers_go_through_json(dim, decoder):
    found = certify(fit(normal(12, 6), dim=dim), decoder=decoder)
    numbers = json.loads(found.to_json())
    assert set(numbers) == {*found.__dataclass_fields__, "statements"}
    for name in ("round_trip_rms", "stretch_min", "stretch_max", "collision_count", "pairs", "dim", "n"):
        assert numbers[name] == getattr(found, name)
    assert [layer["rank"] for layer in numbers["linear_maps"]] == [layer.rank for layer in found.linear_maps]
    assert [(s["verdict"], s["text"]) for s in numbers["statements"]] == found.statements()
    assert torch.equal(torch.tensor(numbers["grid"]), found.grid)
    assert (numbers["stretch_layer"] is None) == (decoder is None)
    assert found.grid.shape[1] == dim


def test_it_prints_as_a_table_with_every_map_test_and_statement(v):
    found = certify(v, decoder=squares)
    text = str(found)
    for layer in found.linear_maps:
        assert f"{layer.name} " in text
    for test in found.noise:
        assert f"{test.l2_mean:.3f}" in text
    for verdict, sentence in found.statements():
        assert f"{verdict}:" in text
        assert sentence in text
    assert {verdict for verdict, _ in found.statements()} <= {"holds", "does not hold", "cannot hold", "not known"}


def test_the_map_of_fives_holds_what_it_promises(v, f_d):
    found = certify(v, decoder=f_d)
    assert all(layer.full for layer in found.linear_maps)
    assert verdicts(found, "linear maps have full rank") == verdicts(found, "activations are injective") == {"holds"}
    assert verdicts(found, "every small step") == {"holds"}
    assert 0 < found.stretch_min <= found.stretch_median[0] <= found.stretch_median[1] <= found.stretch_max


def test_certify_changes_nothing(v, f_d):
    before = [
        tensor.clone() for tensor in (*v.state_dict().values(), *f_d.state_dict().values(), torch.get_rng_state())
    ]
    assert certify(v, decoder=squares) == certify(v, decoder=squares)
    assert all(map(torch.equal, before, (*v.state_dict().values(), *f_d.state_dict().values(), torch.get_rng_state())))
