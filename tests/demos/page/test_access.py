"""The page for everybody: names, roles and states, the keyboard, contrast, narrow and dark; and its other states."""

import re

import numpy as np
import pytest
from serving import CHROMIUM, READY, changed, decodes, drag, host_page, hover, more_decodes, pixels, spot, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
GRADIOS = ["image-redundant-alt", "label-content-name-mismatch", "aria-prohibited-attr", "aria-allowed-attr"]
"""Rules that Gradio's own footer, upload and file list break; the map may not."""


def violations(axe, page, skipped=(), **context):
    found = axe.run(page, options={"rules": {rule: {"enabled": False} for rule in skipped}}, **context)
    return [
        (told["id"], node["target"], node["any"][0]["message"] if node["any"] else "")
        for told in found.response["violations"]
        for node in told["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_tab_in_both_themes(browser, address, scheme):
    Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
    axe = Axe()
    with visiting(browser, f"{address}?__theme={scheme}", color_scheme=scheme) as page:
        for tab in ("Trust", "Own picture", "Fit a map", "Directions", "Keep"):
            page.get_by_role("tab", name=tab).click()
            page.locator(".lv-tool-region").click()
            assert violations(axe, page, GRADIOS) == []
        drag(page, (0.3, 0.3), (0.5, 0.5))
        page.locator("[data-decoded]").wait_for()
        page.locator(".lv-layer").select_option("support")
        page.locator(".lv-heat").wait_for()
        assert violations(axe, page, context="#lv") == []  # all rules
        page.locator(".lv-tool-path").click()
        drag(page, (0.3, 0.3), (0.5, 0.5))
        page.locator(".lv-strip canvas").wait_for()
        page.locator(".lv-play").click()
        assert violations(axe, page, context="#lv") == []


def test_every_control_has_a_name_and_a_role_and_says_its_state(page):
    tree = page.locator("#lv").aria_snapshot()
    for line in (
        'radiogroup "Tool"', 'radio "Look" [checked]', 'radio "Region"', 'group "Zoom"', 'button "Zoom in"',
        'combobox "Layer"', 'application "Map of codes', 'group "Show or hide labels"', 'button "3" [pressed]',
        'img "Picture decoded at the cursor"', 'button "Pin this picture"', "status",
    ):  # fmt: skip
        assert line in tree, line
    page.locator(".lv-tool-region").click()
    page.locator('.lv-legend button[data-label="3"]').click()
    tree = page.locator("#lv").aria_snapshot()
    assert 'radio "Region" [checked]' in tree
    assert 'button "3" [pressed]' not in tree
    assert not re.search(r'- (button|radio|slider|checkbox|combobox|spinbutton)(:| \[|$)(?! ")', tree, re.MULTILINE)


def test_the_keyboard_alone_reaches_all_and_does_all(page):
    page.locator(".lv-tool-look").focus()
    order = []
    for _ in range(24):
        order.append(
            page.evaluate("document.activeElement.className.split(' ').at(-1) || document.activeElement.tagName")
        )
        page.keyboard.press("Tab")
    assert order[:6] == ["lv-tool-look", "lv-zoom-out", "lv-zoom-in", "lv-fit", "lv-full", "lv-layer"]
    assert order.index("lv-pin-here") > order.index("CANVAS")
    page.locator(".lv-tool-look").focus()
    page.keyboard.press("ArrowRight")  # the tools are one stop: arrows choose
    assert page.evaluate("document.activeElement.dataset.tool") == "region"
    page.locator(".lv-map canvas").first.focus()
    for keys in (["Space"], ["ArrowRight"] * 4, ["ArrowUp"] * 4, ["Space"], ["ArrowLeft"] * 6, ["Space"], ["Enter"]):
        for key in keys:
            page.keyboard.press(key)
    page.locator("[data-decoded]").wait_for()
    page.locator(".lv-grid canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".lv-pin").wait_for()
    assert page.locator(".lv-status").inner_text() == "Pinned picture 1."
    page.locator(".lv-map canvas").first.focus()
    page.keyboard.press("Escape")
    page.locator(".lv-grid").wait_for(state="hidden")


def test_what_the_keyboard_finds_is_read_out(page):
    page.locator(".lv-map canvas").first.focus()
    before = decodes(page)
    page.keyboard.press("ArrowRight")
    more_decodes(page, before)
    page.wait_for_function(
        "/x .*, .*codes.*, nearest code: \\d/.test(document.querySelector('.lv-status').textContent)"
    )
    assert page.locator(".lv-status").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_focus_is_seen(browser, address, scheme):
    with visiting(browser, f"{address}?__theme={scheme}", color_scheme=scheme) as page:
        page.mouse.move(1, 1)
        before = pixels(page, ".lv-tools")
        page.locator(".lv-tool-look").focus()
        page.keyboard.press("ArrowRight")
        page.locator(".lv-map canvas").first.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Shift+Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        assert before.size


def test_nothing_is_wider_than_a_telephone_and_all_targets_are_large_enough(browser, address):
    options = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visiting(browser, address, **options) as page:
        for tab in ("Trust", "Own picture", "Fit a map", "Directions", "Keep"):
            page.get_by_role("tab", name=tab).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        small = page.evaluate(
            """() => [...document.querySelectorAll('#lv :is(button, select, input)')].filter(e => e.offsetParent)
            .map(e => [e.className, (e.closest('label') ?? e).getBoundingClientRect()])
            .filter(([, r]) => r.height < 24 || r.width < 24)
            .map(([name]) => name)"""
        )
        assert small == []
        before = decodes(page)
        page.touchscreen.tap(*spot(page, 0.7, 0.4))
        more_decodes(page, before)


# What a host sets, and the states that visitors seldom see.


@pytest.fixture
def hosted(browser):
    with visiting(browser, host_page()) as page:
        yield page


def test_without_a_map_the_page_says_what_to_do(hosted):
    hosted.locator("#host-nothing").click()
    hosted.get_by_text("No map yet").wait_for()
    assert hosted.get_by_text("Choose a map, and its codes appear here.").is_visible()
    assert not hosted.locator(".lv-retry").is_visible()
    assert hosted.locator("#lv [data-state], #lv[data-state]").first.get_attribute("data-state") == "loading"
    hosted.locator("#host-first").click()
    hosted.wait_for_selector(READY)
    assert hosted.locator(".lv-title").inner_text() == "2,000 handwritten digits"


def test_a_map_that_is_gone_is_told_of_and_can_be_tried_again(hosted):
    hosted.locator("#host-gone").click()
    hosted.get_by_text("This map could not be opened").wait_for()
    assert hosted.get_by_text("no longer here").first.is_visible()
    hosted.locator(".lv-retry").click()
    hosted.get_by_text("This map could not be opened").wait_for()
    hosted.locator("#host-first").click()
    hosted.wait_for_selector(READY)
    assert not hosted.get_by_text("This map could not be opened").is_visible()


def test_a_host_pins_a_place_and_chooses_a_layer(hosted):
    before = pixels(hosted, ".lv-map canvas")
    hosted.locator("#host-pinned").click()
    hosted.locator(".lv-pin").wait_for()
    assert hosted.locator(".lv-pin").count() == 1
    hosted.locator('.lv-preview[aria-busy="false"]').wait_for()
    hosted.wait_for_function("document.querySelector('[data-state=ready]').dataset.at === '0.5,-0.25'")
    assert np.abs(pixels(hosted, ".lv-pin canvas")[..., :3]).max() > 200
    hosted.locator("#host-layered").click()
    hosted.locator(".lv-heat").wait_for()
    changed(hosted, ".lv-map canvas", before, share=0.2)


def test_with_reduced_motion_a_film_waits(browser, address):
    with visiting(browser, address, reduced_motion="reduce") as page:
        hover(page, 0.4, 0.5)
        page.locator(".lv-tool-path").click()
        drag(page, (0.3, 0.3), (0.6, 0.5))
        page.locator(".lv-strip canvas").wait_for()
        assert page.locator(".lv-play").get_attribute("aria-label") == "Play"
        assert page.locator(".lv-scrub").input_value() == "0"
