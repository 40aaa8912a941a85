"""A search for directions stays within its budget, says what was spent, and goes on as planned after a break."""

import re
import time

import pytest
import torch

from latent_vizae import discover_directions
from latent_vizae.directions.classifier import learn_classifier
from latent_vizae.directions.report import DirectionsReport

N, SEED = 12, torch.Generator().manual_seed(2)
CODES = torch.randn(600, N, generator=SEED)
WEIGHTS, SEEN = torch.randn(N, 192, generator=SEED), torch.randn(192, 3, generator=SEED)


class Counting(torch.nn.Module):
    """Images of 8 x 8 pixels, counted; each takes so many seconds."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds, self.count = seconds, 0

    def forward(self, z):
        self.count += len(z)
        time.sleep(self.seconds * len(z))
        return torch.sigmoid(z @ WEIGHTS).reshape(-1, 3, 8, 8)


def classes_of(images):
    return ((images.flatten(1) - 0.5) @ SEEN).argmax(1)  # each class has its share, whatever the seed


@pytest.mark.parametrize("classifier", [None, classes_of])
@pytest.mark.parametrize("method", ["trained", "metric", "codes", "features"])
@pytest.mark.parametrize("budget", [200, 1500, 6000])
def test_a_search_stays_within_its_budget(method, classifier, budget):
    f_d = Counting()
    steps = 60 if method == "trained" else None
    found = discover_directions(f_d, CODES, classifier, n_directions=3, method=method, steps=steps, budget=budget)
    report = found.report
    assert f_d.count <= report.images_decoded <= 1.12 * budget + 24  # those that look for gradients
    assert report.images_wanted is None or report.images_wanted > 0.85 * report.images_decoded
    norms = torch.cat([found.global_directions, *found.class_directions]).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    assert found.global_steps.min() > 0
    assert ("within the budget" in str(report)) == (report.images_wanted is not None)


def test_what_a_budget_does_not_reach_is_as_without_one():
    whole, bounded = (
        discover_directions(Counting(), CODES, n_directions=2, method="metric", budget=budget)
        for budget in (None, 100_000)
    )
    assert torch.equal(whole.global_directions, bounded.global_directions)
    assert torch.equal(whole.global_steps, bounded.global_steps)
    assert whole.report.images_wanted is None


def test_more_budget_is_better_directions():
    """Against those of all codes: the cosine of the leading one."""
    best = discover_directions(Counting(), CODES, n_directions=1, method="metric", budget=None).global_directions[0]
    cosines = [
        sum(
            abs(float(best @ discover_directions(
                Counting(), CODES, n_directions=1, method="metric", budget=budget, seed=seed
            ).global_directions[0]))
            for seed in range(1, 4)
        ) / 3
        for budget in (120, 4000)
    ]  # fmt: skip
    assert cosines[0] + 0.2 < cosines[1]  # 0.58 to 0.97: less where the second direction is nearly as strong


@pytest.mark.parametrize("classifier", [None, classes_of])
def test_the_first_bar_of_a_slow_decoder_says_the_most_and_later_ones_the_sum(classifier, monkeypatch):
    monkeypatch.setattr("latent_vizae.directions.budget.is_slow", lambda f_d: True)
    monkeypatch.setattr("latent_vizae.directions.budget.seconds_per_image", lambda f_d: 0.2)
    for method, budget in (("metric", 3000), ("metric", None), ("codes", None), ("trained", 1000)):
        titles, f_d = [], Counting()

        def note(step, steps, title, titles=titles):
            if title not in titles:
                titles.append(title)

        report = discover_directions(
            f_d, CODES, classifier, n_directions=1, method=method, steps=30 * (method == "trained"), budget=budget,
            progress=note,
        ).report  # fmt: skip
        words = r"about ([\d,]+) images, (\d+) (s|min|h), of (at most|about) ([\d,]+) images, (\d+) (s|min|h) in all"
        said = [re.fullmatch(rf"([a-z]+), {words}", title) for title in titles]
        assert all(said), titles
        assert [(one[1], one[5]) for one in said] == [
            (one[1], "about" if at else "at most") for at, one in enumerate(said)
        ]
        assert said[0][1] == "images"
        most, *sums = (int(one[6].replace(",", "")) for one in said)
        assert len(set(sums)) == 1
        assert sums[0] <= most <= (budget or 1e9)
        assert f_d.count <= most
        assert 0.8 * sums[0] - 24 < report.images_decoded < 1.12 * sums[0] + 24


def test_a_classifier_of_a_slow_decoder_counts_its_images():
    titles = []
    learn_classifier(
        Counting(0.06), CODES[:20], classes_of(Counting()(CODES[:20])), steps=2,
        progress=lambda step, steps, title: titles.append((step, steps, title)),
    )  # fmt: skip
    assert titles[-1][:2] == (20, 20)
    assert titles[0][2] in ("classifier, about 20 images, 1 s", "classifier, about 20 images, 2 s")


def test_a_training_that_was_planned_by_the_clock_goes_on_as_planned(tmp_path, monkeypatch):
    def search(images, stop_at):
        def progress(step, steps, title):
            if title.startswith("directions") and step == stop_at:
                raise KeyboardInterrupt

        monkeypatch.setattr(
            "latent_vizae.directions.budget.images_left", lambda f_d, limit, spent: images - spent.images
        )
        return discover_directions(
            Counting(), CODES, n_directions=2, shift=1.0, steps=30, progress=progress,
            checkpoint=tmp_path / "state.safetensors",
        ).report  # fmt: skip

    before = search(4000, 5)
    assert (before.interrupted, before.steps) == (True, 5)
    after = search(1e6, None)
    assert not after.interrupted
    assert 5 < after.steps < 30
    assert not (tmp_path / "state.safetensors").exists()


def test_a_training_of_a_slow_decoder_that_is_stopped_asks_for_no_more(monkeypatch):
    monkeypatch.setattr("latent_vizae.directions.budget.is_slow", lambda f_d: True)
    f_d, counts = Counting(), []

    def progress(step, steps, title):
        if title.startswith("directions"):
            counts.append(f_d.count)
            raise KeyboardInterrupt

    report = discover_directions(f_d, CODES, n_directions=2, steps=20, progress=progress).report
    assert (report.interrupted, report.steps, report.step_change) == (True, 1, None)
    assert f_d.count == counts[0]


@pytest.mark.parametrize(
    ("budget", "error", "words"),
    [(-1, ValueError, "budget"), ("soon", ValueError, "60s"), (2.5, TypeError, "budget"), (15, ValueError, "16")],
)
def test_no_such_budget(budget, error, words):
    f_d = Counting()
    with pytest.raises(error, match=words):
        discover_directions(f_d, CODES, method="codes", budget=budget)
    assert f_d.count <= 5


def test_a_classifier_is_learned_from_as_many_images_as_its_budget_allows():
    labels = classes_of(Counting()(CODES))
    f_d = Counting()
    classifier = learn_classifier(f_d, CODES, labels, steps=60, budget=200)
    assert f_d.count <= 200
    assert (classifier(f_d(CODES)) == labels).float().mean() > 0.7
    with pytest.raises(ValueError, match="1 of 600 codes that the budget allows"):
        learn_classifier(Counting(), CODES, labels, budget=2)


def test_reports_of_earlier_versions_load():
    document = discover_directions(Counting(), CODES, n_directions=1, method="codes").report.to_dict()
    for name in ("images_decoded", "images_wanted", "decoding_seconds"):
        del document[name]
    assert DirectionsReport.from_dict(document).images_decoded is None
    with pytest.raises(ValueError, match="entries"):
        DirectionsReport.from_dict({**document, "more": 1})
