"""Directions: what they must be, what they find where the truth is known, and what is refused."""

import itertools
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from latent_vizae import Directions, LatentMap, VizAE, discover_directions, fit
from latent_vizae.decoders.spending import Limit, Spending
from latent_vizae.directions.budget import Allowance
from latent_vizae.directions.classifier import classify, learn_classifier
from latent_vizae.directions.closed_form import closed_form
from latent_vizae.directions.measures import calibrate, change_of, explained, random_sets, sameness
from latent_vizae.directions.pool import MOST_CODES, gather
from latent_vizae.directions.search import Deformators, Search
from latent_vizae.pictures.directions import arrow_picture, direction_picture
from latent_vizae.training.optimisers import Adam

TENSORS = ("global_directions", "class_directions", "class_labels", "global_steps", "class_steps", "examples")


TURN = torch.linalg.qr(normal(8, 8, seed=5)).Q
"""Columns: what the codes of the known decoder mean."""


def known(z):
    """Two classes, one half black or white; factor 1 moves a stripe in one, 2 in the other, 3 a square in both."""
    u = z @ TURN.to(z)
    white = torch.sigmoid(9 * u[:, :1])
    stripe = torch.sigmoid(white * u[:, 1:2] + (1 - white) * u[:, 2:3])
    square = torch.sigmoid(1.5 * u[:, 3:4])
    rows = [white.expand(-1, 32), stripe.expand(-1, 16), square.expand(-1, 16)]
    return torch.cat(rows, 1).reshape(-1, 1, 8, 8)


def draw(count, seed):
    """Codes whose first factor is far from 0: of either class, and clearly so."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(count, 8, generator=generator)
    u[:, 0] = 8 * (2.0 * torch.randint(2, (count,), generator=generator) - 1)
    return u[:300] @ TURN.T


def halves(images):
    return (images[:, 0, 0, 0] > 0.5).long()


@pytest.fixture(scope="module")
def trained():
    return discover_directions(known, draw, halves, n_directions=1, steps=80, seed=0)


def pool_of(decoder, codes):
    return gather(decoder, codes, None, None, 0, None, MOST_CODES, Allowance(decoder, Limit(), Spending(), {}))


def aligned(direction, factor):
    return abs(float(direction @ TURN[:, factor]))


# What is found where the truth is known.


@pytest.mark.parametrize("method", ["trained", "metric"])
def test_each_class_gets_its_own_factor_and_the_global_set_the_shared_one(method, trained):
    found = trained if method == "trained" else discover_directions(known, draw, halves, n_directions=1, method=method)
    assert found.class_labels.tolist() == [0, 1]
    assert aligned(found.pick(0).vector, 3) > 0.93
    assert aligned(found.pick(0, label=1).vector, 1) > 0.93
    assert aligned(found.pick(0, label=0).vector, 2) > 0.93


def test_the_report_shows_that_class_sets_earn_their_place(trained):
    report = trained.report
    for own, other, random in zip(report.explained_own, report.explained_other, report.explained_random, strict=True):
        assert own > 0.6
        assert other < 0.3
        assert random < own - 0.1
    assert 0.1 < report.explained_global < 0.9
    assert min(report.kept_class) == 1  # the class is factor 0's, which no direction is
    assert min(report.agreement_class) > 0.95  # only one stripe ever changes
    assert report.codes_per_class == [int((halves(known(draw(4096, 0))) == c).sum()) for c in (0, 1)]


def test_predictors_tell_directions_far_better_than_chance_on_held_out_codes():
    found = discover_directions(known, draw, halves, n_directions=2, steps=120)
    report = found.report
    assert report.chance == 0.5
    assert report.accuracy_global > 0.9
    assert report.shift_error_global < 0.3  # always saying 0 errs by 0.55
    assert len(report.accuracy_class) == len(report.shift_error_class) == 2


def test_training_turns_directions_towards_what_can_be_told_apart():
    """Two directions that are mostly idle turn to the factors in them, and are told better than when frozen."""

    def blocks(z):
        return torch.stack([z[:, at : at + 1].expand(-1, 16) for at in (0, 1)], 1).sigmoid().reshape(-1, 1, 4, 8)

    pool = pool_of(blocks, lambda count, seed: normal(300, 8, seed=seed))
    start = torch.zeros(8, 2)
    start[(0, 4, 1, 5), (0, 0, 1, 1)] = torch.tensor([0.3, 0.954, 0.3, 0.954])
    scores = {}
    for learn in (True, False):
        search = Search(pool, Deformators(start, torch.zeros(0, 8, 2)), 2.0, 300, 0, learn)
        search.run(False, "directions")
        scores[learn] = (search.score(400, 0, seed=1)[0].loss, search.deformators.columns()[0][:2].norm(dim=0))
    assert scores[True][0] < scores[False][0]
    assert (scores[True][1] > 0.34).all()
    assert torch.allclose(scores[False][1], torch.full((2,), 0.3), atol=1e-3)


def test_closed_forms_agree_with_linear_algebra():
    """Of a linear decoder with known spreads, each method has a truth; gradients and differences give one metric."""
    weight = torch.linalg.qr(normal(16, 6, seed=1)).Q @ torch.diag(torch.tensor([5.0, 4, 3, 0.1, 0.1, 0.1])) / 200
    codes = normal(2000, 6, seed=2) * torch.tensor([1.0, 1, 1, 9, 8, 7])
    linear = lambda z: 0.5 + (z @ weight.T).reshape(-1, 1, 4, 4)  # noqa: E731
    detached = lambda z: torch.from_numpy(linear(z).detach().numpy())  # noqa: E731
    truth = {"codes": (3, 4, 5), "metric": (0, 1, 2), "features": (0, 1, 2)}
    for method, axes in truth.items():
        for decoder in (linear, detached):
            small = codes if method == "codes" else codes * torch.tensor([1.0, 1, 1, 0.1, 0.1, 0.1])
            found = discover_directions(decoder, small, n_directions=3, method=method)
            for direction, axis in zip(found.global_directions, axes, strict=True):
                assert abs(float(direction[axis])) > 0.95, (method, decoder)


@pytest.mark.parametrize("method", ["codes", "start"])
def test_closed_forms_see_all_codes_though_they_come_sorted(method):
    spread = torch.full((8, 8), 0.1).fill_diagonal_(1) * torch.arange(1.0, 9).square()[:, None]  # class k along axis k
    codes = (normal(8, 500, 8) * spread[:, None]).flatten(0, 1)
    pool = pool_of(lambda z: (z / 500).sigmoid().reshape(-1, 1, 2, 4), codes)
    found = closed_form(pool, 2, method, None, 0)[0].abs()
    assert found[7, 0] > 0.9
    assert found[6, 1] > 0.9


def test_differences_look_along_what_all_codes_span_though_they_come_sorted():
    codes = torch.zeros(4000, 80)
    codes[:2000, :40], codes[2000:, 40:] = normal(2000, 40), 2 * normal(2000, 40, seed=1)
    decoder = lambda z: z.detach()[:, 79:].expand(-1, 4).sigmoid().reshape(-1, 1, 2, 2)  # noqa: E731
    found = closed_form(pool_of(decoder, codes), 1, "metric", None, 0)[0]
    assert found[79].abs() > 0.95


def test_features_are_a_function_or_a_layers_name():
    layers = [nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 16), nn.Sigmoid(), nn.Unflatten(1, (1, 4, 4))]
    layer, codes = nn.Sequential(*layers), normal(300, 6)
    by_name = discover_directions(layer, codes, n_directions=2, method="features", features="1")
    same = discover_directions(layer, codes, n_directions=2, method="features", features=lambda z: layer[:2](z))
    assert torch.allclose(by_name.global_directions, same.global_directions, atol=1e-4)
    images = discover_directions(layer, codes, n_directions=2, method="features")
    assert not torch.allclose(by_name.global_directions, images.global_directions, atol=1e-2)
    assert not layer[1]._forward_hooks


# What directions must be.


@given(
    size=st.integers(1, 4), spare=st.integers(0, 5), classes=st.integers(0, 3), seed=st.integers(0, 99),
    squeeze=st.sampled_from([1.0, 1e-3]),
)  # fmt: skip
def test_the_constraints_hold_for_any_parameters(size, spare, classes, seed, squeeze):
    n = 2 * size + spare
    shared, own = normal(n, size, seed=seed), normal(classes, n, size, seed=seed + 100)
    own = shared @ normal(classes, size, size, seed=seed + 200) + squeeze * own  # nearly inside the global span
    for precise, tolerance in ((False, 1e-5), (True, 1e-7)):
        common, others = Deformators(shared, own).columns(precise)
        identity = torch.eye(size, dtype=common.dtype)
        assert (common.T @ common - identity).abs().max() < tolerance
        for columns in others:
            assert (columns.T @ columns - identity).abs().max() < tolerance
            assert (common.T @ columns).abs().max() < tolerance


@pytest.mark.parametrize("method", ["trained", "codes", "features", "metric"])
@pytest.mark.parametrize("by_class", [True, False])
def test_every_method_gives_unit_rows_that_are_orthogonal(method, by_class):
    found = discover_directions(known, draw, halves if by_class else None, n_directions=3, method=method, steps=3)
    assert found.global_directions.shape == (3, 8)
    assert found.class_directions.shape == (2 * by_class, 3, 8)
    assert len(found) == len(list(found)) == 3 * (1 + 2 * by_class)
    for rows in found.class_directions:
        both = torch.cat([found.global_directions, rows]).double()
        assert (both @ both.T - torch.eye(6)).abs().max() < 1e-5
    assert max(found.report.cosine_global_class, found.report.cosine_within) < 1e-5
    assert found.report.accuracy_global is not None  # closed forms are judged by predictors too, if asked
    assert (found.report.accuracy_class is None) == (not by_class)


def test_the_same_seed_gives_the_same_directions_and_another_one_others(trained):
    again = discover_directions(known, draw, halves, n_directions=1, steps=80, seed=0)
    other = discover_directions(known, draw, halves, n_directions=1, steps=80, seed=1)
    assert all(torch.equal(getattr(trained, name), getattr(again, name)) for name in TENSORS)
    assert not torch.equal(trained.global_directions, other.global_directions)


def test_logits_numbers_and_arrays_of_ids_are_the_same_classifier():
    forms = [
        halves,
        lambda images: torch.stack([0.5 - images[:, 0, 0, 0], images[:, 0, 0, 0] - 0.5], 1),
        lambda images: halves(images).numpy().astype(np.int16),
    ]
    found = [discover_directions(known, draw, form, n_directions=1, method="codes") for form in forms]
    assert all(torch.equal(found[0].class_directions, other.class_directions) for other in found[1:])


def test_nothing_that_is_not_ours_is_touched():
    network = nn.Sequential(nn.Linear(8, 64), nn.Dropout(), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))).train()
    codes, before = normal(100, 8), torch.get_rng_state()
    kept = codes.clone()
    with torch.no_grad():
        found = discover_directions(network, codes, n_directions=2, steps=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(codes, kept)
    assert network.training
    assert network[1].training
    assert all(weight.requires_grad and weight.grad is None for weight in network.parameters())
    assert not any(getattr(found, name).requires_grad for name in TENSORS)
    with torch.inference_mode():
        assert torch.equal(
            discover_directions(network, codes, n_directions=2, steps=3).global_directions, found.global_directions
        )


@pytest.mark.parametrize("method", ["trained", "metric"])
def test_directions_are_found_under_any_default_dtype(method):
    codes = draw(300, 0)
    torch.set_default_dtype(torch.float64)
    try:
        found = discover_directions(known, codes, halves, n_directions=2, method=method, steps=3)
        arrows = LatentMap(fit(found.examples), known).arrows(found, shape=3)
    finally:
        torch.set_default_dtype(torch.float32)
    tensors = [getattr(found, name) for name in TENSORS if name != "class_labels"]
    assert {tensor.dtype for tensor in [*tensors, arrows.points, arrows.moves, arrows.trust]} == {torch.float32}


# Steps.


def test_a_step_changes_images_by_the_same_amount_in_every_direction():
    """Of a linear decoder a change is the same at all codes, so the calibration holds at codes never seen."""
    weight = torch.diag(torch.tensor([1.0, 0.5, 0.2, 0.05, 2, 3, 0.1, 0.4])) / 100
    linear = lambda z: 0.5 + (z @ weight).reshape(-1, 1, 2, 4)  # noqa: E731
    found = discover_directions(linear, normal(200, 8), n_directions=7, method="codes")
    codes = normal(50, 8, seed=9)
    changes = change_of(linear, codes, found.global_directions * found.global_steps[:, None])
    assert torch.allclose(changes, torch.full((7,), found.report.step_change), rtol=2e-3)
    assert found.global_steps.max() > 2 * found.global_steps.min()  # which lengths alone would not give
    shifted = change_of(linear, codes, found.global_directions * found.report.shift)
    assert torch.allclose(found.global_effects, shifted, rtol=1e-3)


def test_calibration_meets_curved_decoders_and_names_what_does_not_move():
    curved = lambda z: (4 * z[:, :3]).tanh().mul(0.25).add(0.5).reshape(-1, 1, 1, 3)  # noqa: E731
    codes, axes = 0.3 * normal(64, 5), torch.eye(5)
    (lengths,), amount, still = calibrate(curved, [(axes, codes)], 0.05, 1.0)
    assert still.tolist() == [False, False, False, True, True]
    assert torch.allclose(change_of(curved, codes, axes[:3] * lengths[:3, None]), torch.tensor(amount), rtol=2e-3)
    found = discover_directions(curved, codes, n_directions=5, method="metric")
    assert found.report.unmoved == ["global 3", "global 4"]


def test_what_cannot_go_far_lowers_the_step_of_all():
    weak = lambda z: torch.cat([z[:, :1].sigmoid(), 0.5 + 0.02 * z[:, 1:2].tanh()], 1).reshape(-1, 1, 1, 2)  # noqa: E731
    _, amount, still = calibrate(weak, [(torch.eye(2), normal(40, 2))], 0.02, 1.0)
    assert 0 < amount < 0.02
    assert not still.any()


def test_measures_know_their_extremes():
    same = torch.ones(5, 1, 2, 2) * torch.arange(1.0, 6).reshape(-1, 1, 1, 1)
    assert sameness(same) == pytest.approx(1)
    assert sameness(torch.eye(4).reshape(4, 1, 2, 2)) == pytest.approx(0)
    assert sameness(torch.cat([same, -same])) < 0
    linear = lambda z: z.reshape(-1, 1, 1, 4)  # noqa: E731
    start, end, axes = normal(9, 4), normal(9, 4, seed=1), torch.eye(4)
    share, (rest, nothing) = explained(linear, start, end, axes[:2], [axes[2:], torch.zeros(1, 4)])
    way = (end - start).square().sum(0)
    assert share == pytest.approx(float(way[:2].sum() / way.sum()), abs=1e-5)
    assert (rest, nothing) == (pytest.approx(1, abs=1e-5), pytest.approx(0, abs=1e-5))
    sets = random_sets(axes[:1], 3, torch.Generator().manual_seed(0))
    assert sets.shape == (3, 1, 4)
    assert (sets @ axes[:1].T).abs().max() < 1e-6


def test_a_walk_leaves_the_middle_as_it_is(trained):
    direction, code = trained.pick(0, label=1), draw(1, 7)[0]
    codes = direction.along(code, steps=13, reach=2)
    assert torch.equal(codes[6], code)
    assert torch.allclose(codes[12] - code, 2 * direction.step * direction.vector, atol=1e-5)
    assert torch.allclose(codes + codes.flip(0), 2 * code.expand(13, 8), atol=1e-5)
    assert torch.allclose(direction.move(code[None], 2.0), codes[12:], atol=1e-5)
    for bad in ({"steps": 12}, {"steps": 1}, {"reach": 0}, {"reach": float("nan")}):
        with pytest.raises(ValueError, match=r"steps|reach"):
            direction.along(code, **bad)


# Interrupting, going on, progress.


def test_a_resumed_search_ends_where_an_uninterrupted_one_does(tmp_path):
    asked = {"n_directions": 2, "steps": 70, "seed": 3}
    whole = discover_directions(known, draw, halves, **asked)
    seen, file = [], tmp_path / "search.safetensors"

    def stop(step, steps, title):
        if title == "directions":
            seen.append((step, steps, title))
            if step in (20, 60):
                raise KeyboardInterrupt

    for done in (20, 60):
        part = discover_directions(known, draw, halves, **asked, checkpoint=file, progress=stop)
        assert part.report.interrupted
        assert part.report.steps == done
        assert file.is_file()
        torch.testing.assert_close(part.global_directions.norm(dim=1), torch.ones(2))
    last = discover_directions(known, draw, halves, **asked, checkpoint=file)
    assert [step for step, _, _ in seen] == list(range(1, 61))
    assert all(torch.equal(getattr(whole, name), getattr(last, name)) for name in TENSORS)
    assert last.report.accuracy_class == whole.report.accuracy_class
    assert list(tmp_path.iterdir()) == []  # all done, and nothing left


@pytest.mark.parametrize(
    ("owner", "name", "call", "step"),
    [(Search, "_loss", 21, 21), (Adam, "step", 42, 21), (Search, "_loss", 51, 50)],
    ids=["in a step", "between its optimisers", "before its check"],
)  # fmt: skip
def test_a_step_that_is_cut_short_is_done_again(monkeypatch, tmp_path, owner, name, call, step):
    asked = {"n_directions": 2, "steps": 60, "measured": 4}
    whole = discover_directions(known, draw, halves, **asked)
    asked["checkpoint"] = tmp_path / "search.safetensors"
    true, left = getattr(owner, name), itertools.count(call, -1)

    def cut(*given, **named):
        if next(left) == 1:
            raise KeyboardInterrupt
        return true(*given, **named)

    monkeypatch.setattr(owner, name, cut)
    assert discover_directions(known, draw, halves, **asked).report.interrupted
    monkeypatch.setattr(owner, name, true)
    seen = []
    last = discover_directions(known, draw, halves, **asked, progress=lambda *now: seen.append(now))
    assert next(done for done, _, title in seen if title == "directions") == step
    assert all(torch.equal(getattr(whole, name), getattr(last, name)) for name in TENSORS)


@pytest.mark.parametrize("method", ["metric", "trained"])
def test_every_part_tells_how_far_it_is_and_can_be_stopped(method, tmp_path):
    asked = {"n_directions": 2, "method": method, "steps": 6, "seed": 1}
    seen = []
    whole = discover_directions(known, draw, halves, **asked, progress=lambda *now: seen.append(now))
    for title in dict.fromkeys(title for _, _, title in seen):
        steps = [(step, total) for step, total, name in seen if name == title]
        assert steps == sorted(steps)
        assert all(step <= total for step, total in steps)
    assert list(dict.fromkeys(title for _, _, title in seen)) == ["images", "directions", "measure"]

    def stop(step, steps, title):
        if title == "measure" and step > steps // 2:
            raise KeyboardInterrupt

    file = tmp_path / "c.safetensors"
    part = discover_directions(known, draw, halves, **asked, progress=stop, checkpoint=file)
    assert part.report.interrupted
    assert part.report.step_change == whole.report.step_change
    assert part.report.explained_own is None
    assert file.exists()  # to measure the rest
    assert discover_directions(known, draw, halves, **asked, checkpoint=file).report.explained_own is not None
    with pytest.raises(KeyboardInterrupt):
        discover_directions(known, draw, halves, **asked, progress=lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


def test_a_checkpoint_of_another_search_is_refused_and_left(tmp_path):
    def stop(step, steps, title):
        if title == "directions" and step == 3:
            raise KeyboardInterrupt

    file = tmp_path / "c.safetensors"
    discover_directions(known, draw, n_directions=2, steps=9, checkpoint=file, progress=stop)
    before = file.read_bytes()
    for other in ({"n_directions": 1}, {"seed": 1}, {"steps": 8}):
        with pytest.raises(ValueError, match="other codes or with other settings"):
            discover_directions(known, draw, **{"n_directions": 2, "steps": 9, **other}, checkpoint=file)
    with pytest.raises(ValueError, match="other codes"):
        discover_directions(lambda z: known(1.1 * z), draw, n_directions=2, steps=9, shift=1.0, checkpoint=file)
    assert file.read_bytes() == before
    file.write_bytes(before[:-7])
    with pytest.raises(ValueError, match="damaged"):
        discover_directions(known, draw, n_directions=2, steps=9, checkpoint=file)
    save_file({"mine": torch.ones(2)}, file)
    with pytest.raises(ValueError, match="no checkpoint"):
        discover_directions(known, draw, n_directions=2, steps=9, checkpoint=file)
    assert load_file(file)["mine"].sum() == 2


def test_a_checkpoint_of_other_features_is_refused(tmp_path):
    def stop(step, steps, title):
        if title == "directions" and step == 3:
            raise KeyboardInterrupt

    asked = {"n_directions": 2, "method": "features", "steps": 9, "shift": 1.0}
    first, second = (lambda z: z[:, :4]), (lambda z: z[:, 4:])
    asked["checkpoint"] = tmp_path / "c.safetensors"
    discover_directions(known, draw, halves, **asked, features=first, progress=stop)
    with pytest.raises(ValueError, match="other settings"):
        discover_directions(known, draw, halves, **asked, features=second)
    assert discover_directions(known, draw, halves, **asked, features=first).report.steps == 9


def test_the_bar_goes_to_stderr_and_only_when_asked_for(capfd):
    for progress in (True, False):
        discover_directions(images_in, normal(64, 4), n_directions=1, steps=3, progress=progress)
        shown = capfd.readouterr()
        assert shown.out == ""
        assert ("directions" in shown.err) == progress
        assert progress or shown.err == ""


# To disk and back.


def test_saving_and_loading_is_the_identity(trained, tmp_path):
    trained.save_pretrained(tmp_path / "d")
    back = Directions.from_pretrained(tmp_path / "d")
    assert back.config == trained.config
    assert back.report == trained.report
    for name in (*TENSORS, "global_effects", "class_effects"):
        assert torch.equal(getattr(back, name), getattr(trained, name))
    assert sorted(file.name for file in (tmp_path / "d").iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    trained.save_pretrained(tmp_path / "d")  # over its own
    card = (tmp_path / "d" / "README.md").read_text()
    for line in re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)[1].splitlines():
        assert "decoder = ..." in line or not line or compile(line, "card", "exec")


def test_a_v_and_directions_are_not_taken_for_each_other(trained, tmp_path):
    v = fit(torch.eye(4))
    v.save_pretrained(tmp_path / "v")
    trained.save_pretrained(tmp_path / "d")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for call in (
        lambda: VizAE.from_pretrained(tmp_path / "d"),
        lambda: Directions.from_pretrained(tmp_path / "v"),
        lambda: v.save_pretrained(tmp_path / "d"),
        lambda: trained.save_pretrained(tmp_path / "v"),
    ):
        with pytest.raises(ValueError, match="kind"):
            call()
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "config", "missing", "long rows", "step 0"])
def test_damaged_directions_are_refused(trained, tmp_path, damage, monkeypatch):
    trained.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[:-9])
    elif damage == "flipped":
        data[-9] ^= 1
        file.write_bytes(data)
    elif damage == "config":
        file.write_bytes(data.replace(b'\\"directions\\": 1', b'\\"directions\\": 9'))
    elif damage == "missing":
        (tmp_path / "config.json").unlink()
    else:
        name, factor = {"long rows": ("global_directions", 2), "step 0": ("global_steps", 0)}[damage]
        changed = {name: factor * getattr(trained, name)}
        values = {name: getattr(trained, name) for name in trained.__dataclass_fields__}
        with pytest.raises(ValueError, match="not saved"):
            Directions(**{**values, **changed}).save_pretrained(tmp_path)
        assert file.read_bytes() == data
        monkeypatch.setattr("latent_vizae.directions.directions._check_values", lambda *_: None)
        Directions(**{**values, **changed}).save_pretrained(tmp_path)
        monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a configuration that is not the header's
        with pytest.raises((ValueError, FileNotFoundError)):
            Directions.from_pretrained(tmp_path)


PUSH = """
import torch
from latent_vizae import Directions, discover_directions
decoder = lambda z: z.sigmoid().reshape(-1, 1, 2, 2)
pair = lambda images: (images[:, 0, 0, 0] > 0.5).long()
codes = torch.randn(80, 4, generator=torch.Generator().manual_seed(0))
found = discover_directions(decoder, codes, pair, n_directions=2, method="metric")
found.push_to_hub("alice/directions", decoder, licence="mit")
back = Directions.from_pretrained("alice/directions")
assert torch.equal(back.class_directions, found.class_directions) and back.report == found.report
from huggingface_hub import HfApi
print(sorted(HfApi().list_repo_files("alice/directions")), HfApi().model_info("alice/directions").card_data.license)
"""


def test_directions_go_to_the_hub_with_pictures_and_back(tmp_path):
    from loopback_hub import running_hub

    with running_hub(tmp_path / "hub") as hub:
        done = hub.run(PUSH, token="hf_alice", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("README.md", "model.safetensors", "config.json", "global.png", "class-0.png", "class-1.png", "mit"):
        assert name in done.stdout


# On the map.


@pytest.fixture(scope="module", params=[1, 2, 3])
def any_map(request):
    codes = draw(60, 1)
    return LatentMap(fit(codes, known, request.param, labels=halves(known(codes))), known)


def test_arrows_are_where_the_codes_of_points_go(any_map, trained):
    v = any_map.v
    arrows = any_map.arrows(trained, shape=4, label=1, step=0.5)
    assert arrows.points.shape == (4**v.dim, v.dim)
    assert arrows.names == ("class 1, 0",)
    codes, move = v.decode(arrows.points), 0.5 * trained.pick(0, 1).step * trained.pick(0, 1).vector
    assert torch.allclose(arrows.moves[0], v.encode(codes + move) - v.encode(codes), atol=1e-5)
    assert arrows.moves.abs().max() > 0
    assert ((arrows.trust >= 0) & (arrows.trust <= 1)).all()
    same = any_map.arrows(trained.pick(0), shape=4).moves
    assert torch.equal(same, any_map.arrows([trained.pick(0)], shape=4).moves)
    assert torch.equal(same, any_map.arrows(trained, shape=4).moves)


def test_arrows_of_a_flat_map_are_the_directions_themselves():
    """v of codes in a plane is affine: everywhere the arrow is the direction, seen from that plane."""
    frame = torch.linalg.qr(normal(5, 2)).Q
    v = fit(normal(40, 2, seed=1) @ frame.T)
    found = discover_directions(lambda z: z[:, :4].sigmoid().reshape(-1, 1, 2, 2), normal(90, 5), method="codes")
    arrows = LatentMap(v, lambda z: z[:, :4].sigmoid().reshape(-1, 1, 2, 2)).arrows(found, shape=(3, 4))
    assert torch.allclose(arrows.moves, arrows.moves[:, :1].expand_as(arrows.moves), atol=1e-4)


def test_a_class_is_trusted_where_its_codes_are(any_map, trained):
    v = any_map.v
    arrows = any_map.arrows([trained.pick(0, 0), trained.pick(0, 1), trained.pick(0)], shape=5)
    assert torch.allclose(arrows.trust[0] + arrows.trust[1], arrows.trust[2], atol=1e-5)  # two classes share the map
    assert torch.allclose(arrows.trust[2], any_map.support(arrows.points), atol=1e-5)
    assert v.labels is not None


def test_a_traverse_has_the_code_itself_in_its_middle(any_map, trained):
    code = draw(1, 3)[0]
    samples = any_map.traverse(code, trained.pick(0), steps=13)
    assert len(samples) == 13
    assert torch.equal(samples.codes[6], code)
    assert torch.equal(samples.images[6], known(code[None])[0])
    assert torch.allclose(samples.points, any_map.v.encode(samples.codes), atol=1e-6)
    assert torch.allclose(samples.images, known(samples.codes), atol=1e-6)
    assert (samples.images[0] - samples.images[12]).abs().max() > 0.05
    assert samples.sheet().size[0] == 13 * 9 + 1


def test_what_a_map_cannot_do_with_directions_is_refused(any_map, trained):
    elsewhere = discover_directions(lambda z: z.sigmoid().reshape(-1, 1, 1, 3), normal(50, 3), method="codes")
    for call, error, words in (
        (lambda: any_map.arrows(elsewhere), ValueError, r"\(3,\)"),
        (lambda: any_map.arrows(trained, label=7), ValueError, "no set of class 7"),
        (lambda: any_map.arrows(trained, step=0), ValueError, "step"),
        (lambda: any_map.arrows("global"), TypeError, "Directions"),
        (lambda: any_map.arrows([]), ValueError, "0 single"),
        (lambda: any_map.traverse(draw(1, 0)[0], trained), TypeError, "one direction"),
        (lambda: any_map.traverse(torch.zeros(5), trained.pick(0)), ValueError, "shape"),
        (lambda: any_map.traverse(draw(2, 0), trained.pick(0)), ValueError, "one code"),
        (lambda: trained.pick(5), ValueError, "counted from 0"),
        (lambda: elsewhere.pick(0, label=1), ValueError, "without a classifier"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_arrows_and_rows_of_images_are_drawn(any_map, trained, tmp_path):
    from PIL import Image

    for label, name in ((None, "global.png"), (1, "own.png")):
        arrows = any_map.arrows(trained, shape=5, label=label)
        arrow_picture(any_map, replace(arrows, trust=torch.ones_like(arrows.trust)), tmp_path / name)
    shown, own = (
        np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int) for name in ("global.png", "own.png")
    )
    for picture in (shown, own):
        orange = (picture[..., 0] > 200) & (picture[..., 1].clip(60, 120) == picture[..., 1]) & (picture[..., 2] < 60)
        assert orange.sum() > 50
    assert shown.shape != own.shape or (shown != own).any()
    other = LatentMap(fit(torch.eye(8), dim=any_map.v.dim % 3 + 1), known)
    with pytest.raises(ValueError, match="-D"):
        arrow_picture(other, any_map.arrows(trained, shape=3), tmp_path / "x.png")


def test_a_figure_has_a_row_per_direction_and_columns_that_begin_alike(trained, tmp_path):
    from PIL import Image

    sizes = {}
    for label in (None, 1):
        direction_picture(trained, known, tmp_path / "f.png", label=label)
        with Image.open(tmp_path / "f.png") as picture:
            sizes[label] = picture.size
    assert sizes[None][0] == sizes[1][0] == 1920
    assert sizes[1][1] > 1.2 * sizes[None][1]  # two rows for one
    with pytest.raises(ValueError, match="png"):
        direction_picture(trained, known, tmp_path / "f.jpg")


# What is refused.


def images_in(z):
    return z.sigmoid().reshape(-1, 1, 2, 2)


def rounded(z):
    return (z.sigmoid() > 0.5).float().reshape(-1, 1, 2, 2)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    @torch.no_grad()
    def forward(self, z):
        return self.layer(z).sigmoid().reshape(-1, 1, 2, 2)


def in_numpy(z):
    return torch.from_numpy(images_in(z.detach()).numpy())


@pytest.mark.parametrize("decoder", [rounded, lambda z: images_in(z).round(), Network(), in_numpy])
def test_a_decoder_without_gradients_gets_closed_forms_and_a_reason(decoder):
    with pytest.raises(ValueError, match=r"gradients.*method='metric'"):
        discover_directions(decoder, normal(64, 4), steps=3)
    found = discover_directions(decoder, normal(64, 4), n_directions=2, method="metric")
    assert found.global_effects.max() > 0


CODES = normal(64, 4)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"n_directions": 5}, ValueError, "K is at most 4"),
        ({"n_directions": 3, "classifier": halves}, ValueError, "K is at most 2"),
        ({"n_directions": 0}, ValueError, "at least 1"),
        ({"n_directions": 1.5}, TypeError, "whole number"),
        ({"method": "magic"}, ValueError, "'trained'"),
        ({"shift": -1}, ValueError, "above 0"),
        ({"shift": "far"}, TypeError, "length"),
        ({"steps": -1}, ValueError, "at least 0"),
        ({"decoder": 3}, TypeError, "callable"),
        ({"decoder": lambda z: z}, ValueError, r"\(B, C, H, W\)"),
        ({"decoder": lambda z: torch.full((len(z), 1, 2, 2), 0.5)}, ValueError, "same for all codes"),
        ({"codes": CODES[:5]}, ValueError, "at least 8"),
        ({"codes": None}, ValueError, "sampler"),
        ({"codes": lambda count: CODES}, TypeError, r"\(count, seed\)"),
        ({"codes": [["a"]]}, TypeError, "real numbers"),
        ({"codes": CODES * float("nan")}, ValueError, "finite"),
        ({"classifier": "lenet"}, TypeError, "callable"),
        ({"n_classes": 2}, ValueError, "needs a classifier"),
        ({"classifier": halves, "n_classes": 3}, ValueError, r"2 \(0\)"),
        ({"classifier": halves, "n_classes": 1}, ValueError, "0 to 0"),
        ({"classifier": lambda x: 1 / 0}, ValueError, "ZeroDivisionError"),
        ({"classifier": lambda x: x}, ValueError, "class ids"),
        ({"classifier": lambda x: x[:, 0, 0, 0]}, ValueError, "whole numbers"),
        ({"classifier": lambda x: torch.zeros(3, dtype=torch.int64)}, ValueError, r"shape \(3,\)"),
        ({"classifier": lambda x: "eight"}, ValueError, "returned str"),
        ({"classifier": lambda x: -torch.ones(len(x), dtype=torch.int64)}, ValueError, "id -1"),
        ({"classifier": lambda x: torch.full((len(x), 3), torch.nan)}, ValueError, "NaN"),
        ({"classifier": lambda x: torch.arange(len(x))}, ValueError, "no class with 8"),
        ({"features": "layer"}, ValueError, "method='features'"),
        ({"method": "features", "features": "layer"}, ValueError, "no nn.Module"),
        ({"method": "features", "features": lambda z: z.sum()}, ValueError, "one row per code"),
        ({"checkpoint": "mine.pt"}, ValueError, "safetensors"),
        ({"checkpoint": "no/such/c.safetensors"}, ValueError, "folder"),
        ({"device": "nowhere"}, ValueError, "nowhere"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_any_training(options, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {
        "decoder": images_in,
        "codes": CODES,
        "progress": lambda step, steps, title: title == "images" or pytest.fail("trained"),
        **options,
    }
    with pytest.raises(error, match=words):
        discover_directions(**asked)
    assert list(tmp_path.iterdir()) == []


def test_a_rare_class_is_left_out_with_a_word_and_looked_for_when_asked_for():
    rare = lambda images: (images[:, 0, 0, 0] > 0.97).long()  # noqa: E731
    codes = torch.cat([torch.zeros(40, 4), normal(40, 4) - 2, torch.full((3, 4), 5.0)])
    with pytest.warns(UserWarning, match=r"no directions of their own: \[1\]"):
        found = discover_directions(images_in, codes, rare, method="codes", n_directions=1)
    assert found.class_labels.tolist() == [0]
    rounds = []

    def sampler(count, seed):
        rounds.append(seed)
        return codes + 0.01 * normal(83, 4, seed=seed)

    found = discover_directions(images_in, sampler, rare, method="codes", n_directions=1, n_classes=2)
    assert found.class_labels.tolist() == [0, 1]
    assert len(rounds) > 1


# Real generators.


def test_the_bundled_decoders_class_sets_explain_what_the_global_set_leaves(f_d):
    codes, labels = f_d.examples(count=700, seed=0)
    keep = labels < 3
    classifier = learn_classifier(f_d, codes[keep], labels[keep], steps=100)
    assert (classify(classifier, f_d(codes[keep][:100])) == labels[keep][:100]).float().mean() > 0.95
    found = discover_directions(f_d, codes[keep], classifier, n_directions=2, method="codes", n_classes=3, measured=8)
    report = found.report
    assert sum(report.explained_own) > sum(report.explained_random)
    assert min(report.kept_class) > 0.8
    assert found.source == "mnist"
    assert str(report).count("\n") > 5


def test_a_pretrained_gan_with_a_pretrained_classifier(shared):
    from shared_models import lenet, mlp_gan

    generator, classifier = mlp_gan(shared), lenet(shared)
    found = discover_directions(generator, generator.sample(900, 0), classifier, n_directions=2, method="metric")
    report = found.report
    assert sum(report.explained_own) > sum(report.explained_random) + len(found.class_labels) * 0.1
    assert report.step_change_most < 2 * report.step_change_least
