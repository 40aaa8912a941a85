"""All tests that fit or train, on other instructions, thread counts and seeds: `make matrix`, or a part of it.

Training magnifies the last bit of a sum. So processors with other instructions give other maps of the same seed, as
other seeds do; a test of one map at its own figures fails elsewhere. Arguments after -- go to pytest:

    python tests/matrix.py --capability avx2 --threads 1 --shifts 0 1 -- -n 2 tests/fitting
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

LEFT_OUT = [
    "adapters", "demos/page", "demos/test_notebooks.py", "helpers", "storage", "test_fuzz.py",
    "test_guide_site.py", "test_house.py", "test_javascript.py", "test_layers.py",
]  # fmt: skip
"""A browser, a Hub and files: nothing there hangs on the last bit."""
UNSHIFTED = ["demos/gallery/test_gallery.py", "test_devices.py", "test_documents.py"]
"""What pages and the guide say is of seed 0; processes of their own are not told of a shift: one of them is enough."""


def run(capability: str, threads: int, shift: int, more: list[str]) -> tuple[list[str], str]:
    """The tests that fail in one cell, and pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=no", f"--seed-shift={shift}"]
    command += [f"--ignore=tests/{name}" for name in LEFT_OUT + (UNSHIFTED if shift else [])] + more
    limits = {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": str(threads)}
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, env={**os.environ, **limits}, stdout=subprocess.PIPE, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    last = done.stdout.strip().splitlines()[-1:] or [""]
    if done.returncode not in (0, 1):
        failed.append(f"pytest ended with {done.returncode}")
    return failed, last[0]


def main() -> int:
    """Run the cells one after the other and print a table of what fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", nargs="+", default=["default", "avx2"], help="values of ATEN_CPU_CAPABILITY")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--shifts", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="values of --seed-shift")
    parser.add_argument("pytest", nargs="*", help="after --: arguments for pytest")
    asked = parser.parse_args()

    cells = list(itertools.product(asked.shifts, asked.capability, asked.threads))
    table: dict[str, list[str]] = {}
    for done, (shift, capability, threads) in enumerate(cells, start=1):
        start, name = time.monotonic(), f"{capability}/{threads}/+{shift}"
        failed, last = run(capability, threads, shift, asked.pytest)
        for test in failed:
            table.setdefault(test, []).append(name)
        print(f"{done}/{len(cells)} {name}: {last} ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"\n{len(table)} tests fail in some of {len(cells)} cells (instructions/threads/seed shift)")
    for test, names in sorted(table.items(), key=lambda item: -len(item[1])):
        print(f"{len(names):3d} {test}: {', '.join(names)}")
    return 1 if table else 0


if __name__ == "__main__":
    sys.exit(main())
