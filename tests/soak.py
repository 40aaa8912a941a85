"""Visitors of the page while others fit maps and ask a slow decoder: nobody else's pointer becomes slow.

    python tests/soak.py [--visitors 50] [--seconds 60] [--fits 5] [--slow 10]

First all visitors move their pointers and nothing else happens. Then, for the seconds given, some fit one map after
the other meanwhile, and others ask a decoder that takes a second an image: for the picture under the pointer, and each
for four regions at once. Bars, on a machine that is idle otherwise: no error, and no visitor's median time to a
picture is more than twice the median before. On a busy one, compare with a quiet page beside it at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import struct
import sys
import time
from collections.abc import Awaitable
from itertools import chain
from pathlib import Path

import httpx
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
from serving import serving

HELPERS = Path(__file__).parent / "helpers"
REGIONS = 4
"""Of the slow decoder, that each of its visitors asks for at once; ten of them ask for forty."""
PAUSE = (0.1, 0.3)
"""Seconds between two questions of a pointer."""


class Crowd:
    """Visitors of one page, and what they saw."""

    def __init__(self, address: str, client: httpx.AsyncClient) -> None:
        self.address, self.client = address, client
        self.errors: list[str] = []
        self.fits = self.slow_pictures = self.slow_regions = 0

    async def start(self) -> None:
        """Learn the first map's id, and the number of its component."""
        config = (await self.client.get("config")).json()
        self.component, self.first = next(
            (part["id"], part["props"]["value"]["id"])
            for part in config["components"]
            if part["props"].get("elem_id") == "lv"
        )

    async def watched(self, name: str, work: Awaitable[None]) -> None:
        """Note what goes wrong, and go on."""
        try:
            await work
        except Exception as error:
            self.errors.append(f"{name}: {error!r}")

    async def point(self, number: int, map_id: str, until: float, seconds: list[float]) -> None:
        """Move a pointer over a map."""
        rng = random.Random(number)
        async with connect(self.address.replace("http", "ws") + "latent-map/live", open_timeout=60) as socket:
            while time.perf_counter() < until:
                begun = time.perf_counter()
                await socket.send(json.dumps([map_id, [rng.uniform(-1, 1), rng.uniform(-1, 1)], None]))
                message = await socket.recv()
                seconds.append(time.perf_counter() - begun)
                (size,) = struct.unpack("<I", message[:4])
                if (head := json.loads(message[4 : 4 + size])).get("error"):
                    raise ValueError(head["error"])
                await asyncio.sleep(rng.uniform(*PAUSE))

    async def move(self, visitors: int, seconds: float) -> list[list[float]]:
        """Move all visitors' pointers over the first map; each one's seconds from question to picture."""
        times: list[list[float]] = [[] for _ in range(visitors)]
        until = time.perf_counter() + seconds
        pointers = [self.point(number, self.first, until, times[number]) for number in range(visitors)]
        await asyncio.gather(*(self.watched(f"visitor {number}", one) for number, one in enumerate(pointers)))
        return times

    async def fit(self, number: int, until: float) -> None:
        """Fit one map after the other."""
        while time.perf_counter() < until:
            asked = {"data": ["mnist", None, 200, 2, number]}
            event = (await self.client.post("gradio_api/call/fit", json=asked)).json()["event_id"]
            told = (await self.client.get(f"gradio_api/call/fit/{event}")).text
            if "event: complete" not in told:
                raise ValueError(told[-200:])
            self.fits += 1

    async def region(self, number: int, until: float) -> None:
        """Ask for regions of the slow decoder."""
        box = {"box": [[-0.5, -0.5], [0.5, 0.5]]}
        asked = {"data": ["slow", box, 2, 2, None], "component_id": self.component, "fn_name": "grid"}
        while time.perf_counter() < until:
            told = (
                await self.client.post("gradio_api/component_server", json=asked | {"session_hash": str(number)})
            ).json()
            if len(told.get("points", [])) != 4:
                raise ValueError(str(told)[:200])
            self.slow_regions += 1


async def soak(address: str, quiet: str, visitors: int, seconds: float, fits: int, slow: int) -> dict[str, float]:
    """What they saw, by name; as many visitors of a quiet page see at the same time how busy the machine is."""
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=address, timeout=300, limits=limits, trust_env=False) as client,
        httpx.AsyncClient(base_url=quiet, trust_env=False, timeout=300) as other,
    ):
        crowd, idlers = Crowd(address, client), Crowd(quiet, other)
        await crowd.start()
        await idlers.start()
        await crowd.move(visitors, 1)  # warm
        before = await crowd.move(visitors, max(3, seconds / 4))
        slowly: list[list[float]] = [[] for _ in range(slow)]
        until = time.perf_counter() + seconds
        work = [crowd.watched(f"fit {number}", crowd.fit(number, until)) for number in range(fits)]
        for number in range(slow):
            work.append(crowd.watched(f"slow {number}", crowd.point(number, "slow", until, slowly[number])))
            for _ in range(REGIONS):
                work.append(crowd.watched(f"region {number}", crowd.region(number, until)))
        waiting = [asyncio.ensure_future(one) for one in work]
        during, elsewhere = await asyncio.gather(crowd.move(visitors, seconds), idlers.move(visitors, seconds))
        for task in waiting:  # a slow decoder's last answers may take a minute
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    errors = crowd.errors + idlers.errors
    for error in errors[:5]:
        print("error:", error)
    return {
        "visitors": visitors,
        **{
            f"{when}, {words} ms": 1000 * times[int(share * len(times))]
            for when, all_times in (("before", before), ("during", during), ("quiet page", elsewhere))
            for times in [sorted(chain(*all_times))]
            for words, share in (("median", 0.5), ("95 %", 0.95))
        },
        "slowest visitor, times before": most_times(during, before),
        "slowest visitor, times quiet": most_times(during, elsewhere),
        "fits": crowd.fits,
        "slow pictures": sum(map(len, slowly)),
        "slow regions": crowd.slow_regions,
        "errors": len(errors),
    }


def most_times(during: list[list[float]], idle: list[list[float]]) -> float:
    """The largest of the visitors' medians, in medians of the idle times of them all."""
    usual = statistics.median(chain(*idle))
    return max(statistics.median(times) / usual for times in during if times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--fits", type=int, default=5)
    parser.add_argument("--slow", type=int, default=10)
    given = parser.parse_args()
    with serving(sys.executable, str(HELPERS / "slow_page.py")) as address, serving() as quiet:
        found = asyncio.run(soak(address, quiet, given.visitors, given.seconds, given.fits, given.slow))
    for name, value in found.items():
        print(f"{name:<34}{value:10.2f}", flush=True)
    if found["errors"] or found["slowest visitor, times before"] > 2:
        sys.exit("A visitor got an error, or somebody's pointer became more than twice as slow.")


if __name__ == "__main__":
    main()
