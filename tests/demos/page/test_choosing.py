"""What is selected comes back: neighbours, regions, searches, colours and undo, in Chromium."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from serving import CHROMIUM, READY, at, changed, drag, hover, pixels, shared_page, spot, still, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from columns_page import EVIL, KINDS, map_with_columns

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SIZES = {"desktop": (1280, 900), "tablet": (768, 1024), "phone": (390, 844)}


@pytest.fixture(scope="module")
def shown():
    return map_with_columns()


@pytest.fixture
def page(browser):
    """The map with columns, before a fresh visitor."""
    address = shared_page(sys.executable, str(Path(__file__).parents[2] / "helpers" / "columns_page.py"))
    with visiting(browser, address) as page:
        yield page
        assert page.evaluate("window.bad") is None


@pytest.fixture(params=SIZES)
def any_page(page, request):
    width, height = SIZES[request.param]
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(300)
    return page


def neighbours(page):
    page.wait_for_timeout(700)
    return [
        int(code) for code in page.locator(".lv-near-go").evaluate_all("all => all.map((one) => one.dataset.code)")
    ]


def kept(page, button):
    """The file that a button saves."""
    with page.expect_download() as got:
        page.locator(button).click()
    return got.value.path()


def selected(page):
    return json.loads(Path(kept(page, ".lv-save-numbers")).read_text())


def test_the_nearest_codes_own_pictures_lie_beside_the_decoded_one(any_page, shown):
    hover(any_page, 0.4, 0.4)
    found = neighbours(any_page)
    assert found == shown.latent_map.nearest(at(any_page), 8).indices.tolist()
    drawn = any_page.locator(".lv-near-go canvas").first.evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).filter((_, i) => i % 4 === 0)"
    )
    own = shown.latent_map.decoder(shown.codes[found[:1]])[0, 0].flatten()
    assert np.abs(np.array(drawn) / 255 - own.numpy()).max() < 0.02
    assert "own pictures" in any_page.locator(".lv-near-text").inner_text()
    any_page.locator(".lv-near-go").nth(3).click()
    any_page.wait_for_timeout(500)
    assert np.allclose(at(any_page), shown.latent_map.v.points[found[3]].tolist(), atol=1e-4)


@pytest.mark.parametrize("how", ["dblclick", "alt"])
def test_a_label_is_isolated_and_the_nearest_code_respects_it(page, shown, how):
    hover(page, 0.45, 0.45)
    before = pixels(page, ".lv-map canvas")
    five = page.locator('.lv-legend button[data-label="5"]')
    pressed = page.locator('.lv-legend button[aria-pressed="true"]')
    isolate = (lambda: five.dblclick()) if how == "dblclick" else (lambda: five.click(modifiers=["Alt"]))
    isolate()
    changed(page, ".lv-map canvas", before)
    assert pressed.count() == 1
    assert {shown.labels[code].item() for code in neighbours(page)} == {5}
    assert page.locator(".lv-near").inner_text() == "nearest code: 5"
    isolate()  # once more: all
    assert pressed.count() == 10
    five.click()
    page.locator(".lv-unhide").click()
    assert pressed.count() == 10
    assert page.locator(".lv-unhide").is_hidden()


def test_a_box_gives_its_codes_to_keep(any_page, shown):
    any_page.locator(".lv-tool-region").click()
    drag(any_page, (0.3, 0.3), (0.6, 0.6))
    any_page.wait_for_selector("[data-decoded]")
    rows = selected(any_page)
    words = any_page.locator(".lv-picked-text").inner_text()
    assert words == f"{len(rows):,} of 2,000 codes lie in this region."
    points = shown.latent_map.v.points[rows]
    low, high = points.min(0).values, points.max(0).values
    assert rows == shown.latent_map.inside(box=(low, high)).tolist()  # all that lie in there
    with np.load(kept(any_page, ".lv-save-codes"), allow_pickle=False) as file:
        assert file["indices"].tolist() == rows
        assert np.array_equal(file["codes"], shown.codes[rows].numpy())
        assert np.array_equal(file["labels"], shown.labels[rows].numpy())
    any_page.locator(".lv-unpick").click()
    assert any_page.locator(".lv-picked").is_hidden()
    assert any_page.locator(".lv-grid").is_hidden()


def test_a_lasso_gives_what_lies_inside_of_it(any_page, shown):
    any_page.locator(".lv-tool-region").click()
    any_page.locator(".lv-shape").select_option("lasso")
    middle, radius = (0.45, 0.4), 0.18
    turns = [math.radians(a) for a in range(0, 360, 6)]
    line = [spot(any_page, middle[0] + radius * math.cos(t), middle[1] + radius * math.sin(t)) for t in turns]
    any_page.mouse.move(*line[0])
    any_page.mouse.down()
    for x, y in line[1:]:
        any_page.mouse.move(x, y)
    any_page.mouse.up()
    any_page.wait_for_selector("[data-decoded]")
    rows = selected(any_page)
    box = any_page.locator(".lv-map canvas").first.bounding_box()
    scale = min(box["width"], box["height"]) / 2.12
    center = np.array([(middle[0] - 0.5) * box["width"], (0.5 - middle[1]) * box["height"]]) / scale
    axes = radius * np.array([box["width"], box["height"]]) / scale
    far = np.linalg.norm((shown.latent_map.v.points.numpy() - center) / axes, axis=1)
    assert set(np.flatnonzero(far < 0.95)) <= set(rows) <= set(np.flatnonzero(far < 1.05))
    assert len(rows) > 50


def test_a_polygon_leaves_hidden_labels_aside(page, shown):
    page.locator('.lv-legend button[data-label="7"]').dblclick()
    page.locator(".lv-tool-region").click()
    for x, y in ((0.2, 0.1), (0.8, 0.1), (0.8, 0.6), (0.2, 0.6)):
        page.mouse.click(*spot(page, x, y))
        page.wait_for_timeout(350)  # not a double click
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-decoded]")
    rows = selected(page)
    assert {shown.labels[row].item() for row in rows} == {7}
    assert "hidden ones aside" in page.locator(".lv-picked-text").inner_text()


def test_columns_colour_the_codes(any_page):
    before = pixels(any_page, ".lv-map canvas")
    any_page.locator(".lv-tint").select_option(label="ink")
    ramped = changed(any_page, ".lv-map canvas", before)
    assert any_page.locator(".lv-legend button:visible").count() == 0
    assert "400 without a value" in any_page.locator(".lv-ramp").inner_text()
    any_page.locator(".lv-tint").select_option(label="kind")
    changed(any_page, ".lv-map canvas", ramped)
    assert any_page.locator(".lv-legend button[data-rank]").all_inner_texts() == sorted(KINDS)
    hover(any_page, 0.4, 0.4)
    assert ", kind " in any_page.locator(".lv-near").inner_text()
    assert any_page.locator(".lv-tint option").all_inner_texts() == ["label", "kind", "ink", EVIL]


def test_words_lie_at_their_groups(page):
    page.locator(".lv-layer").select_option("none")  # pictures beneath the codes come whenever they are made
    with_names = still(page, ".lv-map canvas")
    page.locator(".lv-named").uncheck()
    without = changed(page, ".lv-map canvas", with_names)
    assert (np.abs(without - with_names).max(2) > 24).mean() < 0.05  # ten short words


COLLECT = """() => {
  window.written = [];
  const write = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (words, x, y) {
    window.written.push([words, x, y]);
    write.call(this, words, x, y);
  };
}"""


def test_words_of_single_codes_lie_at_their_points(page, shown):
    """A word for each of 2,000 codes: those that fit are shown, at their points."""
    page.evaluate(COLLECT)
    before = pixels(page, ".lv-map canvas")
    page.locator(".lv-tint").select_option(label=EVIL)
    changed(page, ".lv-map canvas", before)
    page.evaluate("window.written = []")
    page.locator(".lv-named").uncheck()
    page.locator(".lv-named").check()
    page.wait_for_function("window.written.length > 5")
    places = {words: (x, y) for words, x, y in page.evaluate("window.written") if words.startswith("img_")}
    assert 20 < len(places) <= 60
    wide = page.locator(".lv-map canvas").first.bounding_box()["width"]
    whole = {words: place for words, place in places.items() if 60 < place[0] < wide - 60}  # not moved at the border
    points = shown.latent_map.v.points[[int(words[4:9]) for words in whole]].numpy()
    for axis, drawn in enumerate(np.array(list(whole.values())).T):
        assert np.abs(np.polyval(np.polyfit(points[:, axis], drawn, 1), points[:, axis]) - drawn).max() < 1


def test_a_search_selects_what_it_finds(any_page):
    page = any_page
    before = pixels(page, ".lv-map canvas")
    page.locator(".lv-query").fill("Shoe")
    page.locator(".lv-picked-text", has_text="500 codes match “Shoe”").wait_for()
    changed(page, ".lv-map canvas", before)
    assert selected(page) == list(range(0, 2000, 4))
    page.locator(".lv-query").fill("img_0007")
    page.locator(".lv-group", has_text="img_00070.png").click()
    page.locator(".lv-picked-text", has_text="1 code matches “img_00070.png”").wait_for()
    assert selected(page) == [70]
    page.locator(".lv-query").press("Enter")
    page.wait_for_function(f"document.querySelector('{READY}').dataset.at !== ''")
    page.wait_for_timeout(500)
    assert neighbours(page)[0] == 70
    page.locator(".lv-query").fill("no such word <b>")
    page.locator(".lv-picked-text", has_text="No code matches “no such word <b>”").wait_for()
    assert page.locator(".lv-save-codes").is_disabled()
    page.locator(".lv-query").press("Escape")
    page.locator(".lv-picked").wait_for(state="hidden")


def test_undo_and_redo_bring_back_what_was_made(page):
    assert page.locator(".lv-undo").is_disabled()
    hover(page, 0.4, 0.5)
    page.locator(".lv-pin-here").click()
    page.wait_for_selector(".lv-pins .lv-pin")
    page.locator(".lv-tool-region").click()
    drag(page, (0.3, 0.3), (0.5, 0.5))
    page.wait_for_selector("[data-decoded]")
    words, grid = page.locator(".lv-picked-text").inner_text(), pixels(page, ".lv-grid canvas")
    page.locator('.lv-legend button[data-label="3"]').click()
    page.wait_for_timeout(600)
    hidden = page.locator('.lv-legend button[aria-pressed="false"]')
    assert hidden.count() == 1
    page.locator(".lv-map canvas").first.focus()
    page.keyboard.press("Control+z")
    assert hidden.count() == 0
    page.locator(".lv-undo").click()
    page.locator(".lv-picked").wait_for(state="hidden")
    assert page.locator(".lv-grid").is_hidden()
    assert page.locator(".lv-pins .lv-pin").count() == 1
    page.locator(".lv-undo").click()
    assert page.locator(".lv-pins .lv-pin").count() == 0
    assert page.locator(".lv-undo").is_disabled()
    page.locator(".lv-map canvas").first.focus()
    page.keyboard.press("Control+Shift+z")
    assert page.locator(".lv-pins .lv-pin").count() == 1
    page.keyboard.press("Control+y")
    assert page.locator(".lv-picked-text").inner_text() == words
    assert np.abs(pixels(page, ".lv-grid canvas") - grid).max() < 24
    page.locator(".lv-redo").click()
    assert hidden.count() == 1
    assert page.locator(".lv-redo").is_disabled()
    page.keyboard.press("Control+z")
    page.locator('.lv-legend button[data-label="4"]').click()  # something else: nothing is left to redo
    page.wait_for_timeout(600)
    assert page.locator(".lv-redo").is_disabled()
