"""Directions on the page: what the server answers, and the sliders, arrows and walks in a real browser."""

import base64
import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from serving import CHROMIUM, READY, awaited, changed, drag, fit_on_page, pixels, spot, visiting

from latent_vizae import Directions, LatentMap, fit
from latent_vizae.directions.classifier import learn_classifier

pytest.importorskip("gradio")
pytest.importorskip("starlette")

from latent_vizae.demos.page import hub, jobs
from latent_vizae.demos.page.finding import find_directions, load_directions
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.live import answer
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pictures import encoded_images
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import FoundDirections, Steering

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


def nothing(*_):
    pass


# What the server answers.


@pytest.fixture(scope="module")
def few(f_d):
    """A map of 60 codes of the digits 1 and 8."""
    codes, labels = (
        torch.cat(parts) for parts in zip(*(f_d.examples(label=n, count=30) for n in (1, 8)), strict=True)
    )
    m = LatentMap(fit(codes, f_d, labels=labels, steps=50), f_d)
    return FittedMap("few", m, codes, labels, "", classifier=learn_classifier(f_d, codes, labels, steps=30))


@pytest.fixture(scope="module")
def steering(few):
    return Steering(Maps(few))


@pytest.fixture(scope="module")
def found(steering, few):
    found = find_directions(few, "codes", 3, True, None, 0, nothing)
    steering.add(found)
    return found


def pictures(images):
    raw = np.frombuffer(base64.b64decode(images["raw"]), np.uint8)
    return raw.reshape(images["count"], images["height"], images["width"], images["channels"])


def floats(text, *shape):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


def test_a_set_for_all_and_one_for_each_label(steering, few, found):
    told = steering.directions(few.id, found.id)
    assert [(one["label"], one["name"]) for one in told["sets"]] == [(None, "global"), (1, "class 1"), (8, "class 8")]
    assert told["sets"][2]["names"] == ["class 8, 0", "class 8, 1", "class 8, 2"]
    assert json.loads(json.dumps(told)) == told


def test_a_moved_sample_is_the_moved_codes_own_image_and_place(steering, few, found, f_d):
    code = few.codes[4:5]
    directions = found.directions.of(8)
    wanted = code + 1.5 * directions[0].step * directions[0].vector - 2 * directions[2].step * directions[2].vector
    told = steering.moved(few.id, found.id, 8, {"row": 4}, [1.5, 0, -2])
    assert told["point"] == pytest.approx(few.latent_map.v.encode(wanted)[0].tolist(), abs=1e-5)
    shown = pictures(told["images"])[0, ..., 0] / 255
    assert np.abs(shown - f_d(wanted)[0, 0].numpy()).max() < 3e-3
    on_the_map = f_d(few.latent_map.v(wanted))[0, 0].numpy()
    assert np.abs(shown - on_the_map).max() > 0.1  # which shows something else
    still = steering.moved(few.id, found.id, None, {"row": 4}, [0, 0, 0])
    assert np.abs(pictures(still["images"])[0, ..., 0] / 255 - f_d(code)[0, 0].numpy()).max() < 3e-3


def test_a_move_starts_at_a_place_a_pin_or_a_code(steering, few, found):
    v = few.latent_map.v
    place = steering.maps.code_at(few.id, {"point": [0.25, -0.5]})
    assert torch.equal(place, v.decode([[0.25, -0.5]]))
    pin = steering.maps.pin(few.id, few.codes[9:10] + 0.3)
    assert torch.equal(steering.maps.code_at(few.id, {"pin": pin.id}), few.codes[9:10] + 0.3)
    assert torch.equal(steering.maps.code_at(few.id, {"row": 9}), few.codes[9:10])


def test_a_walk_has_the_sample_in_its_middle_and_the_other_sliders_moves(steering, few, found, f_d):
    told = steering.traverse(few.id, found.id, None, 1, {"row": 4}, [0, 2, 0])  # its own slider does not count
    assert np.abs(pictures(told["images"])[6, ..., 0] / 255 - f_d(few.codes[4:5])[0, 0].numpy()).max() < 3e-3
    assert len(told["points"]) == told["images"]["count"] == 13
    end = steering.moved(few.id, found.id, None, {"row": 4}, [0, 3, 0])
    assert told["points"][12] == pytest.approx(end["point"], abs=1e-5)
    others = steering.traverse(few.id, found.id, None, 1, {"row": 4}, [1, 0, -1])
    middle = steering.moved(few.id, found.id, None, {"row": 4}, [1, 0, -1])
    assert others["points"][6] == pytest.approx(middle["point"], abs=1e-5)


def test_arrows_are_those_of_the_map_in_the_middles_of_its_cells(steering, few, found):
    told = steering.arrows(few.id, found.id, 8)
    count = told["count"]
    points, moves, trust = (
        floats(told["points"], count, 2), floats(told["moves"], 3, count, 2), floats(told["trust"], 3, count)
    )  # fmt: skip
    edge = 1 - told["apart"] / 2
    assert np.abs(points).max() == pytest.approx(edge, abs=1e-5)
    wanted = few.latent_map.arrows(found.directions, 13, label=8, box=((-edge, -edge), (edge, edge)))
    assert np.allclose(moves, wanted.moves, atol=1e-4)
    assert np.allclose(trust, wanted.trust, atol=1e-4)
    inside = floats(steering.arrows(few.id, found.id, 8, [[0, 0], [0.5, -0.5]])["points"], count, 2)
    assert inside[:, 0].min() > 0
    assert inside[:, 1].max() < 0


def test_over_the_socket_a_move_is_what_the_page_would_be_told(steering, few, found):
    asked = [few.id, found.id, None, {"row": 3}, [1, 0, 0]]
    message = awaited(answer(steering, Queues(), json.dumps(asked)))
    size = int.from_bytes(message[:4], "little")
    head, picture = json.loads(message[4 : 4 + size]), message[4 + size :]
    where, support, images = steering.moved_at(*asked)
    assert head["point"] == where[0].tolist()
    assert head["support"] == support[0].item()
    assert picture == encoded_images(images)[1][0]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s, m, f: s.moved(m, "nobody", None, {"row": 0}, [0, 0, 0]), "no longer here"),
        (lambda s, m, f: s.moved(m, None, None, {"row": 0}, [0, 0, 0]), "no longer here"),
        (lambda s, m, f: s.moved("nowhere", f, None, {"row": 0}, [0, 0, 0]), "no longer here"),
        (lambda s, m, f: s.moved(m, f, 5, {"row": 0}, [0, 0, 0]), "no set of class 5"),
        (lambda s, m, f: s.moved(m, f, None, {"row": 60}, [0, 0, 0]), "between 0 and 59"),
        (lambda s, m, f: s.moved(m, f, None, {"pin": "nobody"}, [0, 0, 0]), "no longer on the map"),
        (lambda s, m, f: s.moved(m, f, None, {"pin": None}, [0, 0, 0]), "a point, a pin or a row"),
        (lambda s, m, f: s.moved(m, f, None, [0, 0], [0, 0, 0]), "a point, a pin or a row"),
        (lambda s, m, f: s.moved(m, f, None, {"point": [0, float("nan")]}, [0, 0, 0]), "2 finite numbers"),
        (lambda s, m, f: s.moved(m, f, None, {"row": 0}, [0, 0]), "3 numbers from -3 to 3"),
        (lambda s, m, f: s.moved(m, f, None, {"row": 0}, [0, 0, 3.1]), "3 numbers from -3 to 3"),
        (lambda s, m, f: s.moved(m, f, None, {"row": 0}, [0, 0, "1"]), "3 numbers from -3 to 3"),
        (lambda s, m, f: s.traverse(m, f, None, 3, {"row": 0}), "between 0 and 2"),
        (lambda s, m, f: s.arrows(m, f, None, [[0, 0], [0, 1]]), "no inside"),
    ],
)
def test_what_strangers_send_is_refused_in_words(steering, few, found, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(steering, few.id, found.id)


def test_directions_stay_with_their_decoder_and_arrows_with_two_dimensions(steering, few, found):
    other = FittedMap(
        "other", LatentMap(few.latent_map.v, lambda z: z[:, :4].sigmoid().reshape(-1, 1, 2, 2)), few.codes, None, ""
    )
    steering.maps.add(other)
    with pytest.raises(ValueError, match="another decoder"):
        steering.directions(other.id, found.id)
    line = FittedMap("line", LatentMap(fit(few.codes, dim=1, steps=50), few.latent_map.decoder), few.codes, None, "")
    steering.maps.add(line)
    assert len(steering.traverse(line.id, found.id, None, 0, {"row": 0})["points"][0]) == 1
    with pytest.raises(ValueError, match="2-D maps"):
        steering.arrows(line.id, found.id)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("metric", 11, False), "does not fit"),
        (("metric", 0, False), "between 1 and 16"),
        (("metric", None, False), "a whole number"),
        (("magic", 3, False), "Methods are metric, codes, trained"),
        ((["metric"], 3, False), "Methods are"),
        (("metric", 6, True), "need 2 K <= n"),
    ],
)
def test_what_cannot_be_found_is_told_in_words(few, given, message):
    with pytest.raises(ValueError, match=message):
        find_directions(few, *given, None, 0, nothing)


def test_what_a_decoder_or_codes_cannot_give_is_told_in_words(few):
    m = LatentMap(few.latent_map.v, lambda z: few.latent_map.decoder(z).detach())
    flat = FittedMap("no gradients", m, few.codes, None, "")
    with pytest.raises(ValueError, match="gradients"):
        find_directions(flat, "trained", 2, False, 10, 0, nothing)
    with pytest.raises(ValueError, match="number of steps is between 1 and 3000"):
        find_directions(flat, "trained", 2, False, 10**6, 0, nothing)
    with pytest.raises(ValueError, match="at least two labels"):
        find_directions(flat, "codes", 2, True, None, 0, nothing)


def test_the_first_bar_of_a_slow_decoder_says_what_classifier_and_search_ask_for(few, monkeypatch):
    monkeypatch.setattr("latent_vizae.directions.budget.is_slow", lambda f_d: True)
    monkeypatch.setattr("latent_vizae.directions.budget.seconds_per_image", lambda f_d: 1.0)
    monkeypatch.setattr("latent_vizae.directions.budget.images_left", lambda f_d, limit, spent: limit.seconds)
    titles = []
    find_directions(
        replace(few, classifier=None), "codes", 1, True, None, 0, lambda step, steps, title: titles.append(title)
    )
    assert titles[0] == "classifier, about 60 images, 60 s, of at most 600 images, 10 min in all"
    assert titles[-1] == "images, about 60 images, 60 s, of at most 451 images, 8 min in all"  # one timed


def test_training_stops_at_a_word_and_the_best_so_far_comes(few):
    def told(step, steps, title):
        if title == "directions":
            assert steps == 500
            if step == 3:
                raise KeyboardInterrupt

    found = find_directions(few, "trained", 2, False, 500, 0, told)
    assert found.directions.report.interrupted
    assert found.directions.report.steps == 3
    assert found.directions.report.step_change > 0  # measured all the same

    def at_once(step, steps, title):
        raise KeyboardInterrupt

    with pytest.raises(ValueError, match="before there were any"):
        find_directions(few, "metric", 2, False, None, 0, at_once)


def test_directions_are_packed_with_the_map_and_come_back(steering, few, found, tmp_path):
    files = jobs.pack(few, {}, steering.maps, tmp_path / "both", found.directions)
    with zipfile.ZipFile(next(file for file in files if file.endswith("directions.zip"))) as file:
        file.extractall(tmp_path)
    again = Directions.from_pretrained(tmp_path / "directions")
    assert torch.equal(again.class_directions, found.directions.class_directions)
    assert len(jobs.pack(few, {}, steering.maps, tmp_path / "one")) == 1


def test_directions_of_the_hub_are_for_maps_of_their_decoder(few, found, tmp_path, monkeypatch):
    found.directions.save_pretrained(tmp_path / "saved")
    monkeypatch.setattr(hub, "look_up", lambda name, token: SimpleNamespace(sha="1"))
    monkeypatch.setattr(hub, "fetch_folder", lambda name, *_, **__: (tmp_path / "saved", "1"))
    assert isinstance(load_directions(few, "alice/directions"), FoundDirections)
    wide = torch.cat([few.codes, few.codes], 1)
    other = FittedMap(
        "wide", LatentMap(fit(wide, steps=50), lambda z: z[:, :4].sigmoid().reshape(-1, 1, 2, 2)), wide, None, ""
    )
    with pytest.raises(ValueError, match="codes of shape"):
        load_directions(other, "alice/directions")
    for name in (str(tmp_path / "saved"), "../saved", "", None):
        with pytest.raises(ValueError, match="user/name"):
            load_directions(few, name)


# In a browser. The codes of the first page are many: directions are found on a small map.


@pytest.fixture(scope="module")
def visitor(browser, address):
    """A visitor with a map of 40 fives, and three directions of them."""
    with visiting(browser, address) as page:
        fit_on_page(page, 40, 2)
        find(page)
        yield page


@pytest.fixture
def page(visitor):
    """That visitor, nothing moved, the global set's first direction chosen."""
    if visitor.locator(".lv-unmove").is_enabled():
        visitor.locator(".lv-unmove").click()
    visitor.locator(".lv-choose").first.click()
    settled(visitor)
    return visitor


def find(page, method="codes"):
    page.get_by_role("tab", name="Directions").click()
    page.locator("#lv-method").get_by_label(method).check()
    page.locator("#lv-find").click()
    page.locator(".lv-slider").first.wait_for(timeout=60_000)
    page.wait_for_function("document.querySelector('[data-state=ready]').dataset.moved")


def moved(page):
    """The place of the moved sample, and the steps that it went."""
    numbers = [float(number) for number in page.locator(READY).first.get_attribute("data-moved").split(",")]
    return numbers[:-3], numbers[-3:]


def settled(page):
    """Wait until what is shown is what the sliders say."""
    page.wait_for_function(
        """() => { const steps = [...document.querySelectorAll('.lv-steps')].map((field) => Number(field.value));
        const told = document.querySelector('[data-state=ready]').dataset.moved.split(',').slice(-steps.length);
        return steps.every((step, i) => step === Number(told[i])); }"""
    )


def shown(page, selector):
    return page.evaluate("selector => document.querySelector(selector).toDataURL()", selector)


@in_browser
def test_a_slider_moves_the_sample_and_the_map_shows_where(page):
    start, steps = moved(page)
    assert steps == [0, 0, 0]
    assert shown(page, ".lv-before") == shown(page, ".lv-after")
    before, on_map = shown(page, ".lv-before"), pixels(page, ".lv-map canvas")
    page.locator(".lv-steps").first.focus()
    page.keyboard.press("End")
    settled(page)
    there, steps = moved(page)
    assert steps == [3, 0, 0]
    assert np.abs(np.subtract(there, start)).max() > 0.01
    assert shown(page, ".lv-before") == before != shown(page, ".lv-after")
    changed(page, ".lv-map canvas", on_map, share=0.0003)
    assert page.locator(".lv-slider output").first.inner_text() == "3.0"
    assert page.locator(".lv-steps").first.get_attribute("aria-valuetext") == "3.0 steps"
    assert "codes" in page.locator(".lv-after-text").inner_text()
    page.locator(".lv-unmove").click()
    settled(page)
    assert moved(page)[0] == start
    assert page.locator(".lv-unmove").is_disabled()


@in_browser
def test_a_click_on_the_walk_goes_there_and_another_direction_walks_elsewhere(page):
    page.wait_for_function("document.querySelector('.lv-walk canvas').ariaLabel.includes('global 0')")
    walk = page.locator(".lv-walk canvas")
    first = shown(page, ".lv-walk canvas")
    width = walk.bounding_box()["width"]
    walk.click(position={"x": width * 1.5 / 13, "y": 10})
    settled(page)
    assert moved(page)[1] == [-2.5, 0, 0]
    page.locator(".lv-choose").nth(2).click()
    assert page.locator(".lv-choose").nth(2).get_attribute("aria-pressed") == "true"
    page.wait_for_function("document.querySelector('.lv-walk canvas').ariaLabel.includes('global 2')")
    assert shown(page, ".lv-walk canvas") != first


@in_browser
def test_the_layer_of_arrows_is_drawn_for_the_chosen_direction(page):
    assert page.locator(".lv-layer").input_value() == "arrows"  # chosen when they were found
    page.get_by_text("Where one step along global 0 leads").wait_for()
    first = pixels(page, ".lv-map canvas")
    page.locator(".lv-choose").nth(1).click()
    page.get_by_text("Where one step along global 1 leads").wait_for()
    second = changed(page, ".lv-map canvas", first, share=0.01)
    page.locator(".lv-layer").select_option("none")
    changed(page, ".lv-map canvas", second, share=0.01)
    page.locator(".lv-layer").select_option("arrows")
    page.get_by_text("Where one step along global 1 leads").wait_for()


@in_browser
def test_a_click_on_the_map_starts_elsewhere(page):
    start = moved(page)[0]
    page.mouse.click(*spot(page, 0.6, 0.62))
    page.get_by_text("before: pin").wait_for()
    page.wait_for_function("old => !document.querySelector('[data-state=ready]').dataset.moved.startsWith(old)",
                           arg=",".join(f"{x:g}" for x in start))  # fmt: skip
    on_the_sheet = shown(page, ".lv-before")
    page.locator(".lv-snap").check()
    page.get_by_text("before: code nearest to pin").wait_for()
    page.wait_for_function("old => document.querySelector('.lv-before').toDataURL() !== old", arg=on_the_sheet)
    page.locator(".lv-snap").uncheck()


@in_browser
def test_pictures_under_the_pointer_and_moves_come_side_by_side(page):
    drag(page, (0.3, 0.3), (0.6, 0.6))
    page.locator(".lv-steps").nth(1).focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        page.mouse.move(*spot(page, 0.5, 0.4))
        page.mouse.move(*spot(page, 0.6, 0.5))
    settled(page)
    assert moved(page)[1] == [0, 1, 0]


@in_browser
def test_what_cannot_be_found_is_a_toast_and_what_is_on_the_page_stays(page):
    page.locator("#lv-set-size input").fill("11")
    page.locator("#lv-find").click()
    page.get_by_text("does not fit").wait_for()
    assert page.locator(".lv-slider").count() == 3
    page.locator("#lv-set-size input").fill("3")


@in_browser
def test_without_directions_arrows_are_not_offered(browser, address):
    with visiting(browser, address) as other:
        assert not other.locator(".lv-directions").is_visible()  # another visitor's are not his
        other.locator(".lv-map canvas").first.wait_for()
        assert "arrows" not in other.locator(".lv-layer option").evaluate_all(
            "all => all.filter(one => !one.hidden).map(one => one.value)"
        )


@in_browser
def test_every_part_has_a_name_and_axe_finds_nothing(page):
    tree = page.locator("#lv .lv-directions").aria_snapshot()
    for line in (
        'group "Steps along each direction"', 'slider "global 0, steps"', 'button "global 0" [pressed]',
        'img "Picture before the move"', 'img "Picture after the move"', 'button "Reset"',
    ):  # fmt: skip
        assert line in tree, line
    Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
    for dark in (False, True):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        page.locator(f'[data-theme="{"dark" if dark else "light"}"]').wait_for()
        assert Axe().run(page, context="#lv").response["violations"] == []
    page.evaluate("document.body.classList.remove('dark')")


@in_browser
@pytest.mark.parametrize("dim", [1, 3])
def test_on_maps_of_other_dimensions_sliders_and_walks_are_there_too(browser, address, dim):
    options = {"viewport": {"width": 390, "height": 844}}
    with visiting(browser, address, **options) as narrow:
        fit_on_page(narrow, 20, dim)
        find(narrow)
        narrow.locator(".lv-steps").nth(1).focus()
        narrow.keyboard.press("Home")
        settled(narrow)
        assert len(moved(narrow)[0]) == dim
        assert not narrow.locator(".lv-layer").is_visible()
        assert narrow.evaluate("document.documentElement.scrollWidth") <= 390


# Through the real client.


def test_directions_are_found_and_walked_along_through_the_client(address):
    from gradio_client import Client

    client = Client(address, verbose=False)
    made = client.predict(labels=[5], count=20, api_name="/fit")["map"]
    told = client.predict(method="codes", n_directions=2, map_id=made, api_name="/directions")
    assert told["names"] == ["global 0", "global 1"]
    walk = client.predict(directions_id=told["directions"], number=1, map_id=made, api_name="/traverse")
    assert len(walk["points"]) == 13
    assert walk["sheet"].startswith("data:image/png;base64,")
    for given, message in (
        ({"directions_id": "nobody", "map_id": made}, "no longer here"),
        ({"directions_id": told["directions"], "map_id": made, "number": 2}, "between 0 and 1"),
        ({"directions_id": told["directions"], "map_id": made, "label": 5}, "no set of class 5"),
    ):
        with pytest.raises(Exception, match=message):
            client.predict(**given, api_name="/traverse")
