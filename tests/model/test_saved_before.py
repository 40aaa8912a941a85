"""Files that the code of 0.1.0 wrote before the house had floors: they load, and mean what they meant."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from latent_vizae import Directions, VizAE, place_codes
from latent_vizae.inputs.sources import open_codes

TESTS = Path(__file__).resolve().parents[1]
KINDS = sorted((TESTS / "model" / "saved-0.1.0").iterdir())


def test_one_of_each_kind_is_kept():
    assert [folder.name for folder in KINDS] == [
        "affine", "few", "flat", "many", "many-1d", "many-3d", "oldest", "one", "pull", "spatial",
    ]  # fmt: skip


@pytest.mark.parametrize("folder", KINDS, ids=lambda folder: folder.name)
def test_every_v_decodes_and_places_as_it_did(folder):
    v, expected = VizAE.from_pretrained(folder), load_file(folder / "expected.safetensors")
    exact = 3e-5 if folder.name == "few" else 1e-5  # steep between its codes; other instructions round otherwise
    assert torch.allclose(v.decode(expected["points"]), expected["decoded"], rtol=0, atol=exact)
    if folder.name == "oldest":  # its encode was v_e's network alone, without a search for the nearest point
        before, now = (v.decode(points) for points in (expected["encoded"], v.encode(expected["codes"])))
        assert ((now - expected["codes"]).norm(dim=1) <= (before - expected["codes"]).norm(dim=1) + 1e-4).all()
        assert v.pull == 0
    else:
        assert torch.allclose(v.encode(expected["codes"]), expected["encoded"], rtol=0, atol=1e-3)
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(v.points, stored["points"])
    assert (v.labels is None) == ("labels" not in stored)
    if v.labels is not None:
        assert torch.equal(v.labels, stored["labels"])
    assert v.keep_neighbours is None
    assert v.report is not None


@pytest.mark.parametrize("name", ["few", "pull"])
def test_an_old_v_saved_again_is_the_same(name, tmp_path):
    v = VizAE.from_pretrained(TESTS / "model" / "saved-0.1.0" / name)
    v.save_pretrained(tmp_path / "again")
    again = VizAE.from_pretrained(tmp_path / "again")
    assert again.config == v.config
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in v.state_dict().items())


def test_old_directions_move_codes_as_they_did():
    folder = TESTS / "directions" / "saved-0.1.0"
    found, expected = Directions.from_pretrained(folder), load_file(folder / "expected.safetensors")
    assert torch.allclose(found.pick(0).move(expected["codes"], 2.0), expected["moved"], rtol=0, atol=1e-5)


def test_old_shards_are_read_and_gone_on_with(tmp_path):
    folder = TESTS / "storage" / "saved-0.1.0"
    points = open_codes(folder)[:]
    assert points.shape == (50, 2)
    codes = load_file(TESTS / "storage" / "saved-0.1.0.codes.safetensors")["codes"]
    v = VizAE.from_pretrained(TESTS / "model" / "saved-0.1.0" / "pull")
    assert torch.allclose(v.encode(codes), points, rtol=0, atol=1e-3)
    made = place_codes(v, codes, tmp_path / "points", unit_size=20)
    assert [file.name for file in sorted(made.iterdir())] == [file.name for file in sorted(folder.iterdir())]
