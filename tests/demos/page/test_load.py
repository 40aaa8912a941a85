"""Many visitors at a time: who waits for whom, what is kept in memory, and what is logged."""

import asyncio
import json
import logging
import threading
import time
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("gradio")

from latent_vizae import LatentMap, fit
from latent_vizae.decoders.repeats import Repeats, notice_noise
from latent_vizae.demos.page import firsts, hub
from latent_vizae.demos.page.calls import map_calls
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.kept import Kept, memory_of
from latent_vizae.demos.page.live import ADDRESS, live_route
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.pointers import picture_at
from latent_vizae.demos.page.queues import LIMITS, Queues
from latent_vizae.demos.page.steering import Steering
from latent_vizae.demos.page.supports import measure_cycles, support_of


@pytest.fixture
def maps(f_d):
    return Maps(firsts.digits_map(f_d))


class Stuck:
    """A decoder that makes no image until it is released."""

    def __init__(self, f_d):
        self.f_d, self.free, self.calls = f_d, threading.Event(), []
        self.latent_shape, self.image_shape = f_d.latent_shape, f_d.image_shape

    def __call__(self, codes):
        self.calls.append(len(codes))
        assert self.free.wait(60)
        return self.f_d(codes)


def with_decoder(maps, decoder):
    """A map of the first one's codes, with another decoder; its id."""
    start = maps.start
    notice_noise(decoder, start.codes, Repeats(0, 0, True))  # which is measured at the first image
    return maps.add(FittedMap("other", LatentMap(start.latent_map.v, decoder), start.codes, start.labels, ""))


# Queues.


def test_forty_calls_of_a_stuck_decoder_hold_up_nobody_else_and_few_threads(maps, f_d):
    stuck = Stuck(f_d)
    slow, start = with_decoder(maps, stuck), maps.start.id
    calls = {call.__name__: call for call in map_calls(maps, Queues(), Steering(maps))}
    box = {"box": [[-0.5, -0.5], [0.5, 0.5]]}

    async def visit():
        before = threading.active_count()
        waiting = [asyncio.create_task(calls["grid"]([slow, box, 2, 2])) for _ in range(40)]
        waiting += [asyncio.create_task(calls["layer"]([slow, "error"])) for _ in range(5)]
        waiting += [asyncio.create_task(calls["render"]([slow, [[0, 0]]])) for _ in range(40)]
        while len(stuck.calls) < 5:  # two regions, a layer and two pictures are in work
            await asyncio.sleep(0.01)
        for name, *asked in (("describe",), ("render", [[0, 0]]), ("grid", box, 2, 2), ("layer", "support")):
            assert "error" not in await asyncio.wait_for(calls[name]([start, *asked]), 60)
        assert len(stuck.calls) == 5
        assert threading.active_count() <= before + 10
        stuck.free.set()
        return await asyncio.gather(*waiting)

    answers = asyncio.run(visit())
    assert not [answer for answer in answers if "error" in answer]
    assert answers[40] is answers[44]  # one layer was measured, for all


def test_where_very_many_wait_one_more_is_refused_in_words_and_later_taken():
    async def visit():
        queues, free = Queues(), threading.Event()
        most = LIMITS["fit"].most
        waiting = [asyncio.create_task(queues.run("fit", "a", free.wait, 60)) for _ in range(most)]
        await asyncio.sleep(0.05)
        with pytest.raises(ValueError, match="try again later"):
            await queues.run("fit", "a", free.wait, 60)
        assert await queues.run("fit", "b", lambda: 5) == 5
        free.set()
        assert await asyncio.gather(*waiting) == [True] * most
        return await queues.run("fit", "a", torch.get_num_threads), queues._queues

    threads, left = asyncio.run(visit())
    assert threads == 1
    assert left == {}


def test_one_who_left_while_waiting_makes_room_and_an_error_too():
    async def visit():
        queues, free = Queues(), threading.Event()
        first = asyncio.create_task(queues.run("fit", "a", free.wait, 60))
        second = asyncio.create_task(queues.run("fit", "a", free.wait, 60))
        await asyncio.sleep(0.05)
        second.cancel()
        free.set()
        assert await first
        with pytest.raises(ZeroDivisionError):
            await queues.run("fit", "a", lambda: 1 / 0)
        return await queues.run("fit", "a", lambda: 5), queues._queues

    assert asyncio.run(visit()) == (5, {})


# Pointers.


def test_pictures_that_wait_for_one_map_are_decoded_together_and_each_visitor_gets_his_own(maps, f_d):
    points = [[x / 40, -x / 50] for x in range(40)]
    stuck = Stuck(f_d)
    slow = with_decoder(maps, stuck)
    maps.get(slow).seconds = 0.001  # of a quick decoder

    async def visit():
        queues = Queues()
        waiting = [asyncio.create_task(picture_at(maps, queues, slow, point)) for point in points[:2]]
        while not stuck.calls:
            await asyncio.sleep(0.01)
        waiting += [asyncio.create_task(picture_at(maps, queues, slow, point)) for point in points[2:]]
        await asyncio.sleep(0.05)
        waiting[1].cancel()  # a visitor leaves whose picture is being made, and one who waits
        waiting[20].cancel()
        stuck.free.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = asyncio.run(visit())
    for gone in (20, 1):
        assert isinstance(answers.pop(gone), asyncio.CancelledError)
        del points[gone]
    _, support, images = maps.images_at(maps.start.id, points)
    assert torch.allclose(torch.cat([one for one, _ in answers]), support, atol=1e-4)
    assert torch.allclose(torch.cat([one for _, one in answers]), images, atol=1e-4)
    assert len(stuck.calls) < 30  # not one by one


def test_equal_questions_are_asked_once_whoever_asks_them(maps, f_d):
    stuck = Stuck(f_d)
    slow = with_decoder(maps, stuck)  # one by one, as of a decoder whose pace is not known
    points = [[0.1, 0.2], [0.3, 0.4], [0.1, 0.2], [0.5, 0.6], [0.3, 0.4], [0.3, 0.4]]

    async def visit():
        queues = Queues()
        waiting = [asyncio.create_task(picture_at(maps, queues, slow, [-0.5, -0.5]))]
        while not stuck.calls:
            await asyncio.sleep(0.01)
        waiting += [asyncio.create_task(picture_at(maps, queues, slow, point)) for point in points]
        await asyncio.sleep(0.05)
        waiting[3].cancel()
        stuck.free.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = asyncio.run(visit())
    assert isinstance(answers.pop(3), asyncio.CancelledError)
    _, _, images = maps.images_at(maps.start.id, [[-0.5, -0.5], *points[:2], *points[3:]])
    assert torch.allclose(torch.cat([one for _, one in answers]), images, atol=1e-4)
    assert sum(stuck.calls) == 4


def test_a_slow_decoders_pictures_come_one_by_one(maps, f_d):
    class Slow(Stuck):
        def __call__(self, codes):
            self.calls.append(len(codes))
            time.sleep(0.1 * len(codes))
            return self.f_d(codes)

    slow = Slow(f_d)
    map_id, queues = with_decoder(maps, slow), Queues()

    async def visit():
        await asyncio.gather(*(picture_at(maps, queues, map_id, [x / 10, 0]) for x in range(6)))

    asyncio.run(visit())
    assert slow.calls == [1] * 6


def test_ten_visitors_of_a_slow_decoder_have_one_queue_and_one_cache(maps, f_d):
    class Slow(Stuck):
        inside, most = 0, 0

        def __call__(self, codes):
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.calls += [tuple(code) for code in codes.tolist()]
            time.sleep(0.08 * len(codes))
            self.inside -= 1
            return self.f_d(codes)

    slow = Slow(f_d)
    map_id, queues = with_decoder(maps, slow), Queues()
    calls = {call.__name__: call for call in map_calls(maps, queues, Steering(maps))}
    points, cells = [[0.1, 0.2], [0.5, -0.5]], [[0, 0], [0, 1], [1, 0], [1, 1]]
    box = {"box": [[-0.5, -0.5], [0.5, 0.5]]}

    async def tiles():
        known = set()
        while len(known) < len(cells):
            left = [cell for cell in cells if tuple(cell) not in known]
            known |= {tuple(cell) for cell in (await calls["tiles"]([map_id, 1, left]))["cells"]}

    async def visit():
        await tiles()
        pictures = [await picture_at(maps, queues, map_id, point) for point in points]
        region = await calls["grid"]([map_id, box, 2, 2])
        return torch.cat([image for _, image in pictures]), region["images"]

    async def together():
        first = await asyncio.gather(*(visit() for _ in range(10)))
        made = len(slow.calls)
        return first, made, await visit(), len(slow.calls) - made

    first, made, later, more = asyncio.run(together())
    _, _, wanted = maps.images_at(maps.start.id, points)
    for pictures, region in (*first, later):
        assert torch.allclose(pictures, wanted, atol=1e-4)
        assert region == later[1]
    different = len(set(slow.calls))
    assert different <= 11  # tiles, points, the region, and the first code, which tells how fast it is
    assert made <= 2 * different + 10  # each visitor's region looks at one image again
    assert more <= 1
    assert slow.most <= 4  # a picture or two, a region or two, a tile: other visitors wait


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_support_that_is_looked_up_is_nearly_that_of_the_map(f_d, dim):
    codes, _ = f_d.examples(count=60)
    fitted = FittedMap("", LatentMap(fit(codes, f_d, dim, steps=60), f_d), codes, None, "")
    points = 3 * torch.rand(500, dim, generator=torch.Generator().manual_seed(0)) - 1.5
    exact = support_of(fitted, points)
    assert torch.equal(exact, fitted.latent_map.support(points))
    measure_cycles(fitted)
    looked_up = support_of(fitted, points)
    assert (looked_up - exact).abs().mean() < 0.02
    assert not torch.equal(looked_up, exact)


# The socket.


def test_a_bug_is_logged_and_told_of_and_the_next_question_is_answered(maps, f_d, monkeypatch, caplog):
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    client = TestClient(Starlette(routes=[live_route(Steering(maps), Queues())]))
    right = LatentMap.render

    def ask(socket, point):
        socket.send_text(json.dumps([maps.start.id, point, None]))
        message = socket.receive_bytes()
        return json.loads(message[4 : 4 + int.from_bytes(message[:4], "little")])

    def wrong(*arguments):
        raise RuntimeError("a bug of ours")

    with client.websocket_connect(ADDRESS) as socket:
        monkeypatch.setattr(LatentMap, "render", wrong)
        with caplog.at_level(logging.ERROR):
            assert "Something went wrong here" in ask(socket, [0, 0])["error"]
        assert "a bug of ours" in caplog.text
        assert "Traceback" in caplog.text
        monkeypatch.setattr(LatentMap, "render", right)
        assert ask(socket, [0, 0])["kind"] == "raw"


def test_one_who_leaves_while_his_picture_is_made_is_no_bug(maps, f_d, caplog):
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    stuck = Stuck(f_d)
    slow = with_decoder(maps, stuck)
    client = TestClient(Starlette(routes=[live_route(Steering(maps), Queues())]))
    with caplog.at_level(logging.ERROR), client.websocket_connect(ADDRESS) as socket:
        socket.send_text(json.dumps([slow, [0, 0], None]))
        while not stuck.calls:
            time.sleep(0.01)
        socket.close()
        stuck.free.set()
    assert caplog.text == ""


# Memory.


def test_what_is_kept_is_bounded_by_bytes_shared_ones_counted_once_and_the_newest_stays():
    shared = torch.zeros(1000)
    kept = Kept(100, 10_000, "gone")
    for name in "abc":
        kept.add(name, {"own": torch.zeros(500), "shared": [shared, shared[10:]]})  # 4000 bytes, and 2000 each
    kept.get("a")
    kept.add("d", {"own": torch.zeros(250), "shared": shared})  # 11,000 bytes
    with pytest.raises(ValueError, match="gone"):
        kept.get("b")  # the least recently used one
    assert all(kept.get(name) for name in "acd")
    kept.add("large", torch.zeros(10_000))
    assert kept.find("large") is not None
    assert [name for name in "acd" if kept.find(name)] == []
    kept.add("a", torch.zeros(1))
    assert kept.find("large") is None
    assert kept.find("a") is not None


def test_the_memory_of_a_map_is_that_of_its_codes_its_v_and_its_decoder(f_d, maps):
    start = maps.start
    held = sum(memory_of(start).values())
    decoder = sum(memory_of(f_d).values())
    weights = sum(x.nbytes for x in [*f_d.parameters(), *f_d.buffers()])
    assert decoder >= weights > 0
    own = start.codes.nbytes + start.labels.nbytes + sum(x.nbytes for x in start.latent_map.v.state_dict().values())
    assert held >= decoder + own
    assert sum(memory_of([start, start, f_d]).values()) == held
    assert sum(memory_of(SimpleNamespace(nbytes=2**31)).values()) == 2**31  # what is no tensor tells its own


def test_maps_and_pins_are_kept_by_their_bytes(maps, f_d, monkeypatch):
    monkeypatch.setattr("latent_vizae.demos.page.maps.MAPS_BYTES", 50_000_000)
    few, start = Maps(maps.start), maps.start
    ids = [few.add(FittedMap("", start.latent_map, torch.zeros(4_000_000), None, "")) for _ in range(5)]  # 16 MB each
    for map_id in ids[:2]:
        with pytest.raises(ValueError, match="no longer here"):
            few.get(map_id)
    assert few.get(ids[-1])


# Decoders.


def test_one_decoder_that_is_loaded_for_long_holds_up_no_other_and_is_loaded_once(monkeypatch):
    free, loaded = threading.Event(), []

    class Loaded:
        def __init__(self, name, **options):
            self.name = name
            loaded.append(name)
            assert "slow" not in name or free.wait(60)

    monkeypatch.setattr(hub, "look_up", lambda repo, revision, token: SimpleNamespace(sha="one"))
    monkeypatch.setattr(hub, "load_decoder", Loaded)
    decoders, found = hub.Decoders(), []
    threads = [
        threading.Thread(target=lambda: found.append(decoders.get("hub:user/slow")), daemon=True) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert decoders.get("hub:user/quick").name == "hub:user/quick@one"
    assert found == []
    free.set()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1
    assert sorted(loaded) == ["hub:user/quick@one", "hub:user/slow@one"]
