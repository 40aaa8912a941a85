"""``latent-vizae directions``, on a decoder that costs nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from latent_vizae import Directions, fit
from latent_vizae.cli import app
from latent_vizae.cli import directions as cli_directions


class Halves:
    """Codes (B, 6) to images (B, 1, 4, 4); what the first number shows is the class."""

    source = "halves"
    latent_shape = (6,)

    def __call__(self, codes):
        return torch.cat([codes, codes * codes.roll(1, 1), codes[:, :4]], 1).sigmoid().reshape(-1, 1, 4, 4)

    def examples(self, label=None, count=None, seed=None):
        codes = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
        codes[:, 0] += 3 * codes[:, 0].sign()
        return codes[:count], (codes[:count, 0] > 0).long()


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(cli_directions, "load_decoder", lambda name: Halves())
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app.app, ["directions", *map(str, arguments)])


def made(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


SAVED = ["directions/README.md", "directions/config.json", "directions/model.safetensors"]


def test_it_writes_what_it_names_and_each_class_has_a_figure(run):
    fit(Halves().examples()[0]).save_pretrained("v")
    done = run("--count", 120, "--steps", 10, "--directions", 2, "--v", "v", "--out", "o", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)  # and nothing else
    figures = ["arrows-0.png", "arrows-1.png", "arrows.png", "class-0.png", "class-1.png"]
    assert made("o") == document["files"] == sorted([*figures, *SAVED, "global.png", "report.json"])
    assert document.items() >= json.loads(Path("o/report.json").read_text()).items()
    assert document["measured"]["steps"] == 10
    assert document["measured"]["accuracy_class"] is not None
    assert document["class_labels"] == [0, 1]
    for name in (*figures, "global.png"):
        with Image.open(f"o/{name}") as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    found = Directions.from_pretrained("o/directions")
    assert found.source == "halves"
    assert found.report.to_dict() == document["measured"]


def test_closed_forms_and_the_global_set_alone(run):
    done = run("--count", 100, "--method", "codes", "--global-only", "--out", "o")
    assert done.exit_code == 0, done.output
    assert made("o") == sorted([*SAVED, "global.png", "report.json"])
    assert "wrote o" in done.stdout
    assert run("--count", 90, "--method", "metric", "--global-only", "--out", "o").exit_code == 0  # over its own
    assert json.loads(Path("o/report.json").read_text())["asked"]["method"] == "metric"


def test_codes_of_ones_own_without_labels_have_no_classes(run):
    save_file({"codes": Halves().examples()[0]}, "mine.safetensors")
    assert run("--codes", "mine.safetensors", "--method", "codes", "--out", "o").exit_code == 0
    assert Directions.from_pretrained("o/directions").class_directions.shape == (0, 2, 6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--directions", 7), "K is at most 3"),
        (("--codes", "missing.npy"), "no file"),
        (("--v", "nowhere"), "no folder"),
        (("--checkpoint", "c.pt"), "safetensors"),
        (("--out", "taken"), "holds something"),
        (("--shift", -1), "above 0"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(run, arguments, words):
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    done = run("--count", 100, "--method", "codes", "--out", "o", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert made(".") == ["taken/mine.txt"]


def test_a_slow_decoder_s_cost_is_said_before_anything_is_asked(run, monkeypatch):
    monkeypatch.setattr("latent_vizae.directions.budget.is_slow", lambda f_d: True)
    monkeypatch.setattr("latent_vizae.directions.budget.seconds_per_image", lambda f_d: 2.0)
    done = run("--count", 120, "--method", "metric", "--directions", 1, "--budget", 300, "--out", "o")
    assert done.exit_code == 0, done.output
    said = done.stderr.splitlines()[0]
    assert said == "latent-vizae: classifier and directions ask for at most 300 images, 10 min; pictures come then"
    assert json.loads(Path("o/report.json").read_text())["measured"]["images_decoded"] <= 1.12 * 225 + 24
    assert "pictures, about 65 images, 2 min" in done.stderr
