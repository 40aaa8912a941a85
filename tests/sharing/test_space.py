"""A map as a static Space: the real client against a hub on this machine."""

import json

import pytest
import yaml
from loopback_hub import running_hub

PUSH = """
import json
from latent_vizae import LatentMap, fit, load_decoder
codes, labels = load_decoder("mnist").examples(count=30)
m = LatentMap(fit(codes, load_decoder("mnist"), labels=labels), load_decoder("mnist"))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def test_a_map_becomes_a_static_space_with_its_page(hub):
    title = "Digits: 'all' #1"
    code = f"print(m.push_space_to_hub('alice/digits', title={title!r}, tiles=8, progress=False, private=True))"
    done = hub.run(PUSH + code, timeout=200, token="hf_alice")
    assert done.returncode == 0, done.stderr
    assert "/spaces/alice/digits" in done.stdout
    files = hub.files("alice/digits", repo_type="space")
    assert sorted(name for name in files if not name.startswith(".")) == ["README.md", "index.html"]
    card = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert {key: card[key] for key in ("title", "sdk", "app_file")} == {
        "title": title, "sdk": "static", "app_file": "index.html",
    }  # fmt: skip
    page = files["index.html"].decode()
    assert page.startswith("<!doctype html>")
    assert "Digits: &#x27;all&#x27; #1" in page
    (made,) = [repo for path, repo in hub.repos.items() if path.startswith("spaces/")]
    assert made.private


def test_a_wrong_name_is_refused_before_any_work(m):
    def never(codes):
        raise AssertionError

    from latent_vizae import LatentMap

    with pytest.raises(ValueError, match="user/name"):
        LatentMap(m.v, never).push_space_to_hub("digits")


def test_who_may_not_write_is_told_so(hub):
    code = """
try:
    m.push_space_to_hub("bob/digits", tiles=4, progress=False)
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    done = hub.run(PUSH + code, timeout=200, token="hf_alice")
    assert done.returncode == 0, done.stderr
    name, words = json.loads(done.stdout.splitlines()[-1])
    assert name.endswith("Error")
    assert "403" in words or "rights" in words
