"""What a reader meets: README, the guide, the notes beside them. Their code runs, their links lead somewhere."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import typer.main

from latent_vizae.cli.app import app
from latent_vizae.demos import guide_pictures

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "demos" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]


def prose_of(file: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 9000


def test_the_citation_is_of_this_version():
    (cited,) = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert f'\nversion = "{cited}"\n' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_guides_code_runs(page, tmp_path, monkeypatch):
    """And draws the pictures that the page shows; one of a block that needs what is not here has to wait."""
    monkeypatch.chdir(tmp_path)
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
        compile(code, f"{page.name}, code block {number + 1}", "exec")
    waiting = "".join(guide_pictures.run(page))
    drawn = {file.name for file in tmp_path.iterdir()}
    assert [name for name in guide_pictures.shown(page) if name not in drawn and name not in waiting] == []


def test_every_picture_of_the_guide_is_of_a_page_and_light():
    assert [page.name for page in PAGES if not re.search(r"!\[[^]]+\]\(", page.read_text())] == []
    there = {file.name: file.stat().st_size for file in guide_pictures.PICTURES.iterdir()}
    assert set(there) == {name for page in PAGES for name in guide_pictures.shown(page)}
    assert max(there.values()) < 700_000
    assert sum(there.values()) < 4_000_000


def test_marks_of_what_is_not_run_stand_before_code():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for mark, language in ((f"<!-- {guide_pictures.NEEDS}", "python"), ("<!-- runs", "bash")):
            before_code = re.findall(rf"^{mark}[^\n]* -->\n```{language}$", text, re.MULTILINE)
            assert text.count(mark) == len(before_code), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_guides_commands_are_ours(page):
    """Each command line of ours is parsed, with names and types of its options, and not run."""
    commands = typer.main.get_command(app).commands
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line.split(" > ")[0])
            while words and words[0] not in ("latent-vizae", "latent_vizae.cli"):
                words.pop(0)
            assert words, f"{page.name}: {line} runs no command of ours"
            commands[words[1]].make_context(words[1], words[2:])


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links_lead_somewhere(page):
    text = prose_of(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, f"{page.name} links to {target}"


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_files_that_are_named_are_there(page):
    for name in re.findall(r"`((?:latent_vizae|adapters|demos|tests)/[\w./-]*)`", prose_of(page)):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_one_title_and_is_in_the_index(page):
    lines = prose_of(page).splitlines()
    assert lines[0].startswith("# ")
    assert sum(line.startswith("# ") for line in lines) == 1
    if page.name != "README.md":
        assert f"({page.name})" in (GUIDE / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables():
    """The writer of the benchmark's tables."""
    sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
    try:
        import tables

        yield tables
    finally:
        sys.path.pop(0)


def test_the_benchmarks_tables_are_those_of_the_stored_results(tables, tmp_path):
    """Written anew, README and the guide stay as they are: no figure of theirs is older than the results."""
    copies = [tmp_path / "README.md", tmp_path / "benchmarks.md"]
    for copy, file in zip(copies, (tables.README, tables.PAGE), strict=True):
        copy.write_bytes(file.read_bytes())
    tables.write(readme=copies[0], page=copies[1])
    assert copies[0].read_text() == tables.README.read_text()
    assert copies[1].read_text() == tables.PAGE.read_text()


def test_readme_has_four_rows_of_the_benchmark(tables):
    table = (ROOT / "README.md").read_text().partition("<!-- benchmark: headline -->")[2].partition("<!--")[0]
    assert [line.split(" | ")[0].strip("| ") for line in table.strip().splitlines()[2:]] == list(tables.HEADLINE)


def row(method, size=20, name="mnist", **values):
    return {"set": name, "size": size, "method": method, "fit_cpu_s": 1.0, **values}


def test_tables_show_the_best_and_where_others_are_better(tables):
    rows = [
        row(tables.US, image_error=0.2, trust_7=0.9, cont_7=0.9, fvu=0.5),
        row("PCA", image_error=0.1, trust_7=0.91, cont_7=0.902, fvu=0.5),
        row("RBF", image_error=0.3, trust_7=0.99, cont_7=0.99, fvu=0.495),
    ]
    assert "| 0.2000 (1 s) | **0.1000** (1 s) |" in tables.errors(rows)
    better = tables.lost(rows).splitlines()[2:]
    assert better == [
        "| mnist | 20 | image error | 0.200 | PCA | 0.100 |",
        "| mnist | 20 | trustworthiness | 0.900 | PCA | 0.910 |",  # not of RBF, which has UMAP's map
    ]
    assert "RBF" not in tables.neighbours(rows)


def test_readmes_rows_are_the_largest_of_each_set(tables):
    rows = [row(tables.US, size, image_error=0.1) for size in (20, 2000)]
    assert tables.headline(rows).splitlines()[2:] == ["| mnist | 2,000 | **0.1000** (1 s) |"]


def test_a_page_without_its_marks_is_refused(tables, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- benchmark: lost -->\n")
    with pytest.raises(SystemExit, match="to put the table between"):
        tables.into_page(page, "lost", "x")
    assert page.read_text() == "<!-- benchmark: lost -->\n"


def test_what_a_map_shows_is_told_where_it_was_measured(tables):
    typical = {"norm": 1.0, "unlikeness": 0.9, "spread": 0.8, "wasserstein": 1.25}
    rows = [row(tables.US, **typical), row("PCA", **typical | {"norm": 0.3}), row("RBF", norm=1.0)]
    assert tables.typical(rows).splitlines() == [
        "| set | codes | latent_vizae | PCA |",
        "| --- | --- | ---: | ---: |",
        "| mnist | 20 | 1.00, 0.90, 0.80, 1.25 | 0.30, 0.90, 0.80, 1.25 |",
    ]
