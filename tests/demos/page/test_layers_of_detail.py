"""Layers of what is typical and of what a place explains, their scales, and what the page says of a map in numbers."""

import base64
import re

import numpy as np
import pytest
import torch
from serving import CHROMIUM, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")

import itertools

from latent_vizae import LatentMap, VizAE, fit
from latent_vizae.demos.page import firsts
from latent_vizae.demos.page.fitted import FittedMap, lasting_id, quality
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.show import in_hand

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def maps(f_d):
    codes, labels = f_d.examples(label=5, count=120)
    return Maps(FittedMap("fives", LatentMap(fit(codes, f_d, labels=labels, steps=60), f_d), codes, labels, ""))


def values_of(layer):
    raw = np.frombuffer(base64.b64decode(layer["values"]), np.uint8).astype(float)
    return (layer["low"] + raw / 255 * (layer["high"] - layer["low"])).reshape(layer["side"], layer["side"])


def test_the_layer_of_what_is_typical_is_that_of_the_map(maps):
    start, layer = maps.start, maps.layer(maps.start.id, "typical")
    shown, step = values_of(layer), layer["side"] - 1
    for row, column in ((0, 0), (step, 3), (20, step)):
        found = start.latent_map.typicality([[2 * column / step - 1, 1 - 2 * row / step]])
        assert abs(shown[row, column] - found.lengths.item()) < 0.01 * (layer["high"] - layer["low"])
    assert f"{found.low:.2f} to {found.high:.2f}" in layer["text"]


def test_the_layer_of_what_a_place_explains_is_near_that_of_the_codes_there(maps):
    m, layer = maps.start.latent_map, maps.layer(maps.start.id, "explained")
    shares = m.explained(m.v.points, 8).clamp(0, 1)
    assert layer["scale"] == "percent"
    assert shares.min() - 0.01 <= layer["low"] <= layer["high"] <= shares.max() + 0.01
    at = ((m.v.points * torch.tensor([1, -1]) + 1) / 2 * (layer["side"] - 1)).round().long()
    smooth = values_of(layer)[at[:, 1], at[:, 0]]
    assert np.corrcoef(smooth, shares.numpy())[0, 1] > 0.5


def test_layers_of_detail_are_offered_where_a_map_has_it(maps, f_d):
    assert {"typical", "explained"} <= set(maps.describe(maps.start.id)["can"]["layers"])
    first = Maps(firsts.digits_map(f_d))
    assert set(first.describe(first.start.id)["can"]["layers"]) == {"support", "stretch", "error"}
    with pytest.raises(ValueError, match="layers are support, stretch, error on this map"):
        first.layer(first.start.id, "typical")


def test_the_quality_of_a_map_is_said_in_percent(f_d):
    v = VizAE.from_pretrained(firsts.DIGITS)
    known = [100 * (1 - fvu) for fvu in (v.report.fvu, v.report.fvu_held_out, v.report.fvu_pca)]
    said = [int(figure) for figure in re.findall(r"(\d+) %", quality(v))]
    assert said == [round(percent) for percent in known]
    codes, _ = f_d.examples(count=5)
    assert "shows 100 % of what the codes differ by; a straight line" in quality(fit(codes, f_d, dim=1))
    assert quality(fit(codes[:1], f_d)).startswith("1 code of 10 numbers. ")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_the_scale_has_round_numbers_and_arrows_wait_for_directions(browser, address):
    with visiting(browser, address, viewport={"width": 390, "height": 844}) as page:
        offered = page.locator("select.lv-layer option").all_inner_texts()
        assert offered == ["images", "none", "support", "stretch", "image error", "arrows: find some"]
        for name in ("support", "stretch", "error"):
            page.locator("select.lv-layer").select_option(name)
            page.locator(".lv-heat").wait_for(timeout=60_000)
            page.locator(".lv-work").wait_for(state="hidden", timeout=60_000)  # it is whole
            ticks = [tick.replace(" %", "") for tick in page.locator(".lv-ticks span").all_inner_texts()]
            assert 2 <= len(ticks) <= 7
            for tick in ticks:
                digits = tick.replace(".", "").strip("0")
                assert len(digits) <= 2, ticks
            assert float(ticks[0]) < float(ticks[-1])
            boxes = [tick.bounding_box() for tick in page.locator(".lv-ticks span").all()]
            assert all(a["x"] + a["width"] <= b["x"] for a, b in itertools.pairwise(boxes))


def test_a_map_that_the_server_brings_has_an_id_that_lasts(maps, f_d):
    v = maps.start.latent_map.v  # with detail, whose buffers have no dimensions
    assert lasting_id(v) == lasting_id(v)
    assert lasting_id(v) != lasting_id(VizAE.from_pretrained(firsts.DIGITS))
    assert in_hand(maps.start.latent_map).id == lasting_id(v)
