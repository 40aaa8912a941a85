"""The notebooks as they are kept, and what runs them. `.ci/run` runs them all; here only small ones run."""

import json

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
run_notebooks = pytest.importorskip("latent_vizae.demos.run_notebooks")

KEPT = sorted(run_notebooks.NOTEBOOKS.glob("*.ipynb"))


def test_the_notebooks_of_the_guide_are_there():
    assert {"directions", "emoji", "fives", "prompts", "your-generator"} <= {path.stem for path in KEPT}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_notebook_ran_to_its_end_and_is_small(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]
    assert any("image/png" in o.get("data", {}) for cell in cells for o in cell.outputs)
    text = path.read_text(encoding="utf-8")
    assert len(text) < run_notebooks.MOST_BYTES
    for foreign in ("/tmp/", "/root/", "/home/", "/work/", "Warning"):
        assert foreign not in text


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of notebooks, each one cell."""

    def write(name, source, **metadata):
        notebook = nbformat.v4.new_notebook(metadata=metadata)
        notebook.cells.append(nbformat.v4.new_code_cell(source))
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        return tmp_path / f"{name}.ipynb"

    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    return write


def test_a_notebook_runs_and_keeps_one_small_picture(notebooks, capsys):
    source = """
from PIL import Image
from IPython.display import display
import os, sys
print("halfway", file=sys.stderr)
print("done", os.listdir())
display(Image.effect_noise((300, 300), 80).convert("RGB"))
"""
    path = notebooks("good", source)
    before = path.read_bytes()
    run_notebooks.main(["--check"])
    assert path.read_bytes() == before
    run_notebooks.main([])
    assert capsys.readouterr().out.count("good: ran in") == 2
    said, shown = json.loads(path.read_text())["cells"][0]["outputs"]
    assert "".join(said["text"]) == "done []\n"  # in an empty folder, without what went to stderr
    assert set(shown["data"]) == {"image/png", "text/plain"}
    assert len(shown["data"]["image/png"]) < 300 * 300 * 1.4


def test_a_cell_that_fails_fails_the_command_and_changes_nothing(notebooks, capsys):
    path = notebooks("bad", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(SystemExit):
        run_notebooks.main([])
    assert "bad: FAILED" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_what_needs_another_package_is_passed_over_with_a_word(notebooks, capsys):
    notebooks("far", "1 / 0", needs=["no_such_package"])
    run_notebooks.main([])
    assert "far: SKIPPED, needs pip install --no-deps no_such_package" in capsys.readouterr().out


def test_an_unknown_name_is_said(notebooks, capsys):
    notebooks("good", "1")
    with pytest.raises(SystemExit):
        run_notebooks.main(["none"])
    assert "there is no notebook none" in capsys.readouterr().err
