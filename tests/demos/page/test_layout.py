"""What is seen of the page without scrolling, on screens of all sizes; many pins; what is kept is what is shown."""

import numpy as np
import pytest
from PIL import Image
from serving import CHROMIUM, READY, drag, hover, spot, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def box_of(page, selector):
    return page.locator(selector).first.bounding_box()


@pytest.mark.parametrize(("width", "height", "least"), [(1280, 900, 500), (1920, 1080, 680), (2560, 1440, 1000)])
def test_the_map_fills_the_screen_and_the_tabs_are_seen_below_it(browser, address, width, height, least):
    with visiting(browser, address, viewport={"width": width, "height": height}) as page:
        map_, tab, view = (box_of(page, name) for name in (".lv-map", "[role=tab]", ".lv-right"))
        assert map_["height"] >= least
        assert map_["width"] >= map_["height"]
        assert tab["y"] + tab["height"] <= height
        assert view["x"] + view["width"] > 0.95 * min(width, 2200)
        picture, words = box_of(page, ".lv-preview"), box_of(page, ".lv-at")
        assert words["x"] - picture["x"] - picture["width"] < 30  # beside it


@pytest.mark.parametrize("width", [1280, 390])
def test_many_pins_widen_nothing_and_can_all_be_removed(browser, address, width):
    with visiting(browser, address, viewport={"width": width, "height": 900}) as page:
        right = box_of(page, ".lv-shelf")["width"]
        hover(page, 0.4, 0.5)
        for count in range(1, 26):
            page.locator(".lv-pin-here").click()
            page.locator(f".lv-pin:nth-child({min(count, 24)})").wait_for()
        assert page.locator(".lv-pin").count() == 24
        page.locator(".lv-status", has_text="At most 24 pins are kept").wait_for()
        assert box_of(page, ".lv-shelf")["width"] == right
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator(".lv-unpin").click()
        assert page.locator(".lv-pin").count() == 0
        assert not page.locator(".lv-unpin").is_visible()


def kept(page):
    """The files that are prepared, by name."""
    page.get_by_role("tab", name="Keep").click()
    page.locator("#lv-prepare").click()
    page.locator("#lv-files a[download]").first.wait_for(timeout=30_000)
    page.wait_for_timeout(500)
    found = {}
    for link in page.locator("#lv-files a[download]").all():
        with page.expect_download() as download:
            link.click()
        found[download.value.suggested_filename] = download.value.path()
    return found


def test_the_grid_that_is_kept_is_the_one_that_is_shown(browser, address):
    with visiting(browser, address) as page:
        page.locator(".lv-tool-region").click()
        page.locator(".lv-cells").fill("3")
        page.locator(".lv-cells").press("Tab")
        for x, y in ((0.3, 0.3), (0.6, 0.3), (0.5, 0.6)):  # a polygon
            page.mouse.click(*spot(page, x, y))
        page.locator(".lv-finish").click()
        page.wait_for_selector("[data-decoded]")
        files = kept(page)
        assert {"v.zip", "grid.png", "grid-codes.safetensors"} == set(files)
        with Image.open(files["grid.png"]) as sheet:
            assert 3 * 28 <= sheet.width < 4 * 28
            assert 3 * 28 <= sheet.height < 4 * 28


def test_the_film_that_is_kept_is_the_one_that_was_made_and_a_region_makes_none(browser, address):
    with visiting(browser, address) as page:
        page.locator(".lv-tool-region").click()
        drag(page, (0.3, 0.3), (0.5, 0.5))
        page.wait_for_selector("[data-decoded]")
        page.locator(".lv-tool-path").click()
        drag(page, (0.2, 0.6), (0.7, 0.6))
        page.locator(".lv-strip canvas").wait_for()
        page.locator(".lv-play").click()
        files = kept(page)
        assert {"v.zip", "path.gif", "path.mp4", "path-codes.safetensors"} == set(files)
        assert b"ftyp" in files["path.mp4"].read_bytes()[:16]
        with Image.open(files["path.gif"]) as film:
            assert film.n_frames == 24
            assert np.asarray(film.convert("L")).max() > 100
        page.locator(".lv-clear").click()
        assert page.locator(READY).first.get_attribute("data-stage") == "look"
