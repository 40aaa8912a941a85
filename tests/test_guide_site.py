"""The guide as a site: it is built strictly, and a broken link, formula or name does not pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")
pytest.importorskip("latex2mathml")

import latent_vizae
from latent_vizae.demos import guide_site

ROOT = Path(__file__).resolve().parents[1]


def build(config: Path, site: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide") / "site"
    run = build(ROOT / "mkdocs.yml", folder)
    assert run.returncode == 0, run.stderr
    return folder


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_page_of_the_guide_is_there_and_in_the_navigation(site):
    start = (site / "index.html").read_text()
    for page in (ROOT / "demos" / "guide").glob("*.md"):
        if page.name != "README.md":
            assert (site / page.stem / "index.html").is_file()
            assert f'href="{page.stem}/"' in start, page.name
    for page in ("gallery", "zoo", "api", "contributing", "changelog"):
        assert f'href="{page}/"' in start, page


def test_nothing_is_fetched_from_another_server(site):
    fetched = re.compile(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
    for page in pages(site):
        found = [tag for tag in fetched.findall(page.read_text()) if 'rel="canonical"' not in tag]
        assert found == [], page


def test_every_picture_of_a_page_is_on_the_site(site):
    for page in pages(site):
        for source in re.findall(r"<img\b[^>]*\bsrc=\"([^\":]+)\"", page.read_text()):
            assert (page.parent / source).resolve().is_file() or (site / source.lstrip("/")).is_file(), (page, source)


def test_formulas_are_drawn_without_a_script(site):
    text = (site / "how-fit-works" / "index.html").read_text()
    assert text.count("<math ") >= 5
    assert "\\min" not in text
    assert "arithmatex" not in text


def test_the_reference_has_every_public_name(site):
    text = (site / "api" / "index.html").read_text()
    for name in latent_vizae.__all__:
        assert re.search(rf'<h2 id="latent_vizae\.[\w.]+\.{name}"', text), name


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("[there](nowhere.md)", "nowhere.md, which is not there"),
        ("[there](other.md#nowhere)", "nowhere"),
        ("::: latent_vizae.nowhere", "nowhere"),
    ],
)
def test_what_is_broken_does_not_pass(tmp_path, broken, said):
    """With small pages: all of ours take seconds."""
    guide = tmp_path / "demos" / "guide"
    for page in ("demos/guide/other.md", *guide_site.PAGES):
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text("# Other\n")
    shutil.copy(ROOT / "demos" / "guide_site.py", tmp_path / "demos")
    (guide / "extra.css").touch()
    (guide / "README.md").write_text(f"# Start\n\n{broken}\n")
    config = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    run = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert run.returncode != 0
    assert said in run.stderr
