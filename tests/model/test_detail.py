"""Detail of a v: the field over the map, its variants, draws at a place, and their way to disk."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from priors import Waves, draws
from safetensors.torch import load_file

from latent_vizae import VizAE, fit
from latent_vizae.model.detail import Detail, frequencies


@pytest.fixture(scope="module")
def v():
    return fit(draws(600), Waves(), steps=60)


@pytest.fixture(scope="module")
def places(v):
    return v.points[:300]


def test_a_prior_gets_all_of_the_detail_and_codes_as_long_as_its_own(v, places):
    assert v.detail == 1
    norms = {detail: v.decode(places, detail=detail).norm(dim=1).mean().item() for detail in (0.0, 0.5, 1.0)}
    assert norms[0.0] < norms[0.5] < norms[1.0]
    assert norms[1.0] == pytest.approx(24**0.5, rel=0.2)
    assert norms[0.0] < 0.75 * 24**0.5
    assert torch.equal(v.decode(places), v.decode(places, detail=1))


def test_codes_of_few_or_flat_codes_have_none_and_say_so():
    for codes in (draws(20), draws(60)[:, :2] @ draws(2, 5)):
        v = fit(codes)
        assert v.detail == 0
        with pytest.raises(ValueError, match=r"This v has no detail.*detail=0\.5.*at least 50 codes"):
            v.decode(v.points, detail=0.5)
        with pytest.raises(ValueError, match="This v has no detail"):
            v.sample(v.points)
        with pytest.raises(ValueError, match="This v has no detail"):
            v.detail = 1
        with pytest.raises(ValueError, match="no detail to add"):
            fit(codes, detail=1)
        assert fit(codes, detail=0).detail == 0


def test_without_a_decoder_nothing_says_what_codes_are_for():
    v = fit(draws(100), steps=5)
    assert v.detail == 0
    v.detail = 0.25
    assert not torch.equal(v.decode(v.points), v.decode(v.points, detail=0))
    assert fit(draws(100), steps=5, detail=0.5).detail == 0.5


@pytest.mark.parametrize("bad", [-0.1, 1.5, math.nan, math.inf])
def test_detail_lies_between_0_and_1(v, bad):
    for ask in (
        lambda: v.decode(v.points, detail=bad),
        lambda: setattr(v, "detail", bad),
        lambda: fit(draws(9), detail=bad),
    ):
        with pytest.raises(ValueError, match=r"detail is .*from 0 to 1"):
            ask()
    for bad in ("full", "1"):
        with pytest.raises(ValueError, match="detail is 'auto' or a number from 0 to 1"):
            fit(draws(9), detail=bad)
    with pytest.raises(TypeError, match="detail is a number from 0 to 1"):
        v.decode(v.points, detail="auto")


def test_a_variant_is_a_whole_number(v):
    for bad in (-1, 2**63, "first", "0"):
        with pytest.raises(ValueError, match="variant"):
            v.decode(v.points, variant=bad)
    for bad in (0.5, True, None, [0]):
        with pytest.raises(TypeError, match="variant"):
            v.decode(v.points, variant=bad)


def test_variants_differ_as_far_as_codes_do_and_are_the_same_again(v, places):
    first, second = v.decode(places, variant=0), v.decode(places, variant=70)
    assert torch.equal(first, v.decode(places, variant=0))
    assert torch.equal(second, v.decode(places, variant=70))
    left = 1 - v.decode(places, detail=0).var(0).sum() / 24
    assert (first - second).square().sum(1).mean().item() == pytest.approx(2 * 24 * left.item(), rel=0.35)
    assert torch.equal(v.decode(places[:5], detail=0, variant=1), v.decode(places[:5], detail=0, variant=2))


def test_each_point_has_a_draw_of_its_own(v, places):
    same = places[:1].expand(400, -1)
    codes = v.decode(same, variant="each")
    assert torch.equal(codes, v.decode(same, variant="each"))
    fields = torch.stack([v.decode(places[:1], variant=k)[0] for k in range(200)])
    assert codes.var(0).sum().item() == pytest.approx(fields.var(0).sum().item(), rel=0.15)


def test_the_field_is_smooth_in_the_point(v, places):
    step = torch.tensor([0.0, 1.0]) * 1e-3
    for variant in (0, 1):
        one, other = (v.decode(places + move * step, variant=variant).double() for move in (1, -1))
        middle = v.decode(places, variant=variant).double()
        slope = (one - other).norm(dim=1)
        assert (one + other - 2 * middle).norm(dim=1).max() < 0.05 * slope.max()
    # E|g(p) - g(q)|^2 = 2 n (1 - k(|p - q|)) with k near exp(-|p - q|^2 / (2 h^2))
    field = v.field
    waves = (
        field.waves(torch.tensor([[0.0, 0.0], [0.5 * field.scale, 0.0]]).double()) / len(frequencies(2, 0.17)) ** 0.5
    )
    assert (waves[0] @ waves[1]).item() == pytest.approx(math.exp(-1 / 8), abs=0.05)
    assert waves.norm(dim=1).tolist() == pytest.approx([1, 1])


def test_a_residual_takes_the_place_of_detail(v):
    codes = draws(4, 9)
    assert torch.allclose(v.decode(v.encode(codes), residual_of=codes), codes, atol=1e-5)
    with pytest.raises(ValueError, match="in the place of detail; got both"):
        v.decode(v.encode(codes), residual_of=codes, detail=0.3)
    assert torch.equal(v(codes), v.decode(v.encode(codes), detail=0))


def test_encode_is_what_it_was(v):
    """The nearest point of the sheet, whatever the amount."""
    codes = draws(50, 4)
    before = v.encode(codes)
    for amount in (0.0, 1.0):
        v.detail = amount
        assert torch.equal(v.encode(codes), before)


def test_draws_of_a_place_come_back_to_it_and_look_like_new_codes(v):
    new = draws(400, 8)
    points = v.encode(new)
    drawn = v.sample(points, seed=1)
    assert torch.equal(drawn, v.sample(points, seed=1))
    assert not torch.equal(drawn, v.sample(points, seed=2))
    assert (v.encode(drawn) - points).norm(dim=1).median() < 0.3 * (points - points.flip(0)).norm(dim=1).median()
    assert drawn.norm(dim=1).mean().item() == pytest.approx(new.norm(dim=1).mean().item(), rel=0.05)
    assert drawn.norm(dim=1).std().item() == pytest.approx(new.norm(dim=1).std().item(), rel=0.3)


def test_a_saved_v_decodes_to_the_same_bits(v, tmp_path):
    v.detail = 0.75
    v.save_pretrained(tmp_path / "v")
    back = VizAE.from_pretrained(tmp_path / "v")
    config = json.loads((tmp_path / "v" / "config.json").read_text())
    assert (config["detail"], config["detail_scale"]) == (0.75, v.field.scale)
    for options in ({}, {"variant": 5}, {"variant": "each"}, {"detail": 0.1}):
        assert torch.equal(back.decode(v.points, **options), v.decode(v.points, **options))
    assert torch.equal(back.sample(v.points, 3), v.sample(v.points, 3))
    assert back.report == v.report
    tensors = load_file(tmp_path / "v" / "model.safetensors")
    assert all(tensor.numel() < 600 * 24 for tensor in tensors.values()), "no training code is stored"
    v.detail = 1.0


@pytest.mark.parametrize(
    ("entry", "value"),
    [("detail", 2), ("detail", "1"), ("detail_scale", 0), ("detail_scale", 1e9), ("detail_seed", -1),
     ("detail_axes", 500), ("detail_axes", None), ("detail_seed", "x")],
)  # fmt: skip
def test_a_configuration_that_makes_no_detail_is_refused(v, tmp_path, entry, value):
    v.save_pretrained(tmp_path / "v")
    path = tmp_path / "v" / "model.safetensors"
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    config = json.loads(header["__metadata__"]["config"])
    config[entry] = value
    header["__metadata__"]["config"] = json.dumps(config)
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + path.read_bytes()[8 + length :])
    (tmp_path / "v" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="v"):
        VizAE.from_pretrained(tmp_path / "v")


def test_threads_that_ask_for_different_variants_get_their_own(v, places):
    alone = [v.decode(places[:8], variant=k) for k in range(4)]

    def ask(k):
        return all(torch.equal(v.decode(places[:8], variant=k), alone[k]) for _ in range(60))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))


def test_seeds_below_0_are_refused(v, tmp_path):
    before = v.field.seeds.clone()
    v.field.seeds[3] = -1
    with pytest.raises(ValueError, match="seeds of its detail are below 0"):
        v.save_pretrained(tmp_path / "v")
    v.field.seeds.copy_(before)
    v.save_pretrained(tmp_path / "v")


def test_double_and_other_scales(v):
    codes = fit(draws(100), Waves(), steps=5).double().decode([[0.0, 0.0]], detail=1)
    assert codes.dtype == torch.float64
    for scale in (0.0, 3.0, math.nan):
        with pytest.raises(ValueError, match="No detail has"):
            Detail(2, 5, 2, scale, 0)
    for dim in (1, 2, 3):
        for scale in (0.05, 0.17, 2.0):
            waves = frequencies(dim, scale)
            assert waves.shape[1] == dim
            assert 1 <= len(waves) <= 256


@pytest.mark.parametrize(("dim", "shape"), [(1, (24,)), (3, (24,)), (2, (4, 3, 2))])
def test_maps_of_other_dimensions_and_codes_of_other_shapes(dim, shape):
    waves = Waves()
    v = fit(draws(120).unflatten(1, shape), lambda codes: waves(codes.flatten(1)), dim=dim, steps=20)
    norms = [v.decode(v.points, detail=detail).flatten(1).norm(dim=1).mean().item() for detail in (0, 1)]
    assert norms[0] < norms[1] == pytest.approx(24**0.5, rel=0.2)
    assert v.sample(v.points[:3]).shape == (3, *shape)
