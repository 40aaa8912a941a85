"""The paper, reproduced: what its figures claim, judged by a classifier that had no part in making them."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from latent_vizae import load_decoder
from latent_vizae.demos import paper

pytestmark = pytest.mark.timeout(1800)  # the whole paper takes minutes, once

FIG_10 = [f"figure-10{letter}-samples.safetensors" for letter in "ABCD"]


class LeNet5(nn.Module):
    """The pretrained classifier in ../shared/models/mnist-lenet; input (B, 1, 28, 28) in [0, 1]."""

    def __init__(self, weights):
        super().__init__()
        self.convnet = nn.Sequential()
        for name, layer in (
            ("c1", nn.Conv2d(1, 6, 5)), ("relu1", nn.ReLU()), ("s2", nn.MaxPool2d(2)),
            ("c3", nn.Conv2d(6, 16, 5)), ("relu3", nn.ReLU()), ("s4", nn.MaxPool2d(2)),
            ("c5", nn.Conv2d(16, 120, 5)), ("relu5", nn.ReLU()),
        ):  # fmt: skip
            self.convnet.add_module(name, layer)
        self.fc = nn.Sequential()
        for name, layer in (("f6", nn.Linear(120, 84)), ("relu6", nn.ReLU()), ("f7", nn.Linear(84, 10))):
            self.fc.add_module(name, layer)
        self.load_state_dict(weights, strict=True)

    def forward(self, images):
        padded = nn.functional.pad(images, (2, 2, 2, 2))
        return self.fc(self.convnet(padded).flatten(1)).argmax(1)


@pytest.fixture(scope="module")
def f_d():
    return load_decoder("mnist")


@pytest.fixture(scope="module")
def classify(shared):
    file = shared / "models" / "mnist-lenet" / "lenet.pth"
    lenet = LeNet5(torch.load(file, weights_only=True, map_location="cpu")).eval().requires_grad_(False)
    images, labels = load_decoder("mnist").images()
    assert (lenet(images) == labels).float().mean() > 0.95
    return lenet


@pytest.fixture(scope="module")
def whole_paper(shared, tmp_path_factory):
    """One run of everything; minutes, so only where ../shared (and its classifier) is."""
    out = tmp_path_factory.mktemp("paper")
    return out, paper.write_paper(out)


def are_all_different(images):
    flat = images.flatten(1).double()
    return torch.cdist(flat, flat).fill_diagonal_(1.0).min() > 0.1


def test_table_1_has_the_papers_ranks_and_reaches_its_loss(f_d, tmp_path):
    found = paper.table_1(f_d, tmp_path)
    assert tuple(found["ranks"]) == paper.PAPER_RANKS
    assert found["losses"]["train"] <= paper.PAPER_LOSS


def test_table_2_grows_with_the_noise(f_d, tmp_path):
    noise = {row["name"]: row for row in paper.table_2(f_d, tmp_path)["noise"]}
    assert noise["0.5/|z|"]["mse_mean"] < noise["1/|z|"]["mse_mean"] < noise["1"]["mse_mean"]


def test_figure_5_goes_through_the_four_points(f_d, tmp_path):
    assert max(paper.figure_5(f_d, tmp_path)["fvu"]) < 1e-4
    assert (tmp_path / "figure-05.png").stat().st_size > 10_000


def test_figure_9_shows_thickness_angle_and_another_digit_with_exact_ends(f_d, tmp_path):
    strips = paper.figure_9(f_d, tmp_path)["strips"]
    assert max(strip["fvu"] for strip in strips.values()) < 1e-4
    assert max(strip["evenness"] for strip in strips.values()) < 0.1
    ink, slant = strips["thickness of a 2"]["ink"], strips["slant of a 1"]["slant"]
    assert max(ink) > 1.5 * min(ink)
    assert abs(slant[0] - slant[1]) > 0.4


def test_figure_10_shows_fives_all_of_them_different(whole_paper, classify):
    out, _ = whole_paper
    for name in FIG_10:
        images = load_file(out / name)["images"]
        assert len(images) == 100
        assert (classify(images) == 5).sum() >= 90, name
        assert are_all_different(images), name


def test_figure_11_shows_the_digit_of_the_one_code_in_visible_variety(whole_paper, classify, f_d):
    out, summary = whole_paper
    images = load_file(out / "figure-11-samples.safetensors")["images"]
    digit = classify(f_d(f_d.examples(label=5, count=1)[0]))
    assert (classify(images) == digit).sum() >= 95
    assert are_all_different(images)
    assert summary["figure_11"]["furthest"] > 0.005


def test_figure_12_shows_all_ten_digits(whole_paper, classify):
    out, _ = whole_paper
    assert set(classify(load_file(out / "figure-12-samples.safetensors")["images"]).tolist()) == set(range(10))


def test_the_report_shows_every_picture(whole_paper):
    out, summary = whole_paper
    text = (out / "report.md").read_text(encoding="utf-8")
    pictures = [name for section in summary.values() for name in section.get("pictures", [])]
    assert len(pictures) == 10
    spent = summary["spending"]
    assert spent["left_out"] == []
    assert spent["images_decoded"] == pytest.approx(sum(paper.PARTS.values()), rel=0.1)
    assert all(f"({name})" in text and (out / name).stat().st_size > 2000 for name in pictures)
    assert json.loads((out / "report.json").read_text(encoding="utf-8")).keys() == summary.keys()


def test_what_does_not_fit_into_a_budget_is_left_out_and_the_cost_is_said_beforehand(tmp_path):
    titles = []
    summary = paper.write_paper(tmp_path, progress=lambda step, steps, title: titles.append(title), budget=180)
    assert titles[0].startswith("paper, about 116 images, ")  # one call of 64 images was timed
    left_out = ["figure_9", "figure_10", "figure_11", "figure_12"]
    assert list(summary) == ["table_1", "table_2", "figure_5", "figure_6", "figure_7", "spending"]
    assert (summary["spending"]["left_out"], 64 < summary["spending"]["images_decoded"] <= 180) == (left_out, True)
    assert f"Left out for the budget of 180: {', '.join(left_out)}" in (tmp_path / "report.md").read_text()
    with pytest.raises(ValueError, match="budget is a number of images"):
        paper.write_paper(tmp_path / "new", budget="soon")
    assert not (tmp_path / "new").exists()


def test_an_earlier_report_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    (tmp_path / "report.json").write_text("{}")
    monkeypatch.setattr(paper, "load_decoder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        paper.write_paper(tmp_path)
    assert (tmp_path / "report.json").read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="file"):
        paper.write_paper(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
