"""The worked example of an adapter outside of the package, installed and used as its README says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_process import run_code

EXAMPLE = Path(__file__).resolve().parents[2] / "demos" / "third_party_adapter"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example installed into a folder of its own."""
    place = tmp_path_factory.mktemp("third")
    shutil.copytree(EXAMPLE, place / "source")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", place / "site", place / "source"],
        check=True, timeout=200,
    )  # fmt: skip
    return place


def run(installed, code):
    code = f"import sys; sys.path.insert(0, {str(installed / 'site')!r})\n{code}"
    return run_code(code, os.environ, installed)


def test_the_readme_of_the_example_runs_as_it_stands(installed):
    (code,) = re.findall(r"```python\n(.*?)```", (EXAMPLE / "README.md").read_text(), flags=re.DOTALL)
    done = run(installed, code + "\nprint(m.decoder.size, m.v.source)")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "24 waves:sine\n"
    assert (installed / "waves.png").stat().st_size > 0


def test_its_errors_and_its_absence_are_told(installed):
    done = run(installed, 'from latent_vizae import load_decoder\nload_decoder("waves:cosine")')
    assert "knows sine, square, got 'cosine'" in done.stderr
    code = "from latent_vizae import LatentMap\nLatentMap.from_pretrained('waves-map')"
    done = run_code(code, os.environ, installed)
    assert "No decoder is registered for 'waves'" in done.stderr
