"""What a person does to a v, and what is saved of it: never what could not be loaded."""

import copy
import json

import pytest
import torch
from torch import nn

from latent_vizae import LatentMap, VizAE, certify, fit
from latent_vizae.model.report import FitReport


@pytest.fixture(scope="module")
def small():
    codes = torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(0))
    return fit(codes, hidden=(6, 5), labels=range(12))


def double(v):
    v.double()


def set_to(name, change):
    def spoil(v):
        setattr(v, name, change(getattr(v, name)))

    return spoil


def with_weight_of_nan(v):
    with torch.no_grad():
        v.decoder[0].weight[0, 0] = float("nan")


def with_a_layer_more(v):
    v.decoder.append(nn.Tanh()).append(nn.Linear(6, 6))


KEPT = {
    "double": double,
    "labels of int32": set_to("labels", lambda labels: labels.int()),
    "labels of bool": set_to("labels", lambda labels: labels > 0),
    "points of float64": set_to("points", lambda points: points.double()),
    "points as seen from elsewhere": set_to("points", lambda points: points.T.contiguous().T),
    "no labels": set_to("labels", lambda labels: None),
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT.keys())
def test_what_float32_and_int64_hold_is_saved(small, tmp_path, change):
    v = copy.deepcopy(small)
    change(v)
    v.save_pretrained(tmp_path)
    again = VizAE.from_pretrained(tmp_path)
    assert torch.equal(again.points, small.points)
    assert {tensor.dtype for tensor in again.state_dict().values()} <= {torch.float32, torch.int64}
    assert (again.labels is None) == (v.labels is None)
    assert v.labels is None or torch.equal(again.labels, v.labels.long())
    assert torch.equal(again.decode(small.points), small.decode(small.points))


REFUSED = {
    "fewer points": (set_to("points", lambda points: points[:2]), r"labels should be \(\(2,\), 'int64'\)"),
    "points of another map": (set_to("points", lambda points: points[:, :1]), "points should be"),
    "NaN in points": (set_to("points", lambda points: points * float("nan")), "NaN or infinity in points"),
    "beyond float32": (set_to("points", lambda points: points.double() * 1e300), "NaN or infinity in points"),
    "NaN in a weight": (with_weight_of_nan, r"NaN or infinity in decoder\.0\.weight"),
    "a layer more": (with_a_layer_more, "does not fit its configuration: decoder"),
    "a buffer more": (lambda v: v.register_buffer("mine", torch.zeros(3)), "mine should be absent"),
    "another dim": (set_to("dim", lambda dim: 3), "does not fit its configuration"),
    "a source that is none": (set_to("source", lambda source: 5), "source is a string"),
    "an option that is a switch": (set_to("source_options", lambda options: {"download": True}), "an option of"),
}


@pytest.mark.parametrize(("spoil", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_could_not_be_loaded_is_not_saved(small, tmp_path, spoil, message):
    small.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    v = copy.deepcopy(small)
    spoil(v)
    with pytest.raises(ValueError, match=rf"A v that could not be loaded again is not saved: .*{message}"):
        v.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(ValueError, match=message):
        v.save_pretrained(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    "change", [nn.Module.half, nn.Module.bfloat16, lambda v: v.to(torch.float16), lambda v: nn.Sequential(v).half()]
)
def test_half_precision_is_refused_in_words(small, change):
    v = copy.deepcopy(small)
    with pytest.raises(TypeError, match=r"computes in float32 or float64; .*takes codes and points of half precision"):
        change(v)
    assert torch.equal(v.decode(v.points), small.decode(small.points))


def test_a_double_v_is_the_same_map_in_float64(v, f_d, fives):
    fine = copy.deepcopy(v).double()
    assert fine.encode(fives).dtype == fine.decode(fine.points).dtype == torch.float64
    assert torch.allclose(fine.encode(fives).float(), v.encode(fives), atol=1e-5)
    assert torch.allclose(fine.decode(v.points).float(), v.decode(v.points), atol=1e-4)
    exact = fine.decode(fine.encode(fives), residual_of=fives)
    assert (exact - fives).abs().max() < 1e-12
    m, wide = LatentMap(v, f_d), LatentMap(fine, f_d)
    for look in (
        lambda m: m.grid(shape=(3, 3)).images,
        lambda m: m.path(fives[0], fives[1], frames=4, residual=True).images,
        lambda m: m.path((-1, 0), (0, 1), frames=4, curve="shortest").images,
        lambda m: m.region((0, 0), 0.5, count=5).images,
        lambda m: m.place(f_d(fives[:2])),
        lambda m: m.support(v.points),
        lambda m: m.stretch(v.points[:3]),
    ):
        assert (look(wide) - look(m)).square().mean().sqrt() < 0.02  # a shortest path may turn off elsewhere
    assert certify(fine, f_d, resolution=5).round_trip_rms == pytest.approx(
        certify(v, f_d, resolution=5).round_trip_rms, rel=0.05
    )


def test_a_v_whose_report_has_fewer_entries_than_todays_loads(small, tmp_path, monkeypatch):
    entries = FitReport.to_dict
    monkeypatch.setattr(
        FitReport, "to_dict", lambda self: {name: x for name, x in entries(self).items() if name != "guided_by"}
    )
    small.save_pretrained(tmp_path)
    monkeypatch.undo()
    assert "guided_by" not in json.loads((tmp_path / "config.json").read_text())["report"]
    loaded = VizAE.from_pretrained(tmp_path)
    assert loaded.report.guided_by is None
    assert torch.equal(loaded.points, small.points)
