"""A map in a notebook: the page in a frame, bounded, made once; a picture of a slow decoder's."""

import html
import re
import time

import pytest
import torch
from draws import normal
from serving import CHROMIUM

from latent_vizae import LatentMap, fit


def test_a_map_shows_its_page_in_a_frame_and_makes_it_once(m, f_d):
    asked = []

    def counted(z):
        asked.append(len(z))
        return f_d(z)

    shown = LatentMap(m.v, counted)
    frame = shown._repr_html_()
    assert frame.startswith("<iframe srcdoc=")
    assert 50_000 < len(frame) < 700_000
    assert sum(asked) < 1600
    before = len(asked)
    assert shown._repr_html_() is frame
    assert len(asked) == before


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_frame_works_in_a_sandbox_and_runs_nothing_of_its_labels(linear, browser):
    m = LatentMap(fit(normal(40, 5), seed=0), linear(normal(5, 16) / 12))
    m.v.source = '"><script>window.top.bad = 1</script>'
    page = browser.new_page(viewport={"width": 900, "height": 800})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content(f"<body>{m._repr_html_()}</body>")
    frame = page.frame_locator("iframe")
    frame.locator("[data-state=ready]").wait_for(timeout=20_000)
    frame.get_by_role("button", name="Region").click()
    assert 'decoder "><script>' in frame.locator(".text").inner_text()
    assert page.evaluate("window.bad") is None
    assert wrong == []
    page.close()


def test_a_slow_decoder_shows_the_points_and_says_why():
    def slow(z):
        time.sleep(0.3 * len(z))
        return z.sigmoid().reshape(-1, 1, 2, 2)

    shown = LatentMap(fit(normal(20, 4), seed=0), slow)._repr_html_()
    assert shown.startswith("<img alt=")
    assert re.search(r"0\.3\d* s an image, so 1,024 tiles take about", html.unescape(shown))


def test_a_map_of_no_pictures_shows_its_one_line(linear):
    odd = LatentMap(fit(normal(20, 4), seed=0), lambda z: z[:, :1, None, None].sigmoid().expand(-1, 7, 4, 4))
    assert "1, 3 or 4 channels" in odd._repr_html_()
    odd.v.points = torch.zeros(0, 2)
    assert repr(odd).startswith("LatentMap(VizAE(")
