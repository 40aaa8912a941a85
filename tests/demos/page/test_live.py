"""The picture under the pointer: over the WebSocket, without one, and from a slow decoder."""

import json
import re
import struct
import time

import numpy as np
import pytest
from serving import CHROMIUM, READY, at, decodes, host_page, hover, pixels, place, readout, spot, visiting

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from latent_vizae.demos.page import firsts
from latent_vizae.demos.page.live import ADDRESS, MOST_CHARACTERS, live_route
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pictures import encoded_images
from latent_vizae.demos.page.queues import Queues
from latent_vizae.demos.page.steering import Steering

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of the clients' sockets
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


# The protocol.


@pytest.fixture(scope="module")
def maps(f_d):
    return Maps(firsts.digits_map(f_d))


def client_of(maps, **options):
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    return TestClient(Starlette(routes=[live_route(Steering(maps), Queues(), **options)]))


@pytest.fixture
def socket(maps):
    with client_of(maps).websocket_connect(ADDRESS) as socket:
        yield socket


def told(message):
    (size,) = struct.unpack("<I", message[:4])
    return json.loads(message[4 : 4 + size]), message[4 + size :]


def ask(socket, *question):
    socket.send_text(json.dumps(question))
    return told(socket.receive_bytes())


def test_a_picture_is_what_the_page_would_have_been_told(maps, socket, f_d):
    start = maps.start.id
    _, support, images = maps.images_at(start, [[0.1, -0.2]])
    head, picture = ask(socket, start, [0.1, -0.2], None)
    assert picture == encoded_images(images)[1][0]
    assert head == {"channels": 1, "height": 28, "width": 28, "kind": "raw", "support": support[0].item()}
    pin = maps.pin(start, f_d.examples(count=1)[0])
    carried = ask(socket, start, [0.1, -0.2], pin.id)[1]
    assert carried == encoded_images(maps.images_at(start, [[0.1, -0.2]], pin.id)[2])[1][0]
    assert carried != picture


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("{", "A question is JSON"),
        ("", "A question is JSON"),
        ("[" * MOST_CHARACTERS, "A question is JSON"),
        ("[]", "a map, a point and a pin"),
        ('{"a": 1}', "a map, a point and a pin"),
        ('["nowhere", [0, 0], null]', "no longer here"),
        ('["../../etc/passwd", [0, 0], null]', "no longer here"),
        ('[["START"], [0, 0], null]', "no longer here"),
        ('["START", [0, 0], "nobody"]', "no longer on the map"),
        ('["START", [0, 0], 5]', "no longer on the map"),
        ('["START", ["a", 0], null]', "2 finite numbers"),
        ('["START", [0, 0, 0], null]', "2 finite numbers"),
        ('["START", "00", null]', "2 finite numbers"),
        ('["START", [NaN, 0], null]', "2 finite numbers"),
        ('["START", [Infinity, 0], null]', "2 finite numbers"),
        ('["START", [true, 0], null]', "2 finite numbers"),
        ('["START", [1' + "0" * 400 + ", 0], null]", "2 finite numbers"),
        ('["START", [[0], 0], null]', "2 finite numbers"),
        ('["START", null, null]', "2 finite numbers"),
        (b"\x00\xff", "as JSON"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_in_words_and_the_next_one_as_ever(maps, socket, question, message):
    if isinstance(question, bytes):
        socket.send_bytes(question)
    else:
        socket.send_text(question.replace("START", maps.start.id))
    head, picture = told(socket.receive_bytes())
    assert message in head["error"]
    assert picture == b""
    assert len(ask(socket, maps.start.id, [0, 0], None)[1]) == 784


def test_a_question_too_long_is_answered_in_words_and_the_socket_is_closed(maps, socket):
    from starlette.websockets import WebSocketDisconnect

    socket.send_text(json.dumps([maps.start.id, [0, 0], "x" * MOST_CHARACTERS]))
    assert "at most 4096 characters" in told(socket.receive_bytes())[0]["error"]
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_bytes()
    assert closed.value.code == 1009


def test_one_visitor_too_many_is_told_so_and_one_who_left_makes_room(maps):
    from starlette.websockets import WebSocketDisconnect

    client = client_of(maps, most=1)
    with client.websocket_connect(ADDRESS) as first:
        with client.websocket_connect(ADDRESS) as second:
            assert "Too many visitors" in told(second.receive_bytes())[0]["error"]
            with pytest.raises(WebSocketDisconnect) as closed:
                second.receive_bytes()
        assert closed.value.code == 1013
        assert len(ask(first, maps.start.id, [0, 0], None)[1]) == 784
    for _ in range(100):  # the first one's end is noticed a moment later
        with client.websocket_connect(ADDRESS) as third:
            third.send_text(json.dumps([maps.start.id, [0, 0], None]))
            if "error" not in told(third.receive_bytes())[0]:
                return
        time.sleep(0.05)
    raise AssertionError("no room was made")


# The page.


def renders(page):
    """Collects the pictures that are asked for without the socket."""
    asked = []
    page.on(
        "request",
        lambda request: asked.append(request.url) if '"fn_name":"render"' in (request.post_data or "") else None,
    )
    return asked


@in_browser
def test_the_page_asks_over_the_socket_and_over_nothing_else(page):
    asked = renders(page)
    frames = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: frames.append(frame)))
    page.reload()
    page.wait_for_selector(READY)
    page.wait_for_timeout(500)
    asked.clear()  # the very first picture may come before the socket is open
    before = len(frames)
    for x in (0.3, 0.4, 0.5, 0.6, 0.7):
        hover(page, x, 0.5)
    assert len(frames) >= before + 5
    assert json.loads(frames[-1])[1] == pytest.approx(at(page), abs=1e-4)
    assert asked == []


@in_browser
@pytest.mark.parametrize(
    "forbidden",
    [
        "window.WebSocket = class { constructor() { throw new DOMException('no', 'SecurityError'); } };",
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose?.({}), 5); } };",
    ],
)
def test_where_there_is_no_socket_the_page_asks_as_all_else_does(browser, address, forbidden):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.add_init_script(forbidden)
    page = context.new_page()
    asked = renders(page)
    page.goto(address)
    page.wait_for_selector(READY, timeout=30_000)
    hover(page, 0.3, 0.5)
    first = pixels(page, ".lv-preview canvas")
    hover(page, 0.7, 0.5)
    assert np.abs(pixels(page, ".lv-preview canvas") - first).max() > 100
    assert len(asked) >= 2
    context.close()


@in_browser
def test_when_the_socket_ends_midway_the_position_asked_for_is_decoded_all_the_same(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    asked, mute = renders(page), []

    def connect(route):
        server = route.connect_to_server()
        server.on_message(lambda message: route.close() if mute else route.send(message))

    page.route_web_socket(f"**{ADDRESS}", connect)
    page.goto(address)
    page.wait_for_selector(READY, timeout=30_000)
    hover(page, 0.3, 0.5)
    page.wait_for_timeout(300)
    asked.clear()
    hover(page, 0.4, 0.5)
    assert asked == []
    mute.append(True)  # from now on the socket closes instead of answering
    hover(page, 0.7, 0.5)
    assert at(page) == pytest.approx(place(page, 0.7, 0.5), abs=0.02)
    assert asked
    context.close()


# A decoder that takes half a second an image.


@pytest.fixture(scope="module")
def slow():
    return host_page()


@in_browser
def test_a_slow_decoder_leaves_the_page_quick_and_the_last_position_is_the_one_shown(browser, slow):
    with visiting(browser, slow) as page:
        page.wait_for_function("document.querySelector('.lv-preview').getAttribute('aria-busy') === 'false'")
        hover(page, 0.2, 0.5)
        page.evaluate(
            """() => { window.seen = { frames: 0, longest: 0, busy: 0, said: new Set() };
            const preview = document.querySelector('.lv-preview'); let last = performance.now();
            requestAnimationFrame(function tick(now) {
              window.seen.frames++; window.seen.longest = Math.max(window.seen.longest, now - last); last = now;
              if (preview.getAttribute('aria-busy') === 'true') { window.seen.busy++;
                window.seen.said.add(document.querySelector('.lv-waiting').textContent); }
              requestAnimationFrame(tick); }); }"""
        )
        before, begun = decodes(page), time.monotonic()
        while time.monotonic() - begun < 3:
            share = (time.monotonic() - begun) / 3
            page.mouse.move(*spot_of(page, 0.2 + 0.6 * share, 0.5))
            page.wait_for_timeout(15)
        ended = time.monotonic()
        asked_while_moving = decodes(page) - before
        page.mouse.move(*spot_of(page, 0.8, 0.4))
        page.wait_for_function(
            """([x, y]) => { const [a, b] = document.querySelector('[data-state=ready]').dataset.at.split(',');
            return Math.abs(a - x) < 0.02 && Math.abs(b - y) < 0.02
              && document.querySelector('.lv-preview').getAttribute('aria-busy') === 'false'; }""",
            arg=place(page, 0.8, 0.4),
        )
        took = time.monotonic() - ended
        seen = page.evaluate("({ ...window.seen, said: [...window.seen.said] })")
        assert took < 2.5  # what was under way, and this one: a second, and the time of a busy machine
        assert asked_while_moving <= 8  # one at a time, none queued
        assert decodes(page) - before <= asked_while_moving + 3
        assert seen["frames"] > 40
        assert seen["busy"] > 10
        assert "decoding… nearest picture so far" in seen["said"]
        assert not page.locator(".lv-waiting").is_visible()
        own = "document.querySelectorAll('.lv-near-go:not([data-waiting])').length"
        page.wait_for_function(f"{own} > 0 && {own} < 6")  # the nearest codes' own pictures come one by one
        assert "so far" in page.locator(".lv-near-text").inner_text()
        begun = time.monotonic()
        page.mouse.move(*spot_of(page, 0.3, 0.6))  # those that are to come wait for the pointer's
        page.wait_for_function(
            """([x, y]) => { const [a, b] = document.querySelector('[data-state=ready]').dataset.at.split(',');
            return Math.abs(a - x) < 0.02 && Math.abs(b - y) < 0.02; }""",
            arg=place(page, 0.3, 0.6),
        )
        assert time.monotonic() - begun < 2.5
        page.wait_for_function(
            f"{own} === 8 && !document.querySelector('.lv-near-text').textContent.includes('so far')"
        )


def spot_of(page, x, y):
    """As `spot`, without scrolling there again."""
    box = page.locator(".lv-map canvas").first.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


@in_browser
def test_what_stands_in_is_a_picture_that_was_decoded_and_the_crosshair_is_at_the_pointer(browser, slow):
    with visiting(browser, slow) as page:
        hover(page, 0.3, 0.5)
        page.wait_for_function("document.querySelector('.lv-preview').getAttribute('aria-busy') === 'false'")
        known = page.evaluate("document.querySelector('.lv-preview canvas').toDataURL()")
        page.mouse.move(*spot(page, 0.34, 0.5))
        meanwhile = page.wait_for_function(  # at once: half a second later the picture is there
            """() => document.querySelector('.lv-preview[aria-busy="true"]') && [
            document.querySelector('.lv-preview canvas').toDataURL(),
            document.querySelector('[data-state=ready]').dataset.coarse]"""
        )
        shown, coarse = meanwhile.json_value()
        assert shown == known
        assert [float(x) for x in coarse.split(",")] == pytest.approx(place(page, 0.3, 0.5), abs=0.02)
        assert readout(page) == pytest.approx(place(page, 0.34, 0.5), abs=0.02)
        page.wait_for_selector('.lv-preview[aria-busy="false"]')
        assert page.evaluate("document.querySelector('.lv-preview canvas').toDataURL()") != known


def draw(page, start, end):
    page.mouse.move(*spot(page, *start))
    page.mouse.down()
    page.mouse.move(*spot(page, *end), steps=6)
    page.mouse.up()


def said_work(page):
    """How many pictures are here, and of how many."""
    words = page.locator(".lv-work-words").inner_text()
    found = re.fullmatch(r"(\d+) of (\d+), about \d+ (s|min) left", words)
    assert found, words
    return int(found[1]), int(found[2])


@in_browser
def test_a_region_of_a_slow_decoder_comes_cell_by_cell_and_can_be_cancelled(browser, slow):
    with visiting(browser, slow) as page:
        page.locator(".lv-tool-region").click()
        page.locator(".lv-cells").evaluate("field => { field.value = 6; }")
        draw(page, (0.3, 0.3), (0.6, 0.6))
        page.locator(".lv-work").wait_for()
        page.locator(".lv-grid canvas").wait_for()  # while most of it is to come
        first, of = said_work(page)
        assert (first < 18, of) == (True, 36)
        page.wait_for_function("n => parseInt(document.querySelector('.lv-work-words').textContent) > n", arg=first)
        page.locator(".lv-cancel").click()
        page.locator(".lv-status", has_text=re.compile(r"^Stopped: \d+ of 36 are here\.$")).wait_for()
        assert not page.locator(".lv-work").is_visible()
        assert page.locator(READY).get_attribute("data-decoded") is None
        page.locator(".lv-cells").evaluate("field => { field.value = 2; }")  # another one is whole
        draw(page, (0.7, 0.1), (0.9, 0.3))
        page.wait_for_selector("[data-decoded]", timeout=30_000)
        assert not page.locator(".lv-work").is_visible()


@in_browser
def test_a_path_of_a_slow_decoder_comes_frame_by_frame_and_what_is_there_can_be_played(browser, slow):
    with visiting(browser, slow) as page:
        page.locator(".lv-tool-path").click()
        draw(page, (0.3, 0.5), (0.7, 0.5))
        page.locator(".lv-work").wait_for()
        assert said_work(page)[1] == 24
        page.wait_for_function("Number(document.querySelector('.lv-scrub').max) >= 2", timeout=30_000)
        page.locator(".lv-cancel").click()
        page.wait_for_selector(".lv-play[data-playing]", timeout=30_000)
        assert 2 <= int(page.locator(".lv-scrub").get_attribute("max")) < 23


@in_browser
def test_a_layer_of_a_slow_decoder_is_seen_as_it_grows(browser, slow):
    with visiting(browser, slow) as page:
        page.locator(".lv-layer").select_option("error")
        page.locator(".lv-work").wait_for(timeout=30_000)
        page.locator(".lv-heat").wait_for()
        done, of = said_work(page)
        assert 0 < done < of
        page.locator(".lv-layer").select_option("none")  # nobody waits for it any more
        page.locator(".lv-work").wait_for(state="hidden", timeout=30_000)


@in_browser
def test_what_waits_for_its_turn_is_dropped_where_the_map_goes_meanwhile(browser, slow):
    with visiting(browser, slow) as page:
        page.locator(".lv-map canvas").first.scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#host-gone').click()")
        gone = page.get_by_text("This map could not be opened")
        for count in range(400):  # so that a picture is waited for, half a second each, and another waits for its turn
            page.mouse.move(*spot(page, 0.3 + 0.01 * (count % 40), 0.5))
            if gone.is_visible():
                break
        gone.wait_for()
        page.wait_for_timeout(1200)  # for what was under way; visiting() sees errors
