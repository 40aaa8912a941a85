"""The page under fingers, on a phone and on a tablet: the picture is seen beside a finger, and results are seen."""

import pytest
from serving import CHROMIUM, at, spot, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TOUCH = {"has_touch": True, "is_mobile": True}


@pytest.fixture(params=[(390, 844), (768, 1024)], ids=["phone", "tablet"])
def touched(request, browser, address):
    width, height = request.param
    with visiting(browser, address, viewport={"width": width, "height": height}, **TOUCH) as page:
        yield page


class Finger:
    """One finger on the map, places from 0 to 1 of its canvas."""

    def __init__(self, page):
        self.page, self.session = page, page.context.new_cdp_session(page)

    def _send(self, kind, *points):
        touches = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def slide(self, start, end, steps=8):
        (x0, y0), (x1, y1) = spot(self.page, *start), spot(self.page, *end)
        self._send("touchStart", (x0, y0))
        for i in range(1, steps + 1):
            self._send("touchMove", (x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps))
            self.page.wait_for_timeout(20)
        return x1, y1

    def lift(self):
        self._send("touchEnd")


def test_the_picture_is_seen_beside_the_finger_wherever_that_is(touched):
    finger, lens = Finger(touched), touched.locator(".lv-lens")
    assert not lens.is_visible()
    for end in ((0.5, 0.7), (0.1, 0.1), (0.95, 0.05), (0.05, 0.95), (0.9, 0.5)):
        x, y = finger.slide((0.5, 0.5), end)
        touched.wait_for_timeout(200)
        seen, map_ = lens.bounding_box(), touched.locator(".lv-map").bounding_box()
        assert map_["x"] <= seen["x"]
        assert seen["x"] + seen["width"] <= map_["x"] + map_["width"]
        assert seen["y"] >= map_["y"]
        aside = x < seen["x"] or x > seen["x"] + seen["width"] or y < seen["y"] or y > seen["y"] + seen["height"]
        assert aside, (end, seen)
        lens_, preview = touched.evaluate(
            "['.lv-lens', '.lv-preview'].map(s => document.querySelector(s + ' canvas').toDataURL())"
        )
        assert lens_ == preview
        assert len(lens_) > 300  # a picture
        finger.lift()
        touched.wait_for_timeout(50)
        assert not lens.is_visible()
    assert touched.locator(".lv-pin").count() == 0  # a slide pins nothing


def test_a_tap_pins_what_is_there(touched):
    for count, where in enumerate(((0.3, 0.4), (0.6, 0.6)), 1):
        touched.touchscreen.tap(*spot(touched, *where))
        touched.locator(f".lv-pin:nth-child({count})").wait_for()
    assert touched.locator(".lv-pin").count() == 2
    assert at(touched)[0] > 0
    touched.locator(".lv-unpin").tap()
    assert touched.locator(".lv-pin").count() == 0


def in_view(page, selector):
    return page.locator(selector).evaluate(
        """e => { const { top, height } = e.getBoundingClientRect();
        return top >= -1 && top + Math.min(height, 300) <= innerHeight + 1; }"""
    )


@pytest.mark.parametrize(("tool", "result"), [("region", ".lv-grid"), ("path", ".lv-strip")])
def test_results_come_into_view(touched, tool, result):
    touched.locator(f".lv-tool-{tool}").tap()
    finger = Finger(touched)
    finger.slide((0.4, 0.4), (0.7, 0.6))
    finger.lift()
    touched.locator(result).wait_for()
    touched.wait_for_timeout(2000)
    assert in_view(touched, result)


def test_the_map_leaves_room_to_scroll(touched):
    map_, size = touched.locator(".lv-map").bounding_box(), touched.viewport_size
    assert map_["height"] <= 0.62 * size["height"]


def test_a_phone_on_its_side_leaves_room_too(browser, address):
    with visiting(browser, address, viewport={"width": 740, "height": 360}, **TOUCH) as page:
        assert page.locator(".lv-map").bounding_box()["height"] <= 0.7 * 360


def test_the_map_stays_under_the_finger_when_something_below_it_grows(touched):
    top = touched.locator(".lv-map").bounding_box()["y"]
    touched.mouse.wheel(0, top + 100)  # something before the map in the document stands below it here
    touched.wait_for_timeout(500)
    before = touched.locator(".lv-map").bounding_box()
    assert before["y"] < top
    touched.locator(".lv-near").evaluate("""near => {
        near.hidden = false;
        near.append(Object.assign(document.createElement("div"), { style: "height: 114px" }));
    }""")
    touched.wait_for_timeout(300)
    assert touched.locator(".lv-map").bounding_box() == before
