"""A saved map that is uploaded, and decoders that only this page has."""

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from draws import normal
from fresh_process import run_code
from serving import CHROMIUM, READY, awaited, hover, serving, visiting

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.demos.page.hub import Decoders
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.saved import open_saved

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def own(linear):
    return LatentMap(fit(normal(30, 5), labels=["a", "b", "c"] * 10, seed=0), linear(normal(5, 16) / 20))


@pytest.fixture(scope="module")
def zipped(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    own.v.save_pretrained(folder / "v")
    with zipfile.ZipFile(folder / "v.zip", "w") as archive:
        for path in (folder / "v").iterdir():
            archive.write(path, f"../../v/{path.name}")  # wherever they say they lie
    return folder


def test_a_saved_map_opens_as_it_was_saved(own, zipped):
    for files in (zipped / "v.zip", [str(path) for path in (zipped / "v").iterdir()]):
        opened = open_saved(own.decoder, "own", files)
        assert torch.equal(opened.latent_map.v.points, own.v.points)
        assert opened.codes is None
        assert opened.latent_map.v.label_names == own.v.label_names
        assert "30 codes of own" in opened.title
    assert {path.name for path in zipped.iterdir()} == {"v", "v.zip"}


def test_what_is_no_saved_map_is_said(own, zipped, f_d, tmp_path):
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 nothing")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    with zipfile.ZipFile(tmp_path / "damaged.zip", "w") as archive:
        archive.writestr("model.safetensors", b"\x08\0\0\0\0\0\0\0nonsense")
    for files, message in (
        (None, "Upload a saved map first"),
        (tmp_path / "no.zip", "cannot be read as a zip"),
        (tmp_path / "empty.zip", r"no model\.safetensors in empty\.zip"),
    ):
        with pytest.raises(ValueError, match=message):
            open_saved(own.decoder, "own", files)
    with pytest.raises((ValueError, OSError)):
        open_saved(own.decoder, "own", tmp_path / "damaged.zip")
    with pytest.raises(ValueError, match=r"\(5,\)|shape"):
        open_saved(f_d, "mnist", zipped / "v.zip")  # whose codes are others


def test_a_local_decoder_is_had_by_its_name_alone(own, f_d):
    decoders = Decoders({"mnist": f_d}, {"own": own.decoder})
    assert decoders.get(" own ") is own.decoder
    assert awaited(decoders.in_turn(Queues(), "own")) is own.decoder
    assert decoders.named(own.decoder) is None  # another process does not have it
    for name in ("other", "hub:../own", str(Path(__file__).parent)):
        with pytest.raises(ValueError, match=r"hub:user/name|user/repo"):
            decoders.get(name)


SCRIPT = """
import argparse, torch
from latent_vizae import LatentMap, fit
parser = argparse.ArgumentParser(); parser.add_argument("--port", type=int)
codes = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
weight = torch.randn(5, 64, generator=torch.Generator().manual_seed(1)) / 4
m = LatentMap(fit(codes, seed=0), lambda z: (z @ weight).sigmoid().reshape(-1, 1, 8, 8))
m.show(codes=codes, browser=False, port=parser.parse_args().port).wait()
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_the_fit_tab_takes_both(browser, zipped, tmp_path):
    np.save(tmp_path / "codes.npy", normal(25, 5).numpy())
    with serving(sys.executable, "-c", SCRIPT) as address, visiting(browser, address) as page:
        page.get_by_role("tab", name="Fit a map").click()
        assert page.locator("#lv-decoder input, #lv-decoder textarea").first.input_value() == "own"
        page.locator("#lv-codes input[type=file]").set_input_files(tmp_path / "codes.npy")
        page.wait_for_timeout(1500)
        page.locator("#lv-fit").click()
        page.locator(".lv-title", has_text="25 codes of codes.npy").wait_for(timeout=120_000)
        page.locator("#lv-source input").click()
        page.get_by_role("option", name="a saved map").click()
        page.get_by_label("Remove this file").or_(page.get_by_label("Clear")).first.click()
        page.locator("#lv-codes input[type=file]").set_input_files(zipped / "v.zip")
        page.wait_for_timeout(1500)
        page.locator("#lv-fit").click()
        page.locator(".lv-title", has_text="30 codes of own, a saved map").wait_for(timeout=60_000)
        assert page.locator(".lv-legend button[data-rank]").all_inner_texts() == ["a", "b", "c"]
        assert page.locator(READY).count() == 1
        hover(page, 0.4, 0.5)


OFFERED = """
import sys
from latent_vizae.demos import app
app.launch = lambda demo, **_: print(next(x for x in demo.blocks.values() if x.elem_id == "lv-decoder").value)
sys.argv[1:] = ["--decoder", {!r}]
app.main()
"""


def test_the_command_offers_a_decoder_alone():
    name = f"hub:{Path(__file__).resolve().parents[3] / 'demos' / 'zoo' / 'linear'}"
    done = run_code(OFFERED.format(name), {**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.stdout == "linear\n", done.stderr
    assert load_decoder(name) is not None
