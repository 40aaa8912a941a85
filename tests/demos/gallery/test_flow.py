"""The flow of emoji is judged and drawn by a script, and the guide shows what that wrote."""

import json

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("matplotlib")

from latent_vizae.demos.gallery import flow
from latent_vizae.demos.zoo.emoji import Emoji
from latent_vizae.demos.zoo.flow import FLOWS, Flow, save_pipeline, save_sheet


def test_as_many_known_images_score_one_and_grey_ones_worse():
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    known, held_out = images[:30], images[30:]
    patches, unlike, spread = flow.scores(known[:10], known, held_out)
    assert patches == pytest.approx(1, abs=0.4)
    assert unlike == pytest.approx(0, abs=1e-4)
    assert spread == pytest.approx(1, abs=0.1)
    grey = flow.scores(torch.full_like(held_out, 0.5), known, held_out)
    assert grey[0] > 3
    assert grey[2] == 0


def test_the_page_and_the_pictures_are_made_of_a_trained_folder(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (48, 3, 64, 64), dtype=torch.uint8, generator=generator)
    emoji = Emoji(images, [str(k) for k in range(48)], torch.arange(48) % 3, ["A", "B", "C"])
    recipe = FLOWS["flow-emoji"]
    small = {"block_out_channels": [8, 8], "norm_num_groups": 2, "attention_head_dim": 4}
    training = Flow(type(recipe)(recipe.plan, config=small), 3, 0, "cpu")
    trained = tmp_path / "trained"
    trained.mkdir()
    save_pipeline(training.network_of(2), trained / "pipeline")
    save_sheet(trained / "pipeline", 4, trained / "samples.png")
    (trained / "losses.json").write_text(json.dumps([{"step": 1234, "seconds": 120.0}]))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- flow -->\nold\n<!-- to here -->\nafter\n")
    monkeypatch.setattr(flow, "PAGE", page)
    monkeypatch.setattr(flow, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(flow, "read_emoji", lambda folder: emoji)
    for name, value in (("CODES", 60), ("SHAPE", (2, 2)), ("BUDGET", 200)):
        monkeypatch.setattr(flow, name, value)
    flow.main([str(trained)])
    text = page.read_text()
    assert text.startswith("before\n<!-- flow -->\n\n")
    assert text.endswith("\n<!-- to here -->\nafter\n")
    assert "old" not in text
    assert "1,234 steps of training, 2 min" in text
    assert text.count("\n| ") == 4
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"noise.png", "groups.png", "samples.png"}


def test_the_guide_shows_what_was_measured():
    shown = flow.MARKS.search(flow.PAGE.read_text(encoding="utf-8"))[0]
    assert "| `flow-emoji`" in shown
    assert all((flow.PICTURES / name).is_file() for name in ("noise.png", "groups.png", "samples.png"))
