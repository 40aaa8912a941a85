"""What is shown is in the address: reload, back, links, and a server that was started again."""

import pytest
from serving import (
    CHROMIUM,
    READY,
    at,
    despite_reloads,
    drag,
    fit_on_page,
    hover,
    pixels,
    readout,
    serving,
    spot,
    visiting,
)

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from latent_vizae.demos.page.firsts import digits_map
from latent_vizae.demos.page.fitted import lasting_id

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SIZES = [
    {"viewport": {"width": 1280, "height": 900}},
    {"viewport": {"width": 768, "height": 1024}, "has_touch": True, "is_mobile": True},
    {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
]


def written(page, *words):
    """The address, when it holds all of these."""
    for word in words:
        page.wait_for_function("word => decodeURIComponent(location.hash).includes(word)", arg=word, timeout=15_000)
    page.wait_for_timeout(700)  # and what is still to be written
    return page.url


def shown(page):
    """What a visitor sees of a state."""
    return {
        "tool": page.locator(".lv-tool[aria-checked=true]").get_attribute("data-tool"),
        "layer": page.locator("select.lv-layer").input_value(),
        "hidden": page.locator('.lv-legend button[aria-pressed="false"]').all_inner_texts(),
        "pins": page.locator(".lv-pin").count(),
        "stage": page.locator(READY).first.get_attribute("data-stage"),
    }


@pytest.mark.parametrize("options", SIZES, ids=["desktop", "tablet", "phone"])
def test_a_reload_and_a_link_show_the_same(browser, address, options):
    with visiting(browser, address, **options) as page:
        page.locator(".lv-zoom-in").click()
        page.locator(".lv-zoom-in").click()
        for count, where in enumerate(((0.3, 0.3), (0.6, 0.4)), 1):
            page.mouse.click(*spot(page, *where))
            page.locator(f".lv-pin:nth-child({count})").wait_for()
        page.locator('.lv-legend button[data-label="1"]').click()
        page.locator("select.lv-layer").select_option("none")
        page.locator(".lv-tool-region").click()
        page.locator(".lv-cells").fill("4")
        drag(page, (0.4, 0.4), (0.6, 0.7))
        page.wait_for_selector("[data-decoded]")
        link, before = written(page, "region=", "grid=4", "pins=", "hidden=1", "layer=none", "view="), shown(page)
        page.reload()
        page.wait_for_selector("[data-decoded]", timeout=30_000)
        assert written(page, "region=") == link
        assert shown(page) == before
    with visiting(browser, link, **options) as friend:
        friend.wait_for_selector("[data-decoded]", timeout=30_000)
        friend.wait_for_timeout(700)
        assert shown(friend) == before


def test_a_path_and_the_place_looked_at_are_kept_and_pins_of_a_path_keep_their_pictures(browser, address):
    with visiting(browser, address) as page:
        hover(page, 0.3, 0.4)
        where = readout(page)
        link = written(page, "at=")
        with visiting(browser, link) as friend:
            friend.wait_for_function("document.querySelector('[data-state=ready]').dataset.at", timeout=20_000)
            assert readout(friend) == where
        page.locator(".lv-tool-path").click()
        drag(page, (0.2, 0.6), (0.7, 0.6))
        page.locator(".lv-play").click()
        link = written(page, "path=", "tool=path")
    with visiting(browser, link) as friend:
        friend.locator(".lv-strip canvas").wait_for()
        assert shown(friend)["stage"] == "film"


@pytest.mark.parametrize("words", [
    "at=9,9&view=x&pins=1;2,z;0.1,0.2:id,nobody&region=1&grid=-4&layer=arrows&tool=drill&hidden=99&plane=1",
    "at=&view=1,2,1e9&path=0,0&detail=7,1&draws=1,2&pin=4", "%", "at=%ff&&&=&pins=;;",
])  # fmt: skip
def test_an_address_that_makes_no_sense_shows_the_map_all_the_same(browser, address, f_d, words):
    name = lasting_id(digits_map(f_d).latent_map.v)
    with visiting(browser, f"{address}#map={name}&{words}") as page:
        page.locator(".lv-title", has_text="2,000 handwritten digits").wait_for()
        hover(page, 0.4, 0.5)
        assert (shown(page)["pins"], shown(page)["stage"]) == (0, "look")


def test_the_back_button_returns_to_the_map_before_and_trust_follows(browser, address):
    with visiting(browser, address) as page:
        first = written(page, "map=", "at=")
        fit_on_page(page, 60, 2)
        page.wait_for_function("first => location.href.split('&')[0] !== first.split('&')[0]", arg=first)
        page.go_back()
        page.locator(".lv-title", has_text="2,000 handwritten digits").wait_for()
        page.wait_for_selector(READY)
        page.get_by_role("tab", name="Trust").click()
        page.locator("#lv-report", has_text="2,000 handwritten digits").wait_for()
        page.go_forward()
        page.locator(".lv-title", has_text="60 of 5,421 codes").wait_for()
        page.locator("#lv-report", has_text="60 of 5,421 codes").wait_for()


def test_after_a_restart_the_page_says_what_happened_and_goes_on(browser):
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        with serving() as first:
            page.goto(first)
            page.wait_for_selector(READY)
            hover(page, 0.3, 0.4)
            lasting, where = written(page, "at="), at(page)
            fit_on_page(page, 60, 2)
            kept = written(page, "map=")
            port = int(first.rsplit(":", 1)[1].strip("/"))
        with serving(port=port):
            message = page.locator(".lv-message")
            for step in range(60):
                if despite_reloads(page, message.is_visible):
                    break
                despite_reloads(page, lambda x=0.5 + 0.1 * (step % 2): page.mouse.move(*spot(page, x, 0.6)))
                page.wait_for_timeout(500)
            assert "the server was started again" in despite_reloads(page, message.inner_text)
            despite_reloads(page, page.locator(".lv-first").click)
            page.locator(".lv-title", has_text="2,000 handwritten digits").wait_for()
            page.wait_for_selector(READY)
            hover(page, 0.4, 0.5)
            assert pixels(page, ".lv-preview canvas")[..., :3].max() > 200
            page.goto("about:blank")
            page.goto(kept)  # a link from before
            page.locator(".lv-message", has_text="the server was started again").wait_for()
            page.goto("about:blank")
            page.goto(lasting)  # the first map is the same
            page.wait_for_selector(READY)
            page.wait_for_function("document.querySelector('[data-state=ready]').dataset.at", timeout=20_000)
            assert at(page) == pytest.approx(where, abs=1e-3)
