"""The page on a map in hand: opened from a script on any callable, closed again; and by the command on a folder."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from draws import normal
from serving import CHROMIUM, READY, drag, hover, pixels, serving, visiting
from typer.testing import CliRunner

from latent_vizae import LatentMap, fit
from latent_vizae.cli.app import app

EVIL = "<script>window.bad = 1</script><img src=x onerror='window.bad = 1'>"

pytest.importorskip("gradio")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # of sockets, and of Gradio
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SCRIPT = f"""
import sys, threading, torch
from latent_vizae import LatentMap, fit
codes = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
weight = torch.randn(6, 192, generator=torch.Generator().manual_seed(1)) / 4
m = LatentMap(fit(codes, seed=0), lambda z: (z @ weight).sigmoid().reshape(-1, 3, 8, 8))
threads, state = torch.get_num_threads(), torch.get_rng_state()
page = m.show(codes=codes, labels=[{EVIL!r}, "b", "c"] * 40, title={EVIL!r}, browser=False)
assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
second = m.show(title="second", browser=False)
print(page.url, second.url, flush=True)
sys.stdin.readline()
page.close(); page.close(); second.close()
print(page, threading.active_count() < 20, flush=True)
sys.stdin.readline()
"""


@contextmanager
def script():
    """A script that shows two maps; the process, and their addresses."""
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            addresses = process.stdout.readline().split()
            assert len(addresses) == 2
            yield process, addresses
        finally:
            process.kill()


def test_a_script_shows_a_map_of_any_callable_and_closes_it(browser):
    with script() as (process, (first, second)):
        assert first != second
        with visiting(browser, first) as page:
            assert page.locator(".lv-title").inner_text() == EVIL
            assert EVIL in page.locator(".lv-legend").inner_text()
            before = pixels(page, ".lv-preview canvas")
            hover(page, 0.3, 0.4)
            hover(page, 0.7, 0.6)
            assert (np.abs(pixels(page, ".lv-preview canvas") - before) > 24).any()
            assert page.evaluate("window.bad") is None
        with visiting(browser, second) as page:
            assert page.locator(".lv-title").inner_text() == "second"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == f"Page({first!r}, closed) True"
        for address in (first, second):
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(address, timeout=5)


def test_the_command_opens_a_saved_map(m, tmp_path, browser):
    m.v.save_pretrained(tmp_path / "fives")
    command = (sys.executable, "-m", "latent_vizae.cli", "demo", "--map", str(tmp_path / "fives"))
    with serving(*command) as address, visiting(browser, address) as page:
        assert page.locator(".lv-title").inner_text() == "fives"
        assert page.locator(READY).count() == 1
        hover(page, 0.4, 0.5)


def test_certificate_and_files_of_a_slow_decoder_count_and_are_cancelled(m, browser):
    def slow(codes):
        time.sleep(0.2 * len(codes))
        return m.decoder(codes)

    left = re.compile(r"about \d+ (s|min) left")
    with LatentMap(m.v, slow).show(browser=False) as served, visiting(browser, served.url) as page:
        page.locator(".lv-tool-region").click()
        page.locator(".lv-cells").evaluate("field => { field.value = 7; }")
        drag(page, (0.3, 0.3), (0.6, 0.6))
        page.wait_for_selector("[data-decoded]")
        page.locator("#lv-measure").click()
        page.locator("#lv-certificate").filter(has_text=left).wait_for()
        page.locator("#lv-measure-cancel").click()
        page.get_by_text("Stopped; nothing was measured.").wait_for()
        page.get_by_role("tab", name="Keep").click()
        page.locator("#lv-prepare").click()
        page.locator("#lv-files").filter(has_text=left).wait_for()
        page.locator("#lv-prepare-cancel").click()
        page.locator("#lv-files").filter(has_text=re.compile(r"v\s*\.zip")).wait_for()
        assert "grid" not in page.locator("#lv-files").inner_text()


def test_a_page_in_a_notebook_is_a_frame_and_ends_its_with(m):
    with m.show(browser=False) as page:
        processes = list(page._demo.workers._idle)
        assert page.url in page._repr_html_()
        assert urllib.request.urlopen(page.url, timeout=10).status == 200
    assert "closed" in repr(page)
    assert processes
    assert all(process.poll() is not None for process in processes)
    assert "iframe" not in page._repr_html_()


def test_bad_input_is_answered_before_anything_is_served(linear):
    m = LatentMap(fit(normal(20, 5), seed=0), linear(normal(5, 16) / 20))
    for options, error, message in (
        ({"labels": [1]}, ValueError, "20 codes"),
        ({"codes": torch.zeros(3, 5)}, ValueError, "20 of them, got 3"),
        ({"codes": torch.zeros(20, 4)}, ValueError, r"\(5,\)|shape"),
        ({"title": 1}, TypeError, "title is text"),
        ({"names": 5}, TypeError, "names are"),
    ):
        with pytest.raises(error, match=message):
            m.show(browser=False, **options)
    odd = LatentMap(m.v, lambda z: z[:, :1, None, None].sigmoid().expand(-1, 7, 4, 4))
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        odd.show(browser=False)


def test_the_command_says_what_is_wrong_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.execve", None)  # the page would take this process's place
    for given, message in (
        (["--map", "nowhere"], "no folder"),
        (["--decoder", "nothing"], "No decoder is registered"),
        (["--columns", "x.csv"], "give --map too"),
    ):
        done = CliRunner().invoke(app, ["demo", *given])
        assert done.exit_code == 2
        assert message in done.stderr
