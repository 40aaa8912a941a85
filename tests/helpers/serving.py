"""The page running in a process of its own, and a browser; for tests and for the benchmark of the page."""

from __future__ import annotations

import asyncio
import atexit
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))), None)
"""The first is the same without a desktop's windows, for half of the work."""
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
READY = '[data-state="ready"]'
STATS = "[...document.querySelectorAll('*')].find(e => e.__lv).__lv"


class Address(str):
    """Where a page runs; its process, and the file with what it printed."""

    pid: int
    log: Path


@contextmanager
def serving(*command: str, cwd=None, environment: Mapping[str, str] | None = None, port: int = 0) -> Iterator[Address]:
    """Run ``latent-vizae demo`` on the digits (or another command, to which the port is added); its address."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # where a page has just ended
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    command = command or (sys.executable, "-m", "latent_vizae.cli", "demo", "--first", "digits")
    offline = {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    with tempfile.TemporaryDirectory() as folder:
        address = Address(f"http://127.0.0.1:{port}/")
        address.log = Path(folder) / "log"
        with address.log.open("wb") as log:
            process = subprocess.Popen(
                [*command, "--port", str(port)],
                cwd=cwd, env={**os.environ, **offline, **(environment or {})}, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        address.pid = process.pid
        try:
            until = time.monotonic() + 180
            while True:
                if process.poll() is not None:
                    raise RuntimeError(f"the page ended: {address.log.read_text()}")
                try:
                    with urllib.request.urlopen(address, timeout=5):
                        break
                except OSError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.25)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def shared_page(*command: str) -> Address:
    """One such page for all tests of this process; it ends with it, and sleeps from `rest_pages` to the next call."""
    address = _shared(*command)
    _awake.add(address.pid)
    os.kill(address.pid, signal.SIGCONT)
    return address


@cache
def _shared(*command: str) -> Address:
    stack = ExitStack()
    atexit.register(stack.close)
    address = stack.enter_context(serving(*command))
    stack.callback(os.kill, address.pid, signal.SIGCONT)  # or it would not hear that it is to end
    return address


_awake: set[int] = set()


def rest_pages() -> None:
    """Stop the shared pages: each looks a thousand times a second for something to do, with 4 % of a core."""
    while _awake:
        os.kill(_awake.pop(), signal.SIGSTOP)


def host_page() -> Address:
    """The page with a slow decoder, and a host that sets the map's value."""
    return shared_page(sys.executable, str(Path(__file__).parent / "host_page.py"))


def awaited(coroutine: Coroutine):
    """What it returns, from a thread of its own: while a browser runs, its driver's loop is this one's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@contextmanager
def browsing() -> Iterator:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


_open = ExitStack()
_running: list = []


def shared_browser():
    """The browser of this process, until `close_browser`; another one where it has crashed."""
    if _running and not _running[0].is_connected():
        close_browser()
    if not _running:
        _running.append(_open.enter_context(browsing()))
    return _running[0]


def close_browser() -> None:
    """End it, if it runs."""
    _running.clear()
    _open.close()


@contextmanager
def visiting(browser, address: str, **options) -> Iterator:
    """A fresh visitor, with the map before him; at the end nothing may have gone wrong or out."""
    with _visitor(browser, address, {"viewport": {"width": 1280, "height": 1000}, **options}) as page:
        wrong, outside = [], []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: outside.append(request.url) if not is_here(request.url) else None)
        page.goto(address)
        page.wait_for_selector(READY, timeout=30_000)
        yield page
        page.close()
        assert (wrong, outside) == ([], []), f"errors {wrong}, requests elsewhere {outside}"


_absent: WeakKeyDictionary = WeakKeyDictionary()
"""By browser: contexts of which nobody uses one now, by address and options."""


@contextmanager
def _visitor(browser, address: str, options: dict) -> Iterator:
    """A page in a context without cookies and stored things, for one visitor at a time.

    Afterwards the context waits for the next one: with what the page consists of in its cache, and with a document of
    the page's origin, or its process would end. So a visit takes 1.5 processor seconds instead of 2.7.
    """
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    waiting = _absent.setdefault(browser, {}).setdefault((origin, json.dumps(options)), [])
    if waiting:
        context = waiting.pop()
    else:
        context = browser.new_context(**options)
        context.new_page().goto(f"{origin}/robots.txt")
    page = context.new_page()
    try:
        yield page
        for left in context.pages[1:]:
            left.close()
        session = context.new_cdp_session(context.pages[0])
        session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        session.detach()
    except BaseException:
        context.close()
        raise
    waiting.append(context)


def is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


# What a test does on the page, and sees.


def pixels(page, selector: str) -> np.ndarray:
    """What a canvas shows, (H, W, 4)."""
    page.locator(selector).first.scroll_into_view_if_needed()
    return np.asarray(Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("RGBA")).astype(int)


def changed(page, selector: str, before: np.ndarray, share: float = 0.001, seconds: float = 20) -> np.ndarray:
    """Wait until more than a share of a canvas's pixels is another than before; its pixels."""
    until = time.monotonic() + seconds
    while True:
        now = pixels(page, selector)
        if now.shape != before.shape or (np.abs(now - before).max(2) > 24).mean() > share:
            return now
        assert time.monotonic() < until, f"{selector} has not changed"
        page.wait_for_timeout(100)


def still(page, selector: str, seconds: float = 20) -> np.ndarray:
    """Wait until a canvas's pixels are the same as half a second before; its pixels."""
    until, now = time.monotonic() + seconds, pixels(page, selector)
    while True:
        page.wait_for_timeout(500)
        before, now = now, pixels(page, selector)
        if np.array_equal(before, now):
            return now
        assert time.monotonic() < until, f"{selector} does not come to rest"


def spot(page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the map's canvas is, x and y from 0 to 1."""
    canvas = page.locator(".lv-map canvas").first
    canvas.scroll_into_view_if_needed()
    box, before = canvas.bounding_box(), None
    while box != before:  # while the page comes to rest
        page.wait_for_timeout(20)
        box, before = canvas.bounding_box(), box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def despite_reloads(page, act: Callable[[], object], seconds: float = 30) -> object:
    """Act on a page that Gradio's client loads anew once its server is back: again where it did so meanwhile."""
    from playwright import sync_api

    until = time.monotonic() + seconds
    while True:
        try:
            return act()
        except (sync_api.Error, TypeError) as error:  # no context, or a canvas without a box
            if isinstance(error, sync_api.TimeoutError) or time.monotonic() > until:
                raise
            page.wait_for_timeout(200)


def place(page, x: float, y: float) -> tuple[float, float]:
    """Which place of a 2-D map lies there, while all of it is shown."""
    box = page.locator(".lv-map canvas").first.bounding_box()
    unit = min(box["width"], box["height"]) / 2.12
    return (x - 0.5) * box["width"] / unit, (0.5 - y) * box["height"] / unit


def drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*spot(page, *start))
    page.mouse.down()
    page.mouse.move(*spot(page, *end), steps=8)
    page.mouse.up()


def at(page) -> list[float]:
    """The place whose picture is shown."""
    return [float(value) for value in page.locator(READY).first.get_attribute("data-at").split(",")]


def readout(page) -> list[float]:
    """The place that the page says in words."""
    words = page.locator(".lv-at").inner_text().replace("\N{MINUS SIGN}", "-")
    return [float(number) for number in re.findall(r"-?\d+\.\d+", words)]


def decodes(page) -> int:
    return int(page.locator(READY).first.get_attribute("data-decodes") or 0)


def more_decodes(page, before: int) -> None:
    """Wait for another picture, and for that of the very place asked for last."""
    page.wait_for_function(
        """before => { const { decodes, asked, at } = document.querySelector('[data-state=ready]').dataset;
        return Number(decodes || 0) > before && asked === at; }""",
        arg=before,
    )


def hover(page, x: float, y: float) -> None:
    """Point there, and wait for its picture."""
    before = decodes(page)
    page.mouse.move(*spot(page, x, y))
    more_decodes(page, before)


def fit_on_page(page, count: int, dim: int, seconds: float = 120) -> None:
    """Fit a map of the bundled examples, as a visitor does."""
    page.get_by_role("tab", name="Fit a map").click()
    page.locator("#lv-count input").fill(str(count))
    page.locator("#lv-count input").press("Tab")
    page.locator("#lv-dim").get_by_label(str(dim)).check()
    page.locator("#lv-fit").click()
    page.locator(f'#lv [data-dim="{dim}"], #lv[data-dim="{dim}"]').first.wait_for(timeout=1000 * seconds)
    title = page.locator(".lv-title", has_text=re.compile(f"^{count} (of [0-9,]+ )?codes of mnist"))
    title.wait_for(timeout=1000 * seconds)  # the map before may have had this dimension
