"""The map in images under the points: tiles that grow from coarse to fine, the first place, and the whole screen."""

import base64
import io
import time

import numpy as np
import pytest
import torch
from PIL import Image
from serving import CHROMIUM, READY, STATS, changed, drag, host_page, hover, pixels, spot, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from latent_vizae import LatentMap, fit
from latent_vizae.demos.page import firsts
from latent_vizae.demos.page.first_look import start_of
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.ground import Ground
from latent_vizae.demos.page.maps import Maps

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def maps(f_d):
    return Maps(firsts.digits_map(f_d))


def pictures_of(reply):
    """The pictures of an answer, by cell."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(reply["sheet"]))).convert("RGB"))
    w, h = reply["width"], reply["height"]
    return {
        tuple(cell): sheet[i // reply["columns"] * h :, i % reply["columns"] * w :][:h, :w]
        for i, cell in enumerate(reply["cells"])
    }


def test_a_cell_has_the_picture_of_its_middle_and_the_top_row_is_the_top_of_the_map(maps):
    asked = [[0, 0], [3, 0], [1, 2]]
    found = pictures_of(Ground(maps).tiles(maps.start.id, 2, asked))
    wanted = maps.start.latent_map.render([[-0.75, 0.75], [0.75, 0.75], [-0.25, -0.25]])
    assert list(found) == [(0, 0), (3, 0), (1, 2)]
    for picture, image in zip(found.values(), wanted, strict=True):
        assert np.abs(picture.mean(2) / 255 - image[0].numpy()).mean() < 0.02  # what WebP loses
    assert np.abs(found[0, 0].astype(int) - found[1, 2]).mean() > 10


class Counting:
    """A decoder of given seconds an image, which counts them."""

    latent_shape = (10,)

    def __init__(self, f_d, seconds):
        self.f_d, self.seconds, self.count = f_d, seconds, 0

    def __call__(self, codes):
        self.count += len(codes)
        time.sleep(self.seconds * len(codes))
        return self.f_d(codes)


def test_a_slow_decoder_answers_a_cell_at_a_time_and_none_is_decoded_twice(maps, f_d):
    start, slow = maps.start, Counting(f_d, 0.1)
    m = LatentMap(start.latent_map.v, slow)
    m.render([[0.0, 0.0]])  # the first time it looks whether images repeat
    ground, slow.count = Ground(Maps(FittedMap("slow", m, start.codes, None, "", id="slow"))), 0
    cells = [[column, row] for row in range(2) for column in range(2)]
    first = ground.tiles("slow", 1, cells)
    assert first["cells"] == [(0, 0)]
    assert slow.count == 1
    for _ in range(3):
        last = ground.tiles("slow", 1, cells)
    assert (sorted(last["cells"]), slow.count) == ([(0, 0), (0, 1), (1, 0), (1, 1)], 4)
    ground.tiles("slow", 1, cells)
    assert slow.count == 4


def test_detail_has_pictures_of_its_own(f_d):
    codes, _ = f_d.examples(label=5, count=120)
    start = FittedMap("fives", LatentMap(fit(codes, f_d, steps=60), f_d), codes, None, "")
    ground = Ground(Maps(start))
    plain, full, other = (pictures_of(ground.tiles(start.id, 1, [[0, 0]], d))[0, 0] for d in ([0, 0], [1, 0], [1, 3]))
    assert np.abs(plain.astype(int) - full).max() > 30
    assert np.abs(other.astype(int) - full).max() > 30


@pytest.mark.parametrize(
    ("level", "cells"),
    [
        (-1, [[0, 0]]), (14, [[0, 0]]), ("2", [[0, 0]]), (2, []), (2, "x"), (2, [[4, 0]]), (2, [[0, -1]]),
        (2, [[0]]), (2, [[0, 0.5]]), (2, [[0, None]]), (2, [[0, 0]] * 65), (2, {}),
    ],
)  # fmt: skip
def test_what_is_no_cell_is_refused(maps, level, cells):
    with pytest.raises(ValueError, match=r"[Cc]ells? |level is|column is|row is"):
        Ground(maps).tiles(maps.start.id, level, cells)


def test_the_first_place_is_one_of_a_code_that_the_map_shows_well(maps, f_d):
    start, v = maps.start, maps.start.latent_map.v
    at = torch.tensor(start_of(start))
    row = (v.points - at).norm(dim=1).argmin()
    assert (v.points[row] - at).norm() < 1e-3
    left_out = (start.codes - v.decode(v.points)).norm(dim=1)
    assert left_out[row] < left_out.median()
    assert start.latent_map.support(at[None]) > 0.5
    for count in (1, 2, 5):
        few = FittedMap("", LatentMap(fit(start.codes[:count], f_d), f_d), start.codes[:count], None, "")
        assert len(start_of(few)) == 2


@pytest.fixture
def filled(browser, address):
    """A visitor before a map whose pictures are all there."""
    with visiting(browser, address) as page:
        settled(page)
        yield page


def settled(page):
    before, now = None, pixels(page, ".lv-map canvas")
    while before is None or before.shape != now.shape or np.abs(now - before).max() > 0:
        page.wait_for_timeout(400)
        before, now = now, pixels(page, ".lv-map canvas")
    return now


def middle(shown):
    """A part of the map in its middle, without its points' colours: how grey or black it is."""
    height, width = shown.shape[:2]
    return shown[height // 3 : height // 2, width // 3 : width // 2, :3].mean()


@needs_browser
def test_the_first_look_is_a_map_in_images_and_none_are_there_without_the_layer(filled):
    assert middle(pixels(filled, ".lv-map canvas")) < 100  # digits are white on black
    assert filled.locator(".lv-support").get_attribute("data-level") == "in"
    filled.locator("select.lv-layer").select_option("none")
    assert middle(settled(filled)) > 180


@needs_browser
def test_images_get_finer_as_one_zooms(filled):
    finest = f"Math.max(...[...{STATS}.ground().keys()].map(parseFloat))"
    before = filled.evaluate(finest)
    for _ in range(4):
        filled.locator(".lv-zoom-in").click()
        filled.wait_for_timeout(200)
    settled(filled)
    assert filled.evaluate(finest) >= before + 2


@needs_browser
@pytest.mark.parametrize("options", [
    {"viewport": {"width": 1280, "height": 900}},
    {"viewport": {"width": 768, "height": 1024}, "has_touch": True, "is_mobile": True},
    {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
])  # fmt: skip
def test_the_map_fills_the_screen_and_leaves_it_again(browser, address, options):
    with visiting(browser, address, **options) as page:
        before = page.locator(".lv-map").bounding_box()
        page.locator(".lv-full").click()
        page.wait_for_function("document.querySelector('.lv-full').ariaPressed === 'true'")
        page.wait_for_timeout(300)
        full, whole = page.locator(".lv-map").bounding_box(), page.locator(READY).first.bounding_box()
        assert full["width"] * full["height"] > before["width"] * before["height"]
        assert whole["x"] <= 0
        assert whole["width"] >= options["viewport"]["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"]
        page.locator(".lv-full").click()
        page.wait_for_function("document.querySelector('.lv-full').ariaPressed === 'false'")
        page.wait_for_timeout(300)
        after = page.locator(".lv-map").bounding_box()
        assert (after["width"], after["height"]) == (before["width"], before["height"])


@needs_browser
def test_a_slow_decoder_s_images_come_meanwhile_and_the_pointer_s_picture_first(browser):
    with visiting(browser, host_page()) as page:  # half a second an image
        before = pixels(page, ".lv-map canvas")
        changed(page, ".lv-map canvas", before, 0.02)
        begun = time.monotonic()
        hover(page, 0.62, 0.55)
        assert time.monotonic() - begun < 4
        page.locator(".lv-tool-move").click()
        drag(page, (0.4, 0.4), (0.45, 0.45))
        page.mouse.move(*spot(page, 0.3, 0.3))
        changed(page, ".lv-map canvas", settle_briefly(page), 0.01)


def settle_briefly(page):
    page.wait_for_timeout(200)
    return pixels(page, ".lv-map canvas")
