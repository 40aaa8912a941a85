"""Run the notebooks of ``demos/notebooks`` from their first cell to the last, and keep their outputs in them.

    python -m latent_vizae.demos.run_notebooks             # all of them, minutes
    python -m latent_vizae.demos.run_notebooks fives
    python -m latent_vizae.demos.run_notebooks --check     # run them and change no file

Each runs in an empty folder and a kernel of its own. One that needs a package that is not installed is passed over,
with a line that says so.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from latent_vizae.storage.folder import atomic_file

NOTEBOOKS = Path(__file__).parent / "notebooks"
MOST_SECONDS = 300
"""For one cell."""
MOST_BYTES = 1_000_000
"""Of a notebook with its outputs."""


def missing(notebook: Any) -> list[str]:
    """Packages that the notebook needs, by its metadata, and that are not here."""
    return [name for name in notebook.metadata.get("needs", []) if find_spec(name) is None]


def small(data: dict[str, Any]) -> dict[str, Any]:
    """One picture of those that an output holds: an animation, or a still in 128 colours; and the text."""
    if "image/png" not in data:
        return data
    if "image/gif" in data:
        return {kind: value for kind, value in data.items() if not kind.startswith("image/")}  # it is in the HTML
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        still = io.BytesIO()
        picture.convert("RGB").quantize(128).save(still, "PNG", optimize=True)
    kept = {"image/png": base64.b64encode(still.getvalue()).decode()}
    return kept | {kind: value for kind, value in data.items() if kind == "text/plain"}


def run(path: Path) -> Any:
    """The notebook with new outputs; nothing of this run but what its cells show is in it.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=MOST_SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}},
            record_timing=False,
        )  # fmt: skip
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":  # bars of progress, and warnings of other packages, go to stderr
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data = nbformat.from_dict(small(output.data))
    return notebook


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run."""
    known = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; by default all")
    parser.add_argument("--check", action="store_true", help="change no file")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(known):
        parser.error(f"there is no notebook {', '.join(sorted(unknown))}")
    failed = []
    for name in given.names or known:
        path, start = NOTEBOOKS / f"{name}.ipynb", time.monotonic()
        if lacks := missing(nbformat.read(path, as_version=4)):
            print(f"{name}: SKIPPED, needs pip install --no-deps {' '.join(lacks)}")
            continue
        try:
            notebook = run(path)
        except CellExecutionError as error:
            print(f"{name}: FAILED\n{error}")
            failed.append(name)
            continue
        text = nbformat.writes(notebook) + "\n"
        print(f"{name}: ran in {time.monotonic() - start:.0f} s, {len(text) / 1e6:.2f} MB")
        if len(text) > MOST_BYTES:
            print(
                f"{name}: FAILED, its outputs are more than {MOST_BYTES / 1e6:.0f} MB: show fewer or smaller pictures"
            )
            failed.append(name)
        elif not given.check:
            with atomic_file(path) as partial:
                partial.write_text(text, encoding="utf-8")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
