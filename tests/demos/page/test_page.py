"""The page in a real browser, and its endpoints through the real client."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from serving import CHROMIUM, READY, changed, decodes, drag, fit_on_page, hover, pixels, serving, spot

from latent_vizae import VizAE

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the client's sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_the_first_paint_is_a_map_with_its_codes_and_legend(page):
    colours = {tuple(colour) for colour in pixels(page, ".lv-map canvas").reshape(-1, 4)[:, :3]}
    assert len(colours) > 20
    assert page.locator(".lv-legend button[data-label]").count() == 10


def test_the_image_under_the_pointer_follows_it(page):
    hover(page, 0.4, 0.5)
    first = pixels(page, ".lv-preview canvas")
    assert first[..., :3].max() > 200
    hover(page, 0.75, 0.45)
    assert np.abs(pixels(page, ".lv-preview canvas") - first).max() > 100
    at = [float(value) for value in page.locator(READY).first.get_attribute("data-at").split(",")]
    assert 0.3 < at[0] < 0.8


def test_the_legend_filters_a_label(page):
    before = pixels(page, ".lv-map canvas")
    button = page.locator('.lv-legend button[data-label="1"]')
    pressed = button.get_attribute("aria-pressed")
    button.click()
    assert button.get_attribute("aria-pressed") != pressed
    page.wait_for_timeout(200)
    assert np.abs(pixels(page, ".lv-map canvas") - before).max() > 50


def test_a_region_becomes_a_grid_and_a_cell_becomes_a_pin(page):
    page.locator(".lv-tool-region").click()
    drag(page, (0.3, 0.3), (0.6, 0.6))
    page.wait_for_selector("[data-decoded]")
    grid = pixels(page, ".lv-grid canvas")
    assert grid[..., :3].max() > 200
    assert grid[..., :3].std() > 30
    page.locator(".lv-grid canvas").click(position={"x": 30, "y": 30})
    page.wait_for_selector(".lv-pins .lv-pin")


def test_a_path_plays_and_can_be_scrubbed(page):
    page.locator(".lv-tool-path").click()
    for x, y in ((0.3, 0.3), (0.5, 0.6), (0.7, 0.4)):
        page.mouse.click(*spot(page, x, y))
        page.wait_for_timeout(350)  # not a double click
    page.keyboard.press("Enter")
    page.wait_for_selector(".lv-strip canvas", state="visible", timeout=10_000)
    page.wait_for_timeout(600)
    page.locator(".lv-play").click()
    page.locator(".lv-scrub").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    first = pixels(page, ".lv-preview canvas")
    page.keyboard.press("End")
    page.wait_for_timeout(200)
    assert np.abs(pixels(page, ".lv-preview canvas") - first).max() > 100


def test_layers_are_drawn_over_the_map(page):
    layers = page.locator("select.lv-layer, .lv-layer select").first
    layers.select_option("none")
    page.wait_for_timeout(500)
    bare = pixels(page, ".lv-map canvas")

    def covered(wanted):
        for _ in range(60):  # the stretch takes some thousand decodes
            if ((np.abs(pixels(page, ".lv-map canvas") - bare).max(2) > 10).mean() > 0.3) == wanted:
                return True
            page.wait_for_timeout(250)
        return False

    for name in ("support", "stretch", "error"):
        layers.select_option(name)
        assert covered(True), name
        layers.select_option("none")
        assert covered(False), name


def test_the_keyboard_moves_on_the_map(page):
    page.locator(".lv-map canvas").first.focus()
    before = decodes(page)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => Number(document.querySelector('[data-state=ready]').dataset.decodes || 0) > before", arg=before
    )
    assert page.locator(".lv-map canvas").first.get_attribute("aria-label")


def test_the_wheel_scrolls_the_page_until_the_map_is_clicked_or_ctrl_is_held(page):
    before = pixels(page, ".lv-map canvas")
    page.mouse.move(*spot(page, 0.5, 0.5))
    top = page.evaluate("window.scrollY")
    page.mouse.wheel(0, 150)
    page.wait_for_function("top => window.scrollY > top + 50", arg=top)
    page.locator(".lv-status", has_text="The wheel zooms after a click").wait_for()
    page.mouse.wheel(0, -150)
    page.wait_for_function("top => window.scrollY === top", arg=top)
    page.keyboard.down("Control")
    page.mouse.move(*spot(page, 0.5, 0.5))
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    changed(page, ".lv-map canvas", before, share=0.05)
    assert page.evaluate("window.scrollY") == top


def test_the_wheel_zooms_until_the_codes_show_themselves(page):
    page.mouse.move(*spot(page, 0.4, 0.5))
    page.locator(".lv-map canvas").first.focus()
    for _ in range(14):
        page.mouse.wheel(0, -200)
        page.wait_for_timeout(700)
        dark = (pixels(page, ".lv-map canvas")[..., :3].max(2) < 40).mean()
        if dark > 0.05:  # thumbnails are white on black
            break
    assert dark > 0.05


def test_an_uploaded_digit_is_pinned(page, f_d, tmp_path):
    digit = (f_d.images()[0][3, 0] * 255).byte().numpy()
    Image.fromarray(digit).save(tmp_path / "digit.png")
    page.get_by_role("tab", name="Own picture").click()
    page.locator("#lv-picture input[type=file]").set_input_files(tmp_path / "digit.png")
    page.wait_for_timeout(1500)
    page.locator("#lv-place").click()
    page.wait_for_selector(".lv-pins .lv-pin", timeout=15_000)


def test_a_file_that_is_no_picture_is_told(page, tmp_path):
    (tmp_path / "fake.png").write_text("no picture")
    page.get_by_role("tab", name="Own picture").click()
    page.locator("#lv-picture input[type=file]").set_input_files(tmp_path / "fake.png")
    page.wait_for_timeout(1500)
    page.locator("#lv-place").click()
    page.get_by_text("cannot be read as a picture").first.wait_for(timeout=15_000)


def test_a_fit_replaces_the_map_for_this_visitor_only(page, browser, address):
    other = browser.new_page()
    other.goto(address)
    other.wait_for_selector(READY, timeout=30_000)
    fit_on_page(page, 20, 2)
    page.get_by_role("tab", name="Trust").click()
    page.get_by_text("cannot hold").first.wait_for(timeout=60_000)
    assert other.get_by_text("2,000 handwritten digits").count() > 0
    assert other.get_by_text(re.compile("20 (of [0-9,]+ )?codes of mnist")).count() == 0
    other.close()


def test_what_is_selected_can_be_kept(page, tmp_path):
    page.locator(".lv-tool-region").click()
    drag(page, (0.35, 0.35), (0.55, 0.55))
    page.wait_for_selector("[data-decoded]")
    page.get_by_role("tab", name="Keep").click()
    page.locator("#lv-prepare").click()
    page.locator("#lv-files a").first.wait_for(timeout=30_000)
    names = page.locator("#lv-files").inner_text()
    assert "v" in names
    assert "grid" in names
    with page.expect_download() as download:
        page.locator("#lv-files a[download]").first.click()
    assert download.value.path().stat().st_size > 1000


def test_what_cannot_be_kept_or_loaded_is_refused_in_words(page):
    page.get_by_role("tab", name="Keep").click()
    page.locator("#lv-repo input, #lv-repo textarea").first.fill("me/map")
    page.locator("#lv-push").click()
    page.get_by_text("A token of yours is needed").first.wait_for(timeout=15_000)
    page.locator("#lv-name input, #lv-name textarea").first.fill("../../etc/passwd")
    page.locator("#lv-load").click()
    page.get_by_text("called user/name").first.wait_for(timeout=15_000)


def test_a_fit_says_where_one_clicked_how_far_it_is_and_can_be_cancelled_there(page):
    page.get_by_role("tab", name="Fit a map").click()
    go, cancel, words = (page.locator(name) for name in ("#lv-fit", "#lv-cancel", "#lv-fitted"))
    assert cancel.is_disabled()
    page.locator("#lv-labels input").press("Backspace")  # all labels
    page.locator("#lv-count input").fill("20000")
    page.locator("#lv-count input").press("Tab")
    go.click()
    page.wait_for_function("document.querySelector('#lv-fit').disabled")
    words.get_by_text("fit - ").wait_for(timeout=60_000)  # with steps
    before = decodes(page)
    hover(page, 0.3, 0.4)  # the map stays in use
    assert decodes(page) > before
    cancel.click()
    page.locator(".lv-text", has_text="Stopped early").wait_for(timeout=60_000)
    page.wait_for_function("!document.querySelector('#lv-fit').disabled")
    assert cancel.is_disabled()
    title = page.locator(".lv-title").inner_text()
    assert title == "20,000 of 60,000 codes of mnist"
    assert title in words.inner_text()
    page.wait_for_function(  # it came into view
        """() => { const { top, bottom } = document.querySelector(".lv-map").getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight; }"""
    )


def test_a_fit_that_is_refused_says_so_beside_its_button_and_the_map_stays(page):
    page.get_by_role("tab", name="Fit a map").click()
    page.locator("#lv-decoder input, #lv-decoder textarea").first.fill("/etc/passwd")
    page.locator("#lv-fit").click()
    page.locator("#lv-fitted", has_text="No map was fitted").wait_for(timeout=15_000)
    page.wait_for_function("!document.querySelector('#lv-fit').disabled")
    hover(page, 0.4, 0.5)
    assert page.locator(".lv-title").inner_text() == "2,000 handwritten digits"
    assert not page.locator(".error").first.is_visible()


def test_fields_of_files_and_of_sizes_are_there_where_they_are_used(page):
    page.get_by_role("tab", name="Fit a map").click()
    seen = lambda: [page.locator(name).is_visible() for name in ("#lv-codes", "#lv-labels", "#lv-size")]  # noqa: E731
    page.locator("#lv-labels").wait_for()
    assert seen() == [False, True, False]
    page.locator("#lv-source input").click()
    page.get_by_role("option", name="pictures").click()
    page.locator("#lv-codes").wait_for()
    assert seen() == [True, False, False]
    page.locator("#lv-decoder input, #lv-decoder textarea").first.fill("diffusers:user/name")
    page.locator("#lv-size").wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark")])
def test_it_fits_narrow_and_dark(browser, address, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{address}?__theme={scheme}")
    page.wait_for_selector(READY, timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.mouse.move(*spot(page, 0.4, 0.5))
    page.wait_for_timeout(500)
    assert decodes(page) >= 1
    context.close()


# The endpoints.


@pytest.fixture(scope="module")
def client(address):
    from gradio_client import Client

    return Client(address, verbose=False)


def test_the_endpoints_answer_as_they_say(client, f_d, tmp_path):
    from gradio_client import handle_file

    fitted = client.predict(labels=[5], count=20, api_name="/fit")
    assert fitted["report"]["fvu"] < 1e-4
    told = client.predict(points=[[0.0, 0.0]], map_id=fitted["map"], api_name="/render")
    assert told["images"]["count"] == 1
    assert len(client.predict(rows=3, columns=4, api_name="/grid")["points"]) == 12
    way = client.predict(corners=[[-0.5, 0.0], [0.5, 0.0]], frames=8, api_name="/path")
    assert way["sheet"].startswith("data:image/png;base64,")
    Image.fromarray((f_d.images()[0][0, 0] * 255).byte().numpy()).save(tmp_path / "seven.png")
    placed = client.predict(picture=handle_file(tmp_path / "seven.png"), api_name="/place")
    assert len(placed["point"]) == 2
    found = client.predict(map_id=fitted["map"], api_name="/certify")
    assert found["round_trip_rms"] < 0.1


@pytest.mark.parametrize(
    ("endpoint", "given", "message"),
    [
        ("/render", {"points": [["a", 0]]}, "finite numbers"),
        ("/render", {"points": [[0, 0]], "map_id": "../x"}, "no longer here"),
        ("/grid", {"rows": 10**9}, "between 1 and 20"),
        ("/path", {"corners": [[0, 0], [1, 1]], "frames": 10**9}, "between 2 and 64"),
        ("/fit", {"count": 10**9}, "Between 1 and"),
        ("/fit", {"decoder": "module:os"}, "A decoder is mnist, emoji"),
        ("/fit", {"decoder": "diffusers:../../etc"}, "A Hub reference is"),
        ("/fit", {"dim": 7}, "dim is 1, 2 or 3"),
    ],
)
def test_what_strangers_ask_of_them_is_refused_in_words(client, endpoint, given, message):
    with pytest.raises(Exception, match=message):
        client.predict(**given, api_name=endpoint)


def test_the_space_folder_alone_starts(tmp_path, browser):
    import shutil
    import sys
    from pathlib import Path

    import latent_vizae.demos

    shutil.copytree(Path(latent_vizae.demos.__file__).parent, tmp_path / "space")
    with serving(sys.executable, "app.py", cwd=tmp_path / "space") as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(READY, timeout=30_000)
        page.close()


def test_a_map_of_the_page_is_a_map(f_d):
    from latent_vizae.demos.page.firsts import DIGITS as START

    assert VizAE.from_pretrained(START).source == "mnist"
    assert json.loads((START / "config.json").read_text())["count"] == 2000
