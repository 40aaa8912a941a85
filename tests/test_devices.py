"""Everything runs on a device that is not the CPU (device_checks.py), in a process of its own: torch has one such
device at most, and others' tests are to see none."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(900)  # two minutes on an idle machine
def test_no_tensor_of_a_device_meets_one_of_the_cpu():
    checks = Path(__file__).with_name("device_checks.py")
    asked = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(checks)]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=checks.parents[1], check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
