"""Slow decoders: a fit and a certificate stay within their budget, say what they spent, and ask for nothing twice."""

import time
import warnings
from types import SimpleNamespace

import pytest
import torch

from latent_vizae import certify, fit
from latent_vizae.decoders.contract import decode_images
from latent_vizae.decoders.spending import as_limit, cost_in_words
from latent_vizae.model.report import FitReport


class Slow(torch.nn.Module):
    """Images (1, 8, 8) of codes of 12 numbers, each of which takes so many seconds; counted."""

    def __init__(self, seconds=0.06):
        super().__init__()
        weights = torch.randn(12, 64, generator=torch.Generator().manual_seed(0)) / 4
        self.register_buffer("weights", weights)
        self.seconds, self.asked, self.largest = seconds, 0, 0

    def forward(self, z):
        self.asked += len(z)
        self.largest = max(self.largest, len(z))
        time.sleep(self.seconds * len(z))
        return (z @ self.weights).sigmoid().view(-1, 1, 8, 8)


@pytest.fixture(scope="module")
def codes():
    return torch.randn(120, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("budget", [0, 5, 30, 60, 150])
def test_a_fit_asks_for_no_more_images_than_its_budget(codes, budget):
    f_d = Slow(0.0)
    v = fit(codes, decoder=f_d, seed=0, budget=budget, steps=20)
    checks = 4 if budget >= 12 else 0
    assert f_d.asked <= v.report.images_decoded + checks <= budget
    assert (f_d.asked == 0) == (budget == 0)
    assert v.report.guided_by == ("slopes" if budget >= 30 else "codes")
    assert (v.report.image_error_held_out is not None) == (budget >= 5)
    assert (v.report.sheet_spread is not None) == (budget == 150)
    if budget:
        assert f"asked for {v.report.images_decoded} of about {v.report.images_wanted} images" in str(v.report)
        assert "budget=None" in str(v.report)


def test_a_budget_that_is_not_reached_changes_nothing(codes):
    plain = fit(codes, decoder=Slow(0.0), seed=0, budget=None, steps=20)
    bounded = fit(codes, decoder=Slow(0.0), seed=0, budget=10**6, steps=20)
    timed = fit(codes, decoder=Slow(0.0), seed=0, steps=20)
    assert plain.report.images_decoded > 500
    for v in (bounded, timed):
        assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in v.state_dict().items())
        assert v.report.images_decoded == plain.report.images_decoded == plain.report.images_wanted


def test_a_time_is_kept_and_calls_take_about_a_second(codes):
    f_d, said = Slow(0.06), []
    v = fit(codes, decoder=f_d, seed=0, budget="4s", steps=20, progress=lambda *step: said.append(step))
    assert v.report.decoding_seconds < 6
    assert f_d.largest <= 16
    titles = {title for _, _, title in said}
    assert any(title.startswith("decode, about ") and title.endswith(" s") for title in titles)
    total = next(steps for _, steps, title in said if title.startswith("decode"))
    assert 30 < total <= 4 / 0.06
    assert f"{v.report.images_decoded} images decoded in {v.report.decoding_seconds:.0f} s" in str(v.report)
    assert FitReport.from_dict(v.report.to_dict()) == v.report


@pytest.mark.parametrize("count", [1, 2, 20])
def test_few_codes_have_a_budget_too(codes, count):
    for budget in (0, 3, 40):
        f_d = Slow(0.0)
        v = fit(codes[:count], decoder=f_d, budget=budget)
        assert f_d.asked <= budget
        assert v.points.shape == (count, 2)


def test_large_images_of_few_codes_have_a_budget_too(codes):
    asked = []

    def f_d(z):
        asked.append(len(z))
        return z.mean(1).sigmoid().view(-1, 1, 1, 1).expand(-1, 3, 64, 64)

    fit(codes[:20], decoder=f_d, budget=15)
    assert sum(asked) <= 15


def test_a_certificate_has_a_grid_that_fits(codes):
    v = fit(codes, seed=0, steps=20)
    f_d = Slow(0.0)
    usual = certify(v, f_d, budget=None)
    assert len(usual.grid) == 625
    assert usual.images_decoded == f_d.asked == usual.images_wanted
    f_d = Slow(0.0)
    coarse = certify(v, f_d, budget=400)
    assert f_d.asked == coarse.images_decoded <= 400
    assert 9 < len(coarse.grid) < 625
    assert any("a coarse grid: the budget allowed" in text for _, text in coarse.statements())
    f_d = Slow(0.0)
    none = certify(v, f_d, budget=4)
    assert f_d.asked == none.places == 0
    assert none.stretch_min is None
    assert ("not known", True) in {(verdict, "budget=None" in text) for verdict, text in none.statements()}
    f_d, said = Slow(0.06), []
    timed = certify(v, f_d, budget="6s", progress=lambda *step: said.append(step))
    assert 9 < f_d.asked == timed.images_decoded <= 100
    assert {title[:13] for _, _, title in said} == {"decode, about"}


class ByTheClock:
    """A decoder of so many seconds an image, of a clock that is not the wall's; its first call takes longer."""

    def __init__(self, seconds, first=0.0):
        self.seconds, self.first, self.now = seconds, first, 0.0

    def __call__(self, z):
        self.now += self.seconds * len(z) + self.first
        self.first = 0.0
        return z[:, :12].sigmoid().reshape(-1, 3, 2, 2).repeat_interleave(2, 2)


@pytest.mark.parametrize(
    ("seconds", "first", "places", "draws"),
    [(0.2, 0, 49, 6), (1, 0, 9, 2), (2, 0, 3, 2), (2, 20, 2, 0), (4, 0, 2, 0), (10, 0, 0, 0), (40, 0, 0, 0)],
)
def test_a_certificate_of_any_pace_spends_a_minute_and_says_what_it_measured(
    codes, seconds, first, places, draws, monkeypatch
):
    f_d = ByTheClock(seconds, first)
    monkeypatch.setattr("latent_vizae.decoders.contract.time", SimpleNamespace(perf_counter=lambda: f_d.now))
    v = fit(codes, seed=0, steps=5)
    found = certify(v, f_d)
    assert 48 < f_d.now <= 60 or seconds == 40
    assert (found.places, found.stretch_min is None) == (places, places == 0)
    assert (found.repeats is None) == (seconds == 40)
    words = "\n".join(text for verdict, text in found.statements() if verdict == "not known")
    assert ("same code." in str(found)) == (places == 0)
    assert f"the budget allowed {found.images_decoded} of {found.images_wanted} images" in words
    assert "budget=None" in words
    assert [len(found.noise), "the noise test" in words] == [3 if draws else 0, draws == 0]
    assert ("a grid of 3 points a side takes about 57 images" in words) == (places < 9)
    if 0 < places < 9:
        assert f"elsewhere than at {places} of the fitted points" in words
        assert f"at {places} places: every small step" in str(found)
    if seconds == 10:
        assert certify(v, f_d).places == 1  # whether the decoder is deterministic is known by now
        assert f_d.now <= 50 + 60


@pytest.mark.parametrize("budget", [-1, "soon", "60", "-3s", 1.5, True])
def test_what_is_no_budget_is_refused(codes, budget):
    with pytest.raises((TypeError, ValueError), match="budget is a"):
        fit(codes, decoder=Slow(0.0), budget=budget)
    with pytest.raises((TypeError, ValueError), match="budget is a"):
        certify(fit(codes[:3]), Slow(0.0), budget=budget)


def test_times_are_read_and_said():
    assert [as_limit(text).seconds for text in ("60s", "5min", "1.5 h")] == [60, 300, 5400]
    assert cost_in_words(340, 0.35) == "about 340 images, 2 min"
    assert cost_in_words(20, 0.2) == "about 20 images, 4 s"
    assert cost_in_words(100, 100.0) == "about 100 images, 3 h"


def test_large_images_of_a_slow_decoder_are_asked_for_half_as_often(codes):
    """1,000 codes and images of 128 pixels in colour: 89 images before, where none were kept."""
    asked = []

    def f_d(z):
        asked.append(len(z))
        time.sleep(0.06 * len(z))
        return (z[:, :3] + z[:, 3:6]).sigmoid()[:, :, None, None] * torch.ones(128, 128)

    more = torch.randn(1000, 12, generator=torch.Generator().manual_seed(2))
    v = fit(more, decoder=f_d, seed=0, steps=20, budget=None)
    assert sum(asked) <= 48
    assert v.report.guided_by == "slopes"
    assert None not in (v.report.image_error, v.report.image_error_held_out, v.report.detail_spread)


# Images that were decoded once.


def test_images_of_a_slow_decoder_are_kept_and_those_of_a_fast_one_are_not(codes):
    for seconds, again in ((0.06, 1), (0.0, 6)):
        f_d = Slow(seconds)
        first = decode_images(f_d, codes[:6])
        f_d.asked = 0
        assert torch.equal(decode_images(f_d, codes[:6]), first)
        assert f_d.asked == again  # one is looked at: whether the decoder is still the same


def test_kept_images_go_when_the_decoder_changes(codes):
    f_d = Slow(0.06)
    before = decode_images(f_d, codes[:5])
    with torch.no_grad():
        f_d.weights.mul_(-1)
    after = decode_images(f_d, codes[:5])
    assert torch.allclose(after, 1 - before, atol=1e-5)
    mixed = decode_images(f_d, codes[3:8])
    assert torch.allclose(mixed[:2], after[3:], atol=1e-6)


def test_a_decoder_with_noise_is_noticed_although_images_are_kept(codes):
    generator = torch.Generator().manual_seed(0)

    def f_d(z):
        time.sleep(0.06 * len(z))
        return torch.rand(len(z), 1, 8, 8, generator=generator)

    decode_images(f_d, codes[:3])
    with pytest.warns(UserWarning, match="not deterministic"):
        fit(codes[:3], decoder=f_d, budget=100)


def test_memory_that_does_not_suffice_halves_a_batch():
    def f_d(z):
        if len(z) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return z.sigmoid().view(-1, 1, 2, 2)

    z = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="Memory does not suffice") as said:
        images = decode_images(f_d, z)
    assert [str(one.message).split(" images")[0] for one in said] == [
        f"Memory does not suffice for {count}" for count in (19, 9, 4)
    ]
    assert torch.allclose(images, z.sigmoid().view(-1, 1, 2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="out of memory"):
            decode_images(lambda z: (_ for _ in ()).throw(torch.OutOfMemoryError("out of memory")), z)
