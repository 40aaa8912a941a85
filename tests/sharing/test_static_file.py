"""A map as one file: opened from disk in a browser, with nothing asked of anybody, and honest about its pictures."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from draws import normal
from opening import SIZES, at, opened
from PIL import Image
from serving import CHROMIUM

from latent_vizae import LatentMap, VizAE, fit
from latent_vizae.sharing.tiles import blend, decode_tiles, tile_points

BUNDLED = Path(__file__).resolve().parents[2] / "demos" / "page" / "start"
EVIL = "</script><script>window.bad = 1</script><img src=x onerror='window.bad = 1'>"

needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def maps(linear):
    """Maps of 1, 2 and 3 dimensions, of 90 codes of words."""
    weight = normal(5, 16) / 12
    return {dim: LatentMap(fit(normal(90, 5), dim=dim, seed=0), linear(weight)) for dim in (1, 2, 3)}


@pytest.fixture(scope="module")
def files(maps, tmp_path_factory):
    """Their files."""
    folder = tmp_path_factory.mktemp("files")
    words = [("left", "right", EVIL)[i % 3] for i in range(90)]
    tiles = {1: 64, 2: 32, 3: 9}
    return {
        dim: m.save(folder / f"{dim}.html", labels=words, title=EVIL, tiles=tiles[dim], progress=False)
        for dim, m in maps.items()
    }


@pytest.fixture(scope="module")
def bundled(f_d, tmp_path_factory):
    """The bundled map, whole."""
    m = LatentMap(VizAE.from_pretrained(BUNDLED), f_d)
    steps = []
    path = tmp_path_factory.mktemp("bundled") / "map.html"
    return m, m.save(path, progress=lambda step, steps_, title: steps.append((step, steps_, title))), steps


def spot(page, x, y):
    """Pixels of a place of the canvas, from 0 to 1."""
    box = page.locator(".canvas").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page, start, end):
    page.mouse.move(*spot(page, *start))
    page.mouse.down()
    page.mouse.move(*spot(page, *end), steps=6)
    page.mouse.up()


def shown(page):
    """The picture that is shown, (H, W) grey from 0 to 1."""
    data = page.evaluate("document.querySelector('.picture').toDataURL()").partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return torch.from_numpy(np.array(picture.convert("L"))).float() / 255


def said_difference(file):
    return float(re.search(r"differ from the decoder's by ([\d.]+)", file.read_text()).group(1))


def test_the_bundled_map_is_below_a_megabyte_and_its_pictures_near_the_decoders(bundled):
    m, file, steps = bundled
    assert file.stat().st_size < 1_000_000
    said = said_difference(file)
    assert said <= 0.03
    data = json.loads(re.search(r'id="latent-map">(.*?)</script>', file.read_text()).group(1))["transport"]
    sheet = Image.open(io.BytesIO(base64.b64decode(data["sheet"])))
    tiles = np.asarray(sheet.convert("L")).reshape(64, 28, 64, 28).swapaxes(1, 2).reshape(-1, 28, 28, 1)
    places = torch.rand(200, 2, generator=torch.Generator().manual_seed(5)) * 2 - 1  # others than the file's own
    blended = blend(torch.from_numpy(tiles / 255).float(), places, 64)[..., 0]
    assert (blended - m.render(places)[:, 0]).square().mean().sqrt().item() == pytest.approx(said, abs=0.004)
    assert steps[-1][:2] == (4096, 4096)
    assert re.fullmatch(r"decoding 4,096 tiles, about \d+ (s|min)", steps[0][2])


@needs_a_browser
def test_the_picture_under_the_pointer_is_the_decoders(bundled, browser):
    m, file, _ = bundled
    far = []
    with opened(browser, file) as page:
        for x, y in ((0.2, 0.3), (0.43, 0.71), (0.5, 0.5), (0.77, 0.35)):
            before = at(page)
            page.mouse.move(*spot(page, x, y))
            page.wait_for_function("before => document.querySelector('.lv').dataset.at !== before", arg=before)
            true = m.render([at(page)])[0, 0]
            seen = torch.nn.functional.adaptive_avg_pool2d(shown(page)[None], true.shape)[0]
            far.append((seen - true).square().mean().item())
    assert np.sqrt(np.mean(far)) < 0.05


@needs_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_file_opens_from_disk_and_nothing_runs_out_of_the_picture(bundled, browser, size, scheme):
    from axe_playwright_python.sync_playwright import Axe

    _, file, _ = bundled
    with opened(browser, file, size, scheme, bypass_csp=True) as page:
        width, height = page.evaluate("[document.documentElement.scrollWidth, innerHeight]")
        assert width == SIZES[size][0]
        for part in (".canvas", ".picture", ".tools"):
            box = page.locator(part).bounding_box()
            assert box["y"] + box["height"] <= height, part
        found = Axe().run(page).response["violations"]
        assert [problem["id"] for problem in found] == []


@needs_a_browser
def test_a_region_gives_the_numbers_of_the_codes_in_it(bundled, browser):
    m, file, _ = bundled
    with opened(browser, file) as page:
        page.get_by_role("button", name="Region").click()
        drag(page, (0.3, 0.6), (0.5, 0.3))
        text = page.locator(".indices").input_value()
        box = page.evaluate("document.querySelector('.canvas').clientWidth")
        assert box > 300
        corner = [(0.3 - 0.5) * 2.12, (0.5 - 0.6) * 2.12], [(0.5 - 0.5) * 2.12, (0.5 - 0.3) * 2.12]
        inside = set(m.inside(box=corner).tolist())
        assert len(inside ^ set(json.loads(text))) <= 3  # on the edge: pixels are whole
        assert 20 < len(inside) < 1000
        assert page.get_by_text(f"{len(json.loads(text))} of 2,000 codes").is_visible()
        page.locator(".sheet").click(position={"x": 5, "y": 5})
        assert at(page)[0] < -0.3
        with page.expect_download() as kept:
            page.get_by_role("button", name="Save").click()
        assert kept.value.path().read_text() == text
        page.locator(".shapes").select_option("lasso")
        page.mouse.move(*spot(page, 0.2, 0.2))
        page.mouse.down()
        for place in ((0.8, 0.2), (0.5, 0.8)):
            page.mouse.move(*spot(page, *place), steps=9)
        page.mouse.up()
        corners = [((x - 0.5) * 2.12, (0.5 - y) * 2.12) for x, y in ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8))]
        found = set(json.loads(page.locator(".indices").input_value()))
        assert len(found ^ set(m.inside(polygon=corners).tolist())) < 0.03 * len(found)


@needs_a_browser
def test_a_path_plays_the_pictures_between_its_ends(bundled, browser):
    _, file, _ = bundled
    with opened(browser, file, reduced_motion="reduce") as page:
        page.get_by_role("button", name="Path", exact=True).click()
        drag(page, (0.2, 0.5), (0.8, 0.5))
        assert (
            page.locator(".count").inner_text().startswith("24 pictures on the straight line from (\N{MINUS SIGN}0.6")
        )
        assert page.locator(".play").inner_text() == "Play"  # whoever asked for calm gets it
        before = at(page)
        assert before[0] == pytest.approx(-0.3 * 2.12, abs=0.02)
        page.locator(".play").click()
        page.wait_for_function(
            "x => Number(document.querySelector('.lv').dataset.at.split(',')[0]) > x + 0.1", arg=before[0]
        )
        page.locator(".play").click()
        assert at(page) != before


@needs_a_browser
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_labels_names_and_titles_are_text_on_maps_of_any_dimension(files, maps, browser, dim):
    with opened(browser, files[dim]) as page:
        assert page.title() == EVIL
        assert page.locator("h1").inner_text() == EVIL
        assert sorted(page.locator(".legend button").all_inner_texts()) == sorted([EVIL, "left", "right"])
        assert page.evaluate("window.bad") is None
        assert len(page.query_selector_all("script")) == 2
        page.mouse.move(*spot(page, 0.4, 0.45))
        page.wait_for_timeout(200)
        seen = torch.nn.functional.adaptive_avg_pool2d(shown(page)[None], (4, 4))[0]
        far = (seen - maps[dim].render([at(page)])[0, 0]).square().mean().sqrt()
        assert far < 2 * said_difference(files[dim]) + 0.02
        page.get_by_role("button", name="Region").click()
        drag(page, (0.04, 0.04), (0.96, 0.96))
        assert len(json.loads(page.locator(".indices").input_value())) >= 85
        page.get_by_role("button", name="left").click()  # a label that is hidden is in no region
        drag(page, (0.04, 0.04), (0.96, 0.96))
        assert all(number % 3 != 0 for number in json.loads(page.locator(".indices").input_value()))


@needs_a_browser
def test_columns_colour_the_codes_of_a_file(maps, browser, tmp_path):
    columns = {"age": [float(i) if i % 9 else float("nan") for i in range(90)], EVIL: ["x", EVIL] * 45}
    file = maps[2].save(tmp_path / "map.html", tiles=4, progress=False, columns=columns)
    with opened(browser, file) as page:
        assert page.locator(".tints option").all_inner_texts() == ["nothing", "age", EVIL]
        before = page.evaluate("document.querySelector('.canvas').toDataURL()")
        page.locator(".tints").select_option("0")
        assert page.locator(".ramp").inner_text().split("\n")[0].startswith("1")
        assert page.locator(".missing").inner_text() == "10 without a value, in grey"
        page.wait_for_function("before => document.querySelector('.canvas').toDataURL() !== before", arg=before)
        page.locator(".tints").select_option("1")
        page.get_by_role("button", name="x", exact=True).click()  # the even codes are hidden
        assert not page.locator(".ramp").is_visible()
        page.get_by_role("button", name="Region").click()
        drag(page, (0.02, 0.02), (0.98, 0.98))
        found = json.loads(page.locator(".indices").input_value())
        assert len(found) > 40
        assert all(number % 2 for number in found)
        assert page.evaluate("window.bad") is None


def test_columns_that_do_not_fit_are_refused_and_nothing_is_written(maps, tmp_path):
    for columns, error in (({"a": [1.0]}, ValueError), ({"a": [[1]] * 90}, TypeError), (tmp_path / "no.csv", OSError)):
        with pytest.raises(error):
            maps[2].save(tmp_path / "map.html", tiles=4, progress=False, columns=columns)
    with pytest.raises(ValueError, match=r"columns: only \.html"):
        maps[2].save(tmp_path / "map.png", columns={"a": range(90)})
    assert list(tmp_path.iterdir()) == []


@needs_a_browser
def test_a_map_of_three_dimensions_turns(files, browser):
    with opened(browser, files[3]) as page:
        canvas = "document.querySelector('.canvas').toDataURL()"
        for tool in ("Look", "Move"):
            page.get_by_role("button", name=tool).click()
            page.mouse.move(*spot(page, 0.6, 0.5))
            page.wait_for_timeout(300)
            looked, before = at(page), page.evaluate(canvas)
            drag(page, (0.6, 0.5), (0.8, 0.6))
            page.wait_for_function(f"before => {canvas} !== before", arg=before)
            assert at(page) == looked


@needs_a_browser
def test_keys_do_what_the_mouse_does(files, browser):
    with opened(browser, files[2]) as page:
        page.locator(".canvas").focus()
        start = at(page)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowUp")
        assert at(page) == pytest.approx(
            [min(1, start[0] + 0.05), min(1, start[1] + 0.01)], abs=1e-4
        )  # as on the page
        page.get_by_role("button", name="Region").press("Enter")
        page.locator(".canvas").focus()
        for key in ("Space", *["ArrowLeft"] * 8, *["ArrowDown"] * 8, "Enter"):
            page.keyboard.press(key)
        assert "codes lie in this region" in page.locator(".count").inner_text()
        page.keyboard.press("Escape")
        assert not page.locator(".result").is_visible()


@needs_a_browser
def test_fingers_look_and_pinch(files, browser):
    with opened(browser, files[2], "phone") as page:
        page.touchscreen.tap(*spot(page, 0.7, 0.4))
        assert at(page) == pytest.approx([0.2 * 2.12, 0.1 * 2.12], abs=0.02)
        pinch = """async () => {
            const c = document.querySelector('.canvas'), r = c.getBoundingClientRect();
            const send = (kind, id, x) => c.dispatchEvent(new PointerEvent(kind, { pointerId: id, pointerType: 'touch',
                clientX: r.left + x * r.width, clientY: r.top + 0.5 * r.height, bubbles: true }));
            c.setPointerCapture = () => {};
            send('pointerdown', 5, .4); send('pointerdown', 6, .6);
            for (let i = 1; i < 9; i++) { send('pointermove', 5, .4 - i * .04); send('pointermove', 6, .6 + i * .04); }
            send('pointerup', 5, .1); send('pointerup', 6, .9);
        }"""
        page.evaluate(pinch)
        page.touchscreen.tap(*spot(page, 0.9, 0.5))
        assert 0.1 < at(page)[0] < 0.4  # four times as near: the edge is no longer in view


def test_tiles_lie_where_they_are_blended_from(maps):
    for dim, m in maps.items():
        side = {1: 33, 2: 9, 3: 5}[dim]
        points = tile_points(dim, side)
        tiles = m.render(points).permute(0, 2, 3, 1)
        assert torch.allclose(blend(tiles, points, side), tiles, atol=1e-5)
        edges = torch.eye(dim).repeat(2, 1) * torch.tensor([1.0, -1.0]).repeat_interleave(dim)[:, None]
        assert torch.allclose(blend(tiles, edges, side), m.render(edges).permute(0, 2, 3, 1), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 20, 200), (4, 33, 21), (1, 1, 1)])
def test_images_of_any_size_and_colour_become_tiles(shape):
    m = LatentMap(fit(normal(30, 4), seed=0), lambda z: z[:, :1, None, None].sigmoid().expand(len(z), *shape))
    tiles = decode_tiles(m, 6, progress=False)
    assert max(tiles.width, tiles.height) == min(64, max(shape))
    with Image.open(io.BytesIO(tiles.sheet)) as sheet:
        assert sheet.size == (6 * tiles.width, 6 * tiles.height)
    assert tiles.difference < 0.1


def test_a_slow_decoder_is_refused_before_it_is_asked_much_and_nothing_is_written(tmp_path):
    import time

    asked = []

    def slow(z):
        asked.append(len(z))
        time.sleep(0.3 * len(z))
        return z.sigmoid().reshape(-1, 1, 2, 2)

    m = LatentMap(fit(normal(20, 4), seed=0), slow)
    with pytest.raises(
        ValueError, match=r"0\.3\d* s an image, so 4,096 tiles take about 2\d min.*tiles=4\d.*most_seconds"
    ):
        m.save(tmp_path / "map.html")
    assert sum(asked) < 8
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_answered_and_nothing_is_written(maps, tmp_path):
    m = maps[2]
    for name, options, error, message in (
        ("map.gif", {}, ValueError, r"saved as .html, .png, .svg; asked for 'map.gif'"),
        ("no/such/map.html", {}, ValueError, "Cannot write"),
        ("map.html", {"labels": [1, 2]}, ValueError, "90 codes"),
        ("map.html", {"labels": ["a"] * 91}, ValueError, r"90 codes came with labels of shape \(91,\)"),
        ("map.html", {"labels": [0.5] * 90}, ValueError, "whole numbers"),
        ("map.html", {"names": "abc"}, TypeError, "names are"),
        ("map.html", {"title": 3}, TypeError, "title is text"),
        ("map.html", {"tiles": 1}, ValueError, "tiles"),
        ("map.html", {"quality": 101}, ValueError, "quality"),
        ("map.html", {"size": 0}, ValueError, "size"),
        ("map.png", {"tiles": 8}, ValueError, "only .html has these"),
        ("map.png", {"labels": [1, 2]}, ValueError, "90 codes"),
    ):
        with pytest.raises(error, match=message):
            m.save(tmp_path / name, progress=False, **options)
    big = LatentMap(m.v, lambda z: z[:, :1, None, None].sigmoid().expand(-1, 1, 64, 64))
    with pytest.raises(ValueError, match="do not fit into a WebP picture"):
        big.save(tmp_path / "map.html", tiles=300, progress=False)
    odd = LatentMap(m.v, lambda z: z[:, :1, None, None].sigmoid().expand(-1, 7, 4, 4))
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        odd.save(tmp_path / "map.html", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_are_saved_with_words_as_labels(maps, tmp_path, ending):
    for dim, m in maps.items():
        words = {"labels": ["$x", "_b", "<script>"] * 30, "names": {"$x": r"$\frac"}, "title": r"50 $ and \alpha $"}
        file = m.save(tmp_path / f"{dim}.{ending}", **words)
        assert "<script>" not in file.read_text(errors="ignore")


@pytest.mark.wheel
def test_of_a_million_codes_the_file_says_what_it_holds(tmp_path, linear):
    m = LatentMap(fit(normal(100, 5), seed=0), linear(normal(5, 16) / 20))
    m.v.points = (torch.rand(300_000, 2) * 2 - 1).float()
    text = m.save(tmp_path / "map.html", tiles=4, progress=False).read_text()
    assert "200,000 of 300,000 codes are in this file, drawn evenly." in text
    assert len(text) < 3_500_000


@needs_a_browser
def test_keys_zoom_and_show_all(files, browser):
    with opened(browser, files[2]) as page:
        canvas = page.locator("canvas.canvas")
        canvas.focus()
        seen = [canvas.screenshot()]
        for key in ("+", "-", "+", "0"):
            page.keyboard.press(key)
            page.wait_for_timeout(300)
            seen.append(canvas.screenshot())
        assert seen[1] != seen[0]
        assert seen[3] != seen[4]
        assert seen[4] == seen[0]
