"""Maps of one and of three dimensions on the page: the strip with its slider, the cloud with its plane."""

import numpy as np
import pytest
from serving import (
    CHROMIUM,
    at,
    changed,
    decodes,
    drag,
    fit_on_page,
    hover,
    more_decodes,
    pixels,
    readout,
    spot,
    visiting,
)

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", params=[1, 3])
def fitted(browser, address, request):
    """A visitor with a map of 30 codes, for all tests of its dimension: one fit each."""
    with visiting(browser, address) as page:
        fit_on_page(page, 30, request.param)
        yield page


@pytest.fixture
def page(fitted):
    """That visitor with nothing selected, looking at the whole map."""
    while fitted.locator(".lv-clear").is_visible():
        fitted.locator(".lv-clear").click()
    fitted.locator(".lv-fit").click()
    fitted.locator(".lv-tool-look").click()
    return fitted


line = pytest.mark.parametrize("fitted", [1], indirect=True)
cloud = pytest.mark.parametrize("fitted", [3], indirect=True)


def shown(page):
    return page.evaluate("document.querySelector('.lv-preview canvas').toDataURL()")


def to_end(page, selector, key):
    """Take a slider to its end."""
    page.locator(selector).focus()
    page.keyboard.press(key)


def over_cell(page, column, row):
    """Point at a cell of the grid of 10 x 10."""
    grid = page.locator(".lv-grid canvas")
    box = grid.bounding_box()
    grid.hover(position={"x": (column + 0.5) / 10 * box["width"], "y": (row + 0.5) / 10 * box["height"]})


# One dimension.


@line
def test_a_line_is_a_rug_of_codes_with_pictures_and_a_slider_below(page):
    assert page.locator(".lv-map").bounding_box()["height"] < 250
    assert page.locator(".lv-position").is_visible()
    assert not page.locator(".lv-plane").is_visible()
    assert not page.locator(".lv-layer").is_visible()
    page.wait_for_function(
        """() => { const c = document.querySelector('.lv-line canvas');
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return data.some((value, i) => i % 4 === 0 && value > 200); }"""  # white digits
    )


@line
def test_the_slider_moves_along_the_line(page):
    to_end(page, ".lv-position", "Home")
    page.wait_for_function("document.querySelector('[data-state=ready]').dataset.at === '-1'")
    first = shown(page)
    to_end(page, ".lv-position", "End")
    page.wait_for_function("document.querySelector('[data-state=ready]').dataset.at === '1'")
    assert shown(page) != first
    assert readout(page) == [1.0]
    hover(page, 0.5, 0.5)
    assert abs(at(page)[0]) < 0.05
    assert float(page.locator(".lv-position").input_value()) == pytest.approx(at(page)[0], abs=0.003)  # it follows


@line
def test_an_interval_becomes_a_grid_in_order(page):
    page.locator(".lv-tool-region").click()
    drag(page, (0.3, 0.5), (0.6, 0.5))
    page.locator("[data-decoded]").wait_for()
    low, high = ((x - 0.5) * 2.12 for x in (0.3, 0.6))
    for column, row, share in ((0, 0, 0), (9, 9, 1), (9, 0, 9 / 99)):  # the first row is a tenth of the way
        over_cell(page, column, row)
        assert readout(page)[0] == pytest.approx(low + (high - low) * share, abs=0.02)


@line
def test_a_drag_becomes_a_film_from_one_place_to_the_other(page):
    page.locator(".lv-tool-path").click()
    drag(page, (0.25, 0.5), (0.7, 0.5))
    page.locator(".lv-strip canvas").wait_for(state="visible")
    to_end(page, ".lv-scrub", "Home")
    assert readout(page)[0] == pytest.approx((0.25 - 0.5) * 2.12, abs=0.03)
    first = shown(page)
    to_end(page, ".lv-scrub", "End")
    assert readout(page)[0] == pytest.approx((0.7 - 0.5) * 2.12, abs=0.03)
    assert shown(page) != first


# Three dimensions.


@cloud
def test_a_cloud_turns_and_a_key_brings_it_back(page):
    page.locator(".lv-tool-move").click()
    before = pixels(page, ".lv-map canvas")
    drag(page, (0.4, 0.5), (0.7, 0.6))
    turned = changed(page, ".lv-map canvas", before, share=0.005)
    page.locator(".lv-fit").click()
    again = changed(page, ".lv-map canvas", turned, share=0.005)
    far, back = ((np.abs(one - before).max(2) > 24).mean() for one in (turned, again))
    assert back < 0.2 * far  # of pictures that hide each other others may be shown than before


@cloud
def test_pictures_are_picked_on_the_plane(page):
    for axis, depth in ((0, 0.5), (1, -0.3), (2, 0.0)):
        page.locator(".lv-axis").select_option(str(axis))
        before = pixels(page, ".lv-map canvas")
        page.locator(".lv-depth").evaluate(
            "(field, depth) => { field.value = depth; field.dispatchEvent(new Event('input', { bubbles: true })); }",
            depth,
        )
        page.wait_for_function(
            """([axis, depth]) => { const at = document.querySelector('[data-state=ready]').dataset.at.split(',');
            return Math.abs(at[axis] - depth) < 0.005; }""",
            arg=[axis, depth],
        )
        assert page.locator(".lv-depth-value").inner_text().replace("\N{MINUS SIGN}", "-") == f"{depth:.2f}"
        if depth:
            changed(page, ".lv-map canvas", before)
        for x, y in ((0.5, 0.5), (0.54, 0.46)):
            hover(page, x, y)
            assert at(page)[axis] == pytest.approx(depth, abs=0.006)
        assert max(np.abs(np.delete(at(page), axis))) > 0.01


@cloud
def test_the_keyboard_moves_on_the_plane_and_the_plane_itself(page):
    before = decodes(page)
    page.locator(".lv-axis").select_option("2")
    more_decodes(page, before)
    page.locator(".lv-map canvas").first.focus()
    before = decodes(page)
    start = readout(page)
    page.keyboard.press("ArrowRight")
    more_decodes(page, before)
    assert readout(page)[0] == pytest.approx(start[0] + 0.05, abs=0.011)
    assert readout(page)[2] == pytest.approx(start[2], abs=0.011)
    before = decodes(page)
    page.keyboard.press("PageUp")
    more_decodes(page, before)
    assert readout(page)[2] == pytest.approx(start[2] + 0.05, abs=0.011)


@cloud
def test_a_box_on_the_plane_becomes_a_grid_of_it(page):
    page.locator(".lv-axis").select_option("2")
    page.locator(".lv-tool-region").click()
    drag(page, (0.45, 0.47), (0.56, 0.54))
    page.locator("[data-decoded]").wait_for()
    seen = []
    for cell in (0, 9):
        over_cell(page, cell, cell)
        seen.append(readout(page))
    assert seen[0][2] == seen[1][2] == 0
    assert seen[0][0] < seen[1][0]
    assert seen[0][1] > seen[1][1]


@cloud
def test_a_path_on_the_plane_becomes_a_film(page):
    page.locator(".lv-axis").select_option("2")
    page.locator(".lv-tool-path").click()
    for x, y in ((0.44, 0.48), (0.56, 0.52)):
        page.mouse.click(*spot(page, x, y))
    page.locator(".lv-finish").click()
    page.locator(".lv-strip canvas").wait_for(state="visible")
    to_end(page, ".lv-scrub", "Home")
    first, place = shown(page), readout(page)
    to_end(page, ".lv-scrub", "End")
    assert shown(page) != first
    assert readout(page)[0] > place[0] + 0.05
