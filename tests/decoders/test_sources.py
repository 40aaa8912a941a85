"""Where a map's generator is: a local one is named by its whole path, and nothing is asked for in its place."""

import json

import pytest
import torch
from loopback_hub import running_hub

from latent_vizae import Directions, LatentMap, discover_directions, fit, load_decoder
from latent_vizae.adapters.zoo import Table1Autoencoder
from latent_vizae.decoders.load import decoder_name, is_portable
from latent_vizae.storage import hub as hub_module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ``models/dcgan``, a generator of the zoo."""
    place = tmp_path_factory.mktemp("project")
    (place / "models").mkdir()
    Table1Autoencoder().save_pretrained(place / "models" / "dcgan")
    return place


@pytest.fixture
def codes():
    return torch.randn(20, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def no_hub(monkeypatch):
    """Nothing may be asked of the Hub."""

    def refuse(*args, **options):
        raise AssertionError(f"the Hub was asked for {args}")

    for name in ("fetch_folder", "look_up", "list_files"):
        monkeypatch.setattr(hub_module, name, refuse)
        for place in ("latent_vizae.adapters.hub", "latent_vizae.adapters.zoo.base"):
            monkeypatch.setattr(f"{place}.{name}", refuse, raising=False)


def test_a_map_of_a_relative_folder_finds_its_generator_from_anywhere(folder, codes, tmp_path, monkeypatch, no_hub):
    monkeypatch.chdir(folder)
    f_d = load_decoder("hub:models/dcgan")
    assert f_d.source == f"hub:{folder}/models/dcgan"
    monkeypatch.chdir(tmp_path)  # between loading and fitting, too
    v = fit(codes, f_d)
    assert v.source == f_d.source
    v.save_pretrained("map")
    monkeypatch.chdir("/")
    m = LatentMap.from_pretrained(tmp_path / "map")
    assert torch.equal(m.decoder(codes), f_d(codes))
    found = discover_directions(f_d, codes, method="codes", n_directions=2)
    assert found.source == f_d.source


def test_a_generator_that_is_gone_is_not_asked_of_the_hub(codes, tmp_path, monkeypatch, no_hub):
    """Nor is a relative path that an earlier version saved."""
    monkeypatch.chdir(tmp_path)
    v = fit(codes)
    for source in (f"hub:{tmp_path}/models/dcgan", "hub:models/dcgan", "diffusers:models/vae", "hub:~/dcgan"):
        v.source = source
        v.save_pretrained("map")
        with pytest.raises(ValueError, match=r"there is none here.*decoder="):
            LatentMap.from_pretrained("map")


def test_a_relative_path_of_an_earlier_version_is_found_where_it_is(folder, codes, tmp_path, monkeypatch, no_hub):
    v = fit(codes)
    v.source = "hub:models/dcgan"
    v.save_pretrained(tmp_path / "map")
    monkeypatch.chdir(folder)
    assert LatentMap.from_pretrained(tmp_path / "map").decoder.latent_shape == (10,)


def test_the_home_folder_may_be_written_short(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert load_decoder("hub:~/models/dcgan").source == f"hub:{folder}/models/dcgan"
    assert Table1Autoencoder.from_pretrained("~/models/dcgan").source == f"hub:{folder}/models/dcgan"


@pytest.mark.parametrize(
    ("source", "portable"),
    [
        ("mnist", True),
        ("hub:user/repo@main", True),
        ("hub:user/repo/sub@c0ffee", True),
        ("hub:user/repo", False),
        ("diffusers:/data/vae", False),
        ("waves:3", True),
        ("waves:/data/3", False),
    ],
)
def test_which_names_mean_the_same_everywhere(source, portable):
    assert is_portable(source) == portable


def test_shards_of_two_machines_name_one_decoder(folder, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "dcgan").symlink_to(folder / "models" / "dcgan")
    here, there = (load_decoder(f"hub:{place}") for place in (folder / "models/dcgan", tmp_path / "elsewhere/dcgan"))
    assert here.source != there.source
    assert decoder_name(here) == decoder_name(there)


PUSHED = """
import json, torch, warnings
from latent_vizae import LatentMap, VizAE, Directions, discover_directions, fit, load_decoder
from latent_vizae.adapters.zoo import Table1Autoencoder
Table1Autoencoder().save_pretrained("dcgan")
f_d = load_decoder("hub:dcgan")
codes = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
v = fit(codes, f_d)
found = discover_directions(f_d, codes, method="codes", n_directions=2)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    v.push_to_hub("alice/local")
    found.push_to_hub("alice/local-directions")
words = [str(one.message) for one in told if "decoder" in str(one.message)]
sources = [v.source, found.source]
sources += [VizAE.from_pretrained("alice/local").source, Directions.from_pretrained("alice/local-directions").source]
f_d.push_to_hub("alice/dcgan")
v.source = load_decoder("hub:alice/dcgan").source
v.push_to_hub("alice/named")
def told_of(**limit):
    try:
        return type(LatentMap.from_pretrained("alice/named", **limit).decoder).__name__
    except ValueError as error:
        return str(error)
print(json.dumps([words, sources, told_of(), told_of(most_bytes=1000), told_of(most_bytes=None)]))
"""


def test_a_local_name_is_not_pushed_and_a_large_decoder_not_fetched_unasked(tmp_path):
    with running_hub(tmp_path / "hub") as hub:
        (tmp_path / "work").mkdir()
        done = hub.run(PUSHED, timeout=250, token="hf_alice", cwd=tmp_path / "work")
        assert done.returncode == 0, done.stderr
        words, sources, *loaded = json.loads(done.stdout.splitlines()[-1])
        files = {**hub.files("alice/local"), **hub.files("alice/local-directions")}
    assert len(words) == 2
    assert all("is a folder of this machine" in text and "names no decoder" in text for text in words)
    assert sources == [f"hub:{tmp_path}/work/dcgan"] * 2 + [None] * 2
    assert loaded[0] == loaded[2] == "Table1Autoencoder"
    assert "bytes to download, more than most_bytes=1,000" in loaded[1]
    assert not any(str(tmp_path).encode() in (content or b"") for content in files.values())


def test_directions_keep_a_portable_name(codes, f_d, tmp_path):
    found = discover_directions(f_d, codes, method="codes", n_directions=2)
    found.save_pretrained(tmp_path)
    assert Directions.from_pretrained(tmp_path).source == "mnist"
