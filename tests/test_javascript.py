"""The JavaScript of the map: what is joined parses, and modules import what there is; rules: `make check`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from latent_vizae.sharing.browser_decoder import runtime_script
from latent_vizae.sharing.modules import COMPONENT, component, joined

NODE = shutil.which("node")
JOINED = ("start_tiles", "start_onnx", "widget")
PAGE = Path(__file__).resolve().parents[1] / "demos" / "page" / "map"
MODULES = [*sorted(COMPONENT.glob("*.js")), *sorted(PAGE.glob("*.js"))]


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
    parsed(f"function page(element, props, trigger, watch, server) {{\n{joined(PAGE / 'start.js')}\n}}", tmp_path)
    parsed(runtime_script(), tmp_path)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_modules_import_what_there_is(file):
    imports = re.findall(r'^import \{ ([^}]+) \} from "(.+)/(\w+)\.js";$', file.read_text(), re.MULTILINE)
    assert len(imports) == len(re.findall("^import ", file.read_text(), re.MULTILINE))
    for names, where, source in imports:
        offered = ((file.parent if where == "." else COMPONENT) / f"{source}.js").read_text()
        for name in names.split(", "):
            assert re.search(rf"^export (?:const|let|(?:async )?function\*?) {name}\b", offered, re.MULTILINE), name


@pytest.mark.parametrize(
    "entry", [*(COMPONENT / f"{name}.js" for name in JOINED), PAGE / "start.js"], ids=lambda f: f.stem
)
def test_no_name_is_given_twice_in_what_is_joined(entry):
    names = re.findall(r"^(?:const|let|(?:async )?function\*?) (\w+)", joined(entry), re.MULTILINE)
    assert sorted(set(names)) == sorted(names)


def test_the_page_has_no_module_that_it_does_not_use():
    start = joined(PAGE / "start.js")
    for file in PAGE.glob("*.js"):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        assert start.count(first) == 1, file.name


def test_a_module_is_joined_once_and_after_what_it_imports():
    joined = component("widget")
    places = [
        joined.index(words)
        for words in ("function gridIn(", "function drawHeat(", "function mountMap(", "export default")
    ]
    assert places == sorted(places)
    assert joined.count("function mountMap(") == joined.count("function tileTransport(") == 1
    assert not re.search("^import ", joined, re.MULTILINE)
