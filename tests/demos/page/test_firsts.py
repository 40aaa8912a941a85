"""The maps at the top of the page: emoji first; digits, clothes and, where installed, faces one click away."""

import sys
from importlib.util import find_spec

import pytest
import torch
from serving import shared_page, visiting

from latent_vizae import LatentMap, VizAE, load_decoder

pytest.importorskip("gradio")
from latent_vizae.demos.page import firsts
from latent_vizae.demos.page.faces import PACKAGE
from latent_vizae.demos.zoo.data import CLOTHES

DEMO = (sys.executable, "-m", "latent_vizae.cli", "demo")


@pytest.fixture(scope="module")
def offered():
    return firsts.first_maps({name: load_decoder(name) for name in ("emoji", "mnist")})


def test_each_first_map_has_its_codes_at_its_points(offered):
    faces = ("faces",) if find_spec(PACKAGE) else ()
    assert tuple(offered) == (*firsts.FIRSTS, "clothes", *faces)
    for fitted in offered.values():
        v, codes = fitted.latent_map.v, fitted.codes_at(slice(None))
        assert len(codes) == len(v.points)
        assert (v.labels is None) == (fitted.labels is None)
        assert fitted.labels is None or torch.equal(fitted.labels, v.labels)
        assert v.source == fitted.latent_map.decoder.source
        assert 1800 < len(codes) <= 2000
        places = v.encode(codes[::50])
        assert (places - v.points[::50]).norm(dim=1).quantile(0.9) < 0.02


def test_the_groups_of_emoji_have_their_names(offered):
    assert offered["emoji"].names[3] == "Food & Drink"
    assert [column.name for column in offered["emoji"].columns] == ["name"]
    assert offered["emoji"].title == f"{len(offered['emoji'].codes):,} emoji"


def test_clothes_have_names_and_a_generator_that_is_no_path_of_a_machine(offered):
    clothes = offered["clothes"]
    assert sorted(clothes.names.values()) == sorted(CLOTHES)
    assert clothes.latent_map.v.source is None
    images = clothes.latent_map.decoder(clothes.codes_at(slice(4)))
    assert images.shape == (4, 1, 28, 28)
    assert images.std() > 0.1


def test_faces_are_draws_of_the_installed_generator(offered):
    if "faces" not in offered:
        pytest.skip(f"{PACKAGE} is not installed")
    faces = offered["faces"]
    assert torch.equal(faces.codes, faces.latent_map.decoder.sample(len(faces.codes), seed=0))
    assert faces.latent_map.grid(shape=2).images.shape == (4, 3, 64, 64)


def test_faces_are_not_fitted_without_their_generator(monkeypatch):
    monkeypatch.setattr(firsts, "load_faces", lambda: None)
    assert firsts.faces_map() is None
    with pytest.raises(ImportError, match="pip install --no-deps gan_face_generate"):
        firsts.main(["faces"])


def test_a_first_map_can_be_fitted_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(firsts, "DIGITS", tmp_path / "digits")
    monkeypatch.setattr(firsts, "CODES", 20)
    firsts.main(["digits"])
    assert "20 codes" in capsys.readouterr().out
    v = VizAE.from_pretrained(tmp_path / "digits")
    assert LatentMap(v, load_decoder(v.source)).grid(shape=2).images.shape == (4, 1, 28, 28)


def test_the_page_opens_on_emoji_and_a_click_brings_the_digits(browser):
    with visiting(browser, shared_page(*DEMO)) as page:
        assert page.locator(".lv-title").inner_text() == "1,854 emoji"
        assert "Food & Drink" in page.locator(".lv-legend").inner_text()
        page.click("#lv-first-digits")
        page.wait_for_function("document.querySelector('.lv-title').innerText == '2,000 handwritten digits'")
        page.click("#lv-first-clothes")
        page.wait_for_function("document.querySelector('.lv-title').innerText == '2,000 clothes'")
        assert "trousers" in page.locator(".lv-legend").inner_text()
        page.get_by_role("tab", name="Own picture").click()
        assert page.locator("#lv-place").is_visible()
        if find_spec(PACKAGE):  # whose generator has no encoder
            page.click("#lv-first-faces")
            page.get_by_text("has no encoder").wait_for()
            page.locator("#lv-place").wait_for(state="hidden")
        page.click("#lv-first-emoji")
        page.wait_for_function("document.querySelector('.lv-title').innerText == '1,854 emoji'")
        page.locator("#lv-place").wait_for()


@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_on_emoji_the_map_is_in_the_first_screen_and_on_a_desktop_the_tabs_are_too(browser, size):
    viewport = {"width": size[0], "height": size[1]}
    with visiting(browser, shared_page(*DEMO), viewport=viewport) as page:
        page.wait_for_timeout(300)
        boxes = {name: page.locator(name).first.bounding_box() for name in (".lv-map", ".lv-preview", ".lv-tools")}
        for name, box in boxes.items():
            assert 0 <= box["y"] < box["y"] + box["height"] <= size[1], name
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        layer = page.locator(".lv-layer-field").bounding_box()
        if size[0] == 390:  # all else lies below
            assert layer["y"] > boxes[".lv-map"]["y"] + boxes[".lv-map"]["height"]
            return
        tab = page.get_by_role("tab", name="Directions")
        assert tab.bounding_box()["y"] + tab.bounding_box()["height"] <= size[1]
        page.locator(".lv-layer").select_option("find")  # there are no directions yet
        assert tab.get_attribute("aria-selected") == "true"
        assert page.locator(".lv-layer").input_value() == "images"
