"""A map of prompts from the command line, by a small pipeline of random weights."""

import json

import pytest
from typer.testing import CliRunner

from latent_vizae import VizAE
from latent_vizae.cli.app import app
from latent_vizae.cli.files import options_of, prompts_to_map

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")
import tiny_pipelines as tiny  # noqa: E402

PROMPTS = ["a cat", "a dog", "two cats", "a bird, 3", "a boat", "a house"]


def test_prompts_are_codes_and_labels(tmp_path):
    tiny.seeded(tiny.stable_diffusion).save_pretrained(tmp_path / "pipe")
    (tmp_path / "prompts.txt").write_text("\n".join([*PROMPTS[:3], "", *PROMPTS[3:]]), encoding="utf-8-sig")
    asked = [
        "map", "--decoder", f"diffusers-pipeline:{tmp_path}/pipe", "--option", "code=prompt_embeds", "--option",
        "steps=1", "--option", "guidance=0", "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "words",
    ]  # fmt: skip
    done = CliRunner().invoke(app, list(map(str, asked)))
    assert done.exit_code == 0, done.output
    v = VizAE.from_pretrained(tmp_path / "words" / "v")
    assert [v.label_names[label] for label in v.labels.tolist()] == PROMPTS
    assert v.source_options == {"code": "prompt_embeds", "steps": 1, "guidance": 0, "seed": 0, "image_size": 16}
    asked = json.loads((tmp_path / "words" / "report.json").read_text())["asked"]
    assert asked["options"] == {"code": "prompt_embeds", "steps": 1, "guidance": 0}
    way = ["path", "--v", tmp_path / "words", "--from=-0.5,0", "--to=0.5,0", "--out", tmp_path / "way.gif"]
    done = CliRunner().invoke(app, list(map(str, way)))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "way.gif").stat().st_size > 500


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        (b"a cat\na dog", [], "takes no words"),
        (b"a cat\na dog", ["--label", "5"], "takes the place of --codes, --label and --count"),
        (b"a cat\na dog", ["--option", "steps"], "--option is NAME=VALUE"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(text, more, words, tmp_path):
    (tmp_path / "prompts.txt").write_bytes(text)
    asked = ["map", "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "words", *more]
    done = CliRunner().invoke(app, list(map(str, asked)))
    assert done.exit_code == 2
    assert words in done.output
    assert not (tmp_path / "words").exists()


class Words:
    def encode_text(self, texts):
        raise AssertionError("nothing is encoded")


@pytest.mark.parametrize(
    ("text", "words"), [(b"a cat", "at least 2; .* has 1"), (b"\xff\xfe\xff", "a text file in UTF-8")]
)
def test_a_file_that_holds_no_prompts_is_refused(text, words, tmp_path):
    (tmp_path / "prompts.txt").write_bytes(text)
    with pytest.raises(ValueError, match=words):
        prompts_to_map(Words(), "words", tmp_path / "prompts.txt")


def test_options_are_json_or_text():
    given = ["steps=1", "guidance=0.5", "image_size=[16, 32]", "prompt=a cat = a pet", "device=cpu"]
    assert options_of(given) == {
        "steps": 1, "guidance": 0.5, "image_size": [16, 32], "prompt": "a cat = a pet", "device": "cpu",
    }  # fmt: skip
