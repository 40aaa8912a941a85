"""A few hundred damaged folders, tables and pictures of each kind; `make fuzz` tries 10,000."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory and time as Linux does")
@pytest.mark.parametrize("kind", ["v", "zoo"])
def test_a_damaged_folder_ends_in_a_clean_error_or_a_correct_load(kind):
    script = Path(__file__).with_name("fuzz.py")
    done = subprocess.run(
        [sys.executable, script, "--kind", kind, "--count", "400", "--seed", "7"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{kind}: 400 mutations" in done.stdout
    assert "loaded" in done.stdout
    assert "ValueError" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory and time as Linux does")
@pytest.mark.parametrize("kind", ["tables", "pictures"])
def test_an_input_is_a_right_answer_or_a_clear_error(kind):
    script = Path(__file__).with_name("fuzz_inputs.py")
    done = subprocess.run(
        [sys.executable, script, "--kind", kind, "--count", "400", "--seed", "7"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{kind}: 400 cases" in done.stdout
    assert "right" in done.stdout
    assert "refused" in done.stdout
