"""The JavaScript of the map: what is joined parses, and modules import what there is; rules: `make check`."""

import re
import shutil
import subprocess

import pytest

from latent_vizae.sharing.browser_decoder import runtime_script
from latent_vizae.sharing.static_file import COMPONENT, component

NODE = shutil.which("node")
JOINED = ("start_tiles", "start_onnx", "widget")


def parsed(text, tmp_path):
    file = tmp_path / "joined.mjs"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run([NODE, "--check", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize("name", JOINED)
def test_joined_modules_parse(name, tmp_path):
    parsed(component(name), tmp_path)


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_page_and_the_runtime_parse(tmp_path):
    layout = pytest.importorskip("latent_vizae.demos.page.layout", reason="needs Gradio")
    parsed(f"function page(element, props, trigger, watch, server) {{\n{layout.scripts()}\n}}", tmp_path)
    parsed(runtime_script(), tmp_path)


@pytest.mark.parametrize("file", sorted(COMPONENT.glob("*.js")), ids=lambda file: file.stem)
def test_modules_import_what_there_is(file):
    for names, source in re.findall(r'^import \{ ([^}]+) \} from "\./(\w+)\.js";$', file.read_text(), re.MULTILINE):
        offered = (COMPONENT / f"{source}.js").read_text()
        for name in names.split(", "):
            assert re.search(rf"^export (?:const|(?:async )?function\*?) {name}\b", offered, re.MULTILINE), name


def test_a_module_is_joined_once_and_after_what_it_imports():
    joined = component("widget")
    places = [
        joined.index(words)
        for words in ("function gridIn(", "function drawHeat(", "function mountMap(", "export default")
    ]
    assert places == sorted(places)
    assert joined.count("function mountMap(") == joined.count("function tileTransport(") == 1
    assert not re.search("^import ", joined, re.MULTILINE)
