"""A real JupyterLab in a browser: a map's frame, samples, and the widget with its selection in Python."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from serving import CHROMIUM

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("jupyterlab", "ipykernel", "anywidget")),
        reason="needs JupyterLab and anywidget",
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CELLS = [
    """\
import torch
from latent_vizae import LatentMap, fit
from latent_vizae.widget import MapWidget
codes = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
weight = torch.randn(5, 16, generator=torch.Generator().manual_seed(1)) / 4
m = LatentMap(fit(codes, seed=0), lambda z: (z @ weight).sigmoid().reshape(-1, 1, 4, 4))
w = MapWidget(m, labels=["a", "<b>", "c"] * 20, title="<script>alert(1)</script>")
w""",
    'w.indices = [1, 2]\nprint("set", w.selection.points.shape)',
    'print("got", sorted(w.indices))\nm',
    "m.path((-1, 0), (1, 0), frames=5)",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a notebook with those cells."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [
        {"cell_type": "code", "id": f"c{at}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for at, source in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "map.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    never = "jupyterlab.NeverCheckForUpdate"
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
        f"--notebook-dir={folder}", "--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.news_url=",
        f"--LabApp.check_for_updates_class={never}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own, "OMP_NUM_THREADS": "1"})
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/lab/tree/map.ipynb"
    finally:
        process.terminate()
        process.wait(timeout=30)


def run_cell(page):
    page.keyboard.press("Shift+Enter")


def test_the_widget_the_frame_and_samples_work_in_jupyterlab(lab, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.goto(lab)
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=90_000)  # the kernel is there
    for _ in range(20):  # what is run before the kernel's socket is open is lost
        page.locator(".jp-Notebook .jp-Cell .jp-InputArea").first.click()
        run_cell(page)
        page.wait_for_timeout(1500)
        if re.search(r"\[(\*|\d+)\]", page.locator(".jp-Notebook .jp-InputPrompt").first.inner_text()):
            break
    widget = page.locator(".jp-OutputArea .lv")
    page.wait_for_selector('.lv[data-state="ready"]', timeout=90_000)
    assert widget.locator("h1").inner_text() == "<script>alert(1)</script>"
    run_cell(page)
    page.get_by_text("set torch.Size([2, 2])").wait_for(timeout=30_000)
    widget.get_by_role("button", name="Show all").click()
    widget.get_by_role("button", name="Region").click()
    canvas = widget.locator(".canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 5, steps=5)
    page.mouse.up()
    widget.get_by_text("60 of 60 codes lie in this region.").wait_for(timeout=20_000)
    page.locator(".jp-Notebook .jp-Cell .jp-InputArea").nth(2).click()
    run_cell(page)
    page.get_by_text(f"got {list(range(60))}").wait_for(timeout=30_000)
    frame = page.frame_locator("iframe[srcdoc]")
    frame.locator('.lv[data-state="ready"]').wait_for(timeout=60_000)
    run_cell(page)
    page.locator('.jp-OutputArea img[src^="data:image/gif"]').wait_for(timeout=60_000)
    if where := os.environ.get("SHOTS"):
        page.screenshot(path=f"{where}/lab.png")
        widget.scroll_into_view_if_needed()
        page.screenshot(path=f"{where}/lab-widget.png")
    page.close()
