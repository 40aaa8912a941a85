"""The widget of notebooks: its Python half, and its JavaScript in a browser with Python answering what it asks."""

import json
import re
import time

import numpy as np
import pytest
import torch
from draws import normal
from serving import CHROMIUM

from latent_vizae import LatentMap, fit

pytest.importorskip("anywidget")
import traitlets

from latent_vizae.widget import MapWidget

EVIL = "<script>window.bad = 1</script><img src=x onerror='window.bad = 1'>"

PAGE = """<!doctype html><div id="there"></div><script type="module">
const heard = {};
window.model = {
  state: await window.python({ get: true }),
  get(name) { return this.state[name]; },
  set(name, value) { this.state[name] = value; this.waiting = [...(this.waiting ?? []), name]; },
  save_changes() {
    for (const name of this.waiting ?? []) window.python({ set: [name, this.state[name]] });
    this.waiting = [];
  },
  on(name, f) { (heard[name] ??= []).push(f); }, off(name, f) { heard[name] = heard[name].filter((g) => g !== f); },
  async send(what) {
    for (const [content, buffers] of await window.python({ send: what })) {
      const views = buffers.map((b) => new DataView(Uint8Array.from(atob(b), (c) => c.charCodeAt(0)).buffer));
      (heard["msg:custom"] ?? []).forEach((f) => f(content, views));
    }
  },
  change(name, value) { this.state[name] = value; (heard["change:" + name] ?? []).forEach((f) => f()); },
};
const script = new Blob([await window.python({ esm: true })], { type: "text/javascript" });
const { default: widget } = await import(URL.createObjectURL(script)), style = document.createElement("style");
style.textContent = await window.python({ css: true });
document.head.append(style);
window.gone = await widget.render({ model: window.model, el: document.getElementById("there") });
</script>"""


@pytest.fixture
def made(linear):
    """A map of 60 codes."""
    return LatentMap(fit(normal(60, 5), seed=0), linear(normal(5, 16) / 12))


SHADOW = (
    PAGE.replace("document.head.append(style)", "root.append(style)")
    .replace('el: document.getElementById("there")', 'el: root.appendChild(document.createElement("div"))')
    .replace(
        "const heard = {};",
        'const heard = {}, root = document.getElementById("there").attachShadow({ mode: "open" });',
    )
)
"""As marimo holds a widget."""


@pytest.fixture(params=[PAGE])
def shown(browser, made, request):
    """The widget of that map in a page, with what goes wrong there."""
    import base64

    w = MapWidget(made, labels=["a", "b", EVIL] * 20, title=EVIL)
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    wrong, sent = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    w.send = lambda content, buffers=None: sent.append(
        (content, [base64.b64encode(b).decode() for b in buffers or []])
    )

    def python(asked):
        if "get" in asked:
            return {"_given": w._given, "_indices": w._indices, "point": list(w.point)}
        if "set" in asked:
            name, value = asked["set"]
            setattr(w, name, tuple(value) if name == "point" else value)
        if "send" in asked:
            sent.clear()
            w._asked(w, asked["send"], [])
            return list(sent)
        return w._esm if "esm" in asked else w._css if "css" in asked else None

    page.expose_function("python", python)
    page.route("http://page.test/**", lambda route: route.fulfill(body=request.param, content_type="text/html"))
    page.goto("http://page.test/")
    page.wait_for_selector("[data-state=ready]", timeout=20_000)
    yield w, page
    page.close()
    assert wrong == []


def spot(page, x, y):
    box = page.locator(".canvas").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def until(page, true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def test_selections_are_codes_with_points_and_images_and_are_observed(made):
    w, seen = MapWidget(made), []
    w.observe(lambda change: seen.append(change["new"]), "indices")
    w.indices = np.array([3, 1])
    assert w.indices == (3, 1)
    assert w._indices == [3, 1]
    assert torch.equal(w.selection.points, made.v.points[[3, 1]])
    assert torch.equal(w.selection.images, made.render(made.v.points[[3, 1]]))
    w._indices = [5]  # as the page does
    w.selection = torch.tensor([7, 8])
    w.selection = []
    assert w.selection.images.shape == (0, 1, 4, 4)
    assert seen == [(3, 1), (5,), (7, 8), ()]
    for wrong in ([60], [-1], [0.5], ["a"], [[1]], 3):
        with pytest.raises(traitlets.TraitError, match="indices are"):
            w.indices = wrong
    for wrong in ((0,), (0, 0, 0), (float("nan"), 0)):
        with pytest.raises(traitlets.TraitError, match="point"):
            w.point = wrong


def test_bad_input_is_answered(made):
    for arguments, options, error in (
        (("x",), {}, TypeError),
        ((made,), {"labels": [1]}, ValueError),
        ((made,), {"title": 1}, TypeError),
        ((made,), {"columns": {"a": [1]}}, ValueError),
    ):
        with pytest.raises(error):
            MapWidget(*arguments, **options)


def test_what_goes_wrong_in_the_decoder_is_said_on_the_page(made):
    w, said = MapWidget(made), []
    w.send = lambda content, buffers=None: said.append(content)
    for asked in ({"id": 1, "name": "pictures", "points": []}, {"id": 2, "name": "run", "points": [[0, 0]]}, {}, None):
        w._asked(w, asked, [])
    assert all("error" in content for content in said)
    assert [content["id"] for content in said] == [1, 2, None, None]
    json.dumps(said)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_shows_the_decoders_pictures_and_tells_what_is_selected(shown, made):
    w, page = shown
    assert page.evaluate("window.bad") is None
    assert page.locator("h1").inner_text() == EVIL
    page.mouse.move(*spot(page, 0.45, 0.55))
    until(page, lambda: page.locator(".lv").get_attribute("data-at").startswith("-0.10"))
    assert w.point == pytest.approx((-0.05 * 2.12, -0.05 * 2.12), abs=0.01)
    pixel = "document.querySelector('.picture').getContext('2d').getImageData({}, {}, 1, 1).data[0]"
    true = made.render([w.point])[0, 0]
    side = page.evaluate("document.querySelector('.picture').width")
    for row in range(4):
        seen = page.evaluate(pixel.format(side / 8, (2 * row + 1) * side / 8)) / 255
        assert seen == pytest.approx(true[row, 0].item(), abs=0.01)  # the decoder's, not blended
    page.get_by_role("button", name="Region").click()
    page.mouse.move(*spot(page, 0.3, 0.3))
    page.mouse.down()
    page.mouse.move(*spot(page, 0.6, 0.6), steps=5)
    page.mouse.up()
    until(page, lambda: len(w.indices) > 0)
    box = [(-0.2 * 2.12, -0.1 * 2.12), (0.1 * 2.12, 0.2 * 2.12)]
    assert len(set(w.indices) ^ set(made.inside(box=box).tolist())) <= 2
    page.get_by_role("button", name="Close").click()
    until(page, lambda: w.indices == ())


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("shown", [SHADOW], indirect=True, ids=["shadow"])
def test_in_a_shadow_root_its_styles_hold_and_the_wheel_zooms_after_a_click(shown):
    _, page = shown
    assert page.locator(".stage").evaluate("e => getComputedStyle(e).borderRadius") == "10px"
    page.locator(".canvas").click()
    before = page.locator(".canvas").screenshot()
    page.mouse.wheel(0, -400)
    until(page, lambda: page.locator(".canvas").screenshot() != before)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_python_moves_the_map(shown):
    _, page = shown
    before = page.locator(".canvas").screenshot()
    page.evaluate("window.model.change('_indices', [1, 2])")
    page.wait_for_timeout(300)
    assert page.locator(".canvas").screenshot() != before
    page.evaluate("window.model.change('point', [0.5, -0.5])")
    until(page, lambda: page.locator(".lv").get_attribute("data-at") == "0.50000,-0.50000")
    page.evaluate("window.gone()")
    assert page.locator(".lv").count() == 0


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_pictures_of_a_slow_decoder_come_one_by_one_and_closing_the_result_stops_them(shown):
    w, page = shown
    quick, asked = w.latent_map.decoder, []

    def slow(codes):
        asked.append(len(codes))
        time.sleep(0.3 * len(codes))
        return quick(codes)

    w.latent_map.decoder = slow
    page.get_by_role("button", name="Region").click()
    page.mouse.move(*spot(page, 0.1, 0.1))
    page.mouse.down()
    page.mouse.move(*spot(page, 0.9, 0.9), steps=3)
    page.mouse.up()
    page.wait_for_function("/ \\d+ of 64, about \\d+ s left/.test(document.querySelector('.count').textContent)")
    page.locator(".clear").click()
    page.wait_for_timeout(1000)  # for what was under way
    before = len(asked)
    page.wait_for_timeout(1000)
    assert len(asked) == before
    assert max(asked) <= 4
    assert re.search(r" \d+ of 64 are here.$", page.locator(".count").inner_text())
    page.get_by_role("button", name="Close").click()
    assert not page.locator(".result").is_visible()
