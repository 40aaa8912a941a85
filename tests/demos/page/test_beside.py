"""Maps side by side: one pointer where they are of the same codes, and none where they are not."""

import sys

import numpy as np
import pytest
import torch
from draws import normal
from serving import CHROMIUM, shared_page

from latent_vizae import LatentMap, fit, show

pytest.importorskip("gradio")
from latent_vizae.demos.page.beside import have_same_codes, maps_given

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SCRIPT = """
import argparse, sys
from latent_vizae import LatentMap, fit, load_decoder, show
parser = argparse.ArgumentParser(); parser.add_argument("--port", type=int)
f_d = load_decoder("mnist")
codes, labels = f_d.examples(count=120, seed=0)
other, _ = f_d.examples(count=120, seed=7)
maps = [LatentMap(fit(codes, f_d, labels=labels, seed=0, steps=60), f_d)]
others = codes if sys.argv[1] == "same" else other
maps += [LatentMap(fit(others, dim=dim, labels=labels, seed=1, steps=60), f_d) for dim in (1, 3)]
show(maps, title=["<b>plane</b>", "line", "cube"], browser=False, port=parser.parse_args(sys.argv[2:]).port).wait()
"""


def test_the_same_codes_are_told_from_others(f_d):
    (codes, labels), (others, their) = f_d.examples(count=300, seed=0), f_d.examples(count=300, seed=5)
    codes, others = codes[labels.argsort()], others[their.argsort()]  # alike in order, not the same
    m, same, line, other = (
        LatentMap(fit(given, dim=dim, seed=seed, steps=120), f_d)
        for given, dim, seed in ((codes, 2, 0), (codes, 2, 1), (codes, 1, 0), (others, 2, 0))
    )
    assert have_same_codes(m, m)
    assert have_same_codes(m, same)
    assert have_same_codes(m, line)
    assert not have_same_codes(m, other)
    assert not have_same_codes(m, LatentMap(fit(codes[:299], steps=5), f_d))
    assert not have_same_codes(m, LatentMap(fit(normal(300, 4), steps=5), lambda z: z.sigmoid().reshape(-1, 1, 2, 2)))


def test_what_is_no_list_of_maps_is_said(m):
    for given, error, message in (
        (5, TypeError, "a LatentMap or a list of them, got int"),
        ([m, m.v], TypeError, "got LatentMap, VizAE"),
        ([], ValueError, "1 to 4 maps"),
        ([m] * 5, ValueError, "got 5"),
    ):
        with pytest.raises(error, match=message):
            maps_given(given)
    with pytest.raises(ValueError, match="2 maps came with 1"):
        show([m, m], title=["one"], browser=False)
    with pytest.raises(ValueError, match="20 codes"):
        show([m, m], labels=[1], browser=False)


@pytest.fixture(scope="module")
def points(f_d):
    """Of the script's plane, and of its line of the same codes."""
    codes, labels = f_d.examples(count=120, seed=0)
    return [fit(codes, f_d, labels=labels, steps=60).points, fit(codes, dim=1, labels=labels, seed=1, steps=60).points]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
@pytest.mark.parametrize(("kind", "size"), [("same", (1280, 900)), ("same", (390, 844)), ("other", (768, 1024))])
def test_one_pointer_shows_a_code_on_each_map(browser, points, kind, size):
    first, line = points
    address = shared_page(sys.executable, "-c", SCRIPT, kind)
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('[data-state=ready]').length === 3", timeout=60_000)
    assert page.locator(".lv-title").all_inner_texts() == ["<b>plane</b>", "line", "cube"]
    canvases = page.locator(".lv-map canvas[role=application]")
    canvases.nth(0).scroll_into_view_if_needed()
    box = canvases.nth(0).bounding_box()
    scale = min(box["width"], box["height"]) / 2.12
    row = int(((first - torch.tensor([0.2, 0.1])) ** 2).sum(1).argmin())
    x, y = first[row].tolist()
    page.mouse.move(box["x"] + box["width"] / 2 + x * scale, box["y"] + box["height"] / 2 - y * scale, steps=3)
    page.wait_for_timeout(1500)
    at = page.locator("[data-state=ready]").nth(1).get_attribute("data-at")
    assert np.isclose(float(at), line[row].item(), atol=1e-4) == (kind == "same")
    said = page.locator(".lv-head").first.inner_text()
    assert ("same codes" in said) == (kind == "same")
    if size[0] > 1000:
        boxes = [canvases.nth(i).bounding_box() for i in range(3)]
        assert boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]  # beside each other
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert wrong == []
    page.close()
