"""The maps at the top of the page: emoji first, digits one click away."""

import sys

import pytest
import torch
from serving import serving, visiting

from latent_vizae import LatentMap, VizAE, load_decoder

pytest.importorskip("gradio")
from latent_vizae.demos.page import firsts


@pytest.fixture(scope="module")
def offered():
    return firsts.first_maps({name: load_decoder(name) for name in ("emoji", "mnist")})


def test_each_first_map_has_its_codes_at_its_points(offered):
    assert tuple(offered) == firsts.FIRSTS
    for fitted in offered.values():
        v = fitted.latent_map.v
        assert len(fitted.codes) == len(v.points) == len(fitted.labels)
        assert torch.equal(fitted.labels, v.labels)
        assert v.source == fitted.latent_map.decoder.source
        places = v.encode(fitted.codes[::50])
        assert (places - v.points[::50]).norm(dim=1).quantile(0.9) < 0.02


def test_the_groups_of_emoji_have_their_names(offered):
    assert offered["emoji"].names[3] == "Food & Drink"
    assert [column.name for column in offered["emoji"].columns] == ["name"]
    assert offered["emoji"].title == f"{len(offered['emoji'].codes):,} emoji"


def test_a_first_map_can_be_fitted_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(firsts, "DIGITS", tmp_path / "digits")
    monkeypatch.setattr(firsts, "examples", lambda _, f_d: f_d.examples(count=20, seed=0))
    firsts.main(["digits"])
    assert "20 codes" in capsys.readouterr().out
    v = VizAE.from_pretrained(tmp_path / "digits")
    assert LatentMap(v, load_decoder(v.source)).grid(shape=2).images.shape == (4, 1, 28, 28)


def test_the_page_opens_on_emoji_and_a_click_brings_the_digits(browser):
    with serving(sys.executable, "-m", "latent_vizae.cli", "demo") as address, visiting(browser, address) as page:
        assert page.locator(".lv-title").inner_text() == "1,854 emoji"
        assert "Food & Drink" in page.locator(".lv-legend").inner_text()
        page.click("#lv-first-digits")
        page.wait_for_function("document.querySelector('.lv-title').innerText == '2,000 handwritten digits'")
        page.click("#lv-first-emoji")
        page.wait_for_function("document.querySelector('.lv-title').innerText == '1,854 emoji'")
