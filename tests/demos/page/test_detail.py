"""Detail on the page: what the map leaves out is added, varied, and drawn many times at one place."""

import json

import numpy as np
import pytest
import torch
from serving import CHROMIUM, awaited, changed, fit_on_page, hover, pixels, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from latent_vizae import LatentMap, fit
from latent_vizae.demos.page import jobs
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.live import answer
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import Steering

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def fitted(f_d):
    codes, labels = f_d.examples(label=5, count=120)
    return FittedMap("fives", LatentMap(fit(codes, f_d, labels=labels, steps=60), f_d), codes, labels, "")


@pytest.fixture(scope="module")
def maps(fitted):
    return Maps(fitted)


def test_a_map_says_how_much_detail_it_has_or_that_it_has_none(maps, fitted, f_d):
    assert maps.describe(fitted.id)["detail"] == fitted.latent_map.v.detail
    few = FittedMap("", LatentMap(fit(fitted.codes[:5], f_d), f_d), fitted.codes[:5], None, "")
    assert Maps(few).describe(few.id)["detail"] is None


def test_pictures_regions_and_paths_have_the_detail_that_was_asked_for(maps, fitted):
    m, where = fitted.latent_map, [[0.1, 0.2]]
    sheet, full, other = (maps.images_at(fitted.id, where, None, asked)[2] for asked in ([0, 0], [1, 0], [1, 3]))
    assert torch.equal(full, m.render(where, detail=1.0))
    assert torch.equal(other, m.render(where, detail=1.0, variant=3))
    assert len({image.sum().item() for image in (sheet, full, other)}) == 3
    corners = [[0, 0], [0.5, 0], [0, 0.5]]
    for ask, what in (
        (maps.grid_plan, ({"box": corners[1:]}, 3, 3)), (maps.grid_plan, ({"polygon": corners}, 2, 2)),
        (maps.path_plan, (corners, 4)),
    ):  # fmt: skip
        with_detail, without = (ask(fitted.id, *what, None, [amount, 0]).codes for amount in (1, 0))
        assert not torch.equal(with_detail, without)
    pin = maps.pin(fitted.id, fitted.codes[:1])
    carried = maps.images_at(fitted.id, where, pin.id, [1, 0])[2]  # a sample's own details take its place
    assert torch.equal(carried, m.render(where, fitted.codes[:1]))


def test_over_the_socket_too(maps, fitted):
    question = json.dumps([fitted.id, [0.1, 0.2], None, [1, 2]])
    message = awaited(answer(Steering(maps), Queues(), question))
    size = int.from_bytes(message[:4], "little")
    expected = (fitted.latent_map.render([[0.1, 0.2]], detail=1.0, variant=2) * 255).round().byte().numpy()
    assert message[4 + size :] == expected.tobytes()


@pytest.mark.parametrize("detail", [1, "x", [], [1], [2, 0], [-0.1, 0], [1, -1], [1, 0.5], [True, 0], [1, 1e99], {}])
def test_detail_that_makes_no_sense_is_refused(maps, fitted, detail):
    with pytest.raises(ValueError, match=r"Detail is|variant"):
        maps.images_at(fitted.id, [[0, 0]], None, detail)


def test_sixteen_draws_of_one_place_differ_and_lie_there(maps, fitted):
    samples = maps.draws_plan(fitted.id, [0.1, 0.2], 4).samples()
    assert len(samples) == 16
    assert samples.rows == 4
    assert (fitted.latent_map.v.encode(samples.codes) - torch.tensor([0.1, 0.2])).norm(
        dim=1
    ).median() < 0.5  # 0.02 to 0.32
    assert samples.images.std(0).max() > 0.05
    assert torch.equal(samples.codes, maps.draws_plan(fitted.id, [0.1, 0.2], 4).codes)
    assert maps.draws(fitted.id, [0.1, 0.2])["cols"] == 4
    for point, seed in (([0], 0), ("x", 0), ([0, 0], -1), ([0, 0], "a")):
        with pytest.raises(ValueError, match=r"finite|seed"):
            maps.draws_plan(fitted.id, point, seed)


def test_what_was_drawn_is_kept(maps, fitted, tmp_path):
    pins = [{"point": [0.1, 0.2], "drawn": [[0.1, 0.2], 4, 7]}, {"point": [0.1, 0.2], "detail": [1, 3]}]
    shown = {"draws": [[0.1, 0.2], 4], "pins": pins}
    files = jobs.pack(fitted, {"id": fitted.id, "shown": shown}, maps, tmp_path)
    names = [file.rsplit("/", 1)[1] for file in files]
    assert names == ["v.zip", "draws.png", "draws-codes.safetensors", "pins.png", "pins-codes.safetensors"]
    kept = maps.pins_plan(fitted.id, pins).codes
    assert torch.equal(kept[0], maps.draws_plan(fitted.id, [0.1, 0.2], 4).codes[7])
    assert torch.equal(kept[1:], fitted.latent_map.v.decode([[0.1, 0.2]], detail=1.0, variant=3))


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_the_slider_the_die_and_more_like_this(browser, address):
    with visiting(browser, address) as page:
        assert not page.locator(".lv-detail-field").is_visible()  # the first map has none
        fit_on_page(page, 120, 2)
        page.locator(".lv-detail-field").wait_for()
        hover(page, 0.5, 0.5)
        before = pixels(page, ".lv-preview canvas")
        page.locator(".lv-detail").fill("1")
        full = changed(page, ".lv-preview canvas", before, share=0.02)
        assert page.locator(".lv-detail-value").inner_text() == "100 %"
        page.locator(".lv-die").click()
        changed(page, ".lv-preview canvas", full, share=0.02)
        page.locator(".lv-more").click()
        page.wait_for_selector(".lv-grid canvas", state="visible")
        page.wait_for_timeout(300)
        first = pixels(page, ".lv-grid canvas")
        assert np.ptp(first[..., 0]) > 100
        assert not page.locator(".lv-cells-field").is_visible()  # sixteen draws are no grid of a size
        page.locator(".lv-more").click()  # others
        changed(page, ".lv-grid canvas", first, share=0.02)
        page.locator(".lv-grid canvas").click(position={"x": 20, "y": 20})
        page.locator(".lv-pin").wait_for()
        page.locator(".lv-clear").click()
        page.wait_for_selector(".lv-grid canvas", state="hidden")
