"""The tour of four steps, and the picture for other programs."""

import io

import numpy as np
import pytest
from PIL import Image
from serving import CHROMIUM, hover, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_the_tour_has_four_steps_is_walked_by_keys_and_skipped(browser, address, width):
    with visiting(browser, address, viewport={"width": width, "height": 844}) as page:
        card = page.locator(".lv-tour")
        assert not card.is_visible()
        page.locator(".lv-tour-start").focus()
        page.keyboard.press("Enter")
        seen = []
        for number in range(1, 5):
            assert f"Step {number} of 4" in card.inner_text()
            assert page.evaluate("document.activeElement.className") == "lv-tour"  # so that it is read
            assert card.get_attribute("aria-label").startswith(f"Step {number} of 4")
            assert page.locator(".lv-toured").count() == 1
            box = card.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            seen.append(page.locator(".lv-tour-title").inner_text())
            page.keyboard.press("ArrowRight")
        assert len(set(seen)) == 4
        assert not card.is_visible()
        assert page.evaluate("document.activeElement.className").endswith("lv-tour-start")
        page.locator(".lv-tour-start").click()
        page.keyboard.press("Escape")
        assert not card.is_visible()
        page.locator(".lv-tour-start").click()
        page.locator(".lv-tour-next").click()
        page.locator(".lv-tour-back").click()
        page.locator(".lv-tour-skip").click()
        assert not card.is_visible()
        assert page.locator(".lv-toured").count() == 0


READ = """async () => {
  const [item] = await navigator.clipboard.read();
  return Array.from(new Uint8Array(await (await item.getType('image/png')).arrayBuffer()));
}"""


def test_the_picture_is_copied_as_it_is_shown(browser, address):
    permitted = {"permissions": ["clipboard-read", "clipboard-write"]}
    with visiting(browser, address, **permitted) as page:
        hover(page, 0.4, 0.5)
        page.locator(".lv-copy-picture").click()
        page.locator(".lv-status", has_text="Picture copied.").wait_for()
        copied = Image.open(io.BytesIO(bytes(page.evaluate(READ))))
        assert copied.size == (504, 504)  # 28 times 18
        shown = page.evaluate(
            "document.querySelector('.lv-preview canvas').getContext('2d').getImageData(0,0,28,28).data"
        )
        small = np.asarray(copied.convert("RGBA"))[9::18, 9::18]
        assert small.flatten().tolist() == list(shown)


def test_where_there_is_no_clipboard_it_is_a_file(browser, address):
    with visiting(browser, address) as page:
        page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        with page.expect_download() as download:
            page.locator(".lv-copy-picture").click()
        assert Image.open(download.value.path()).size == (504, 504)
