"""How much longer work takes beside other programs: `make bench-busy`, or `python tests/benchmarks/busy.py`.

Each job runs alone and beside 1, 2 and 4 loops that keep a core busy, in turns, so that a drift of the machine's speed
meets all alike; medians, as ratios to the idle machine. With P processors and L loops a fair share is
max(1, (1 + L) / P) times idle for work on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from latent_vizae import LatentMap, fit, load_decoder

RESULTS = Path(__file__).parent / "results"
LOOPS = 0, 1, 2, 4


def processor() -> str:
    """Its name, and how many there are of it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


@contextlib.contextmanager
def beside(loops: int) -> Iterator[None]:
    """So many other programs, each of which would keep a core busy."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def jobs(count: int) -> dict[str, Callable[[], object]]:
    """What is timed; ``count`` codes are placed."""
    f_d = load_decoder("mnist")
    digits, _ = f_d.examples(count=4000)
    normal = torch.Generator().manual_seed(0)
    plain, many = torch.randn(20_000, 16, generator=normal), torch.randn(count, 16, generator=normal)
    v, wide = fit(digits, f_d), fit(plain)
    m = LatentMap(v, f_d)
    return {
        "fit of 4,000 digits with decoder": lambda: fit(digits, f_d),
        "fit of 20,000 codes without": lambda: fit(plain),
        f"placing {count:,} codes": lambda: wide.encode(many),
        "10 x 10 grid": lambda: [m.grid(shape=(10, 10)) for _ in range(10)],
        "nearest point of one code": lambda: [v.encode(digits[at : at + 1]) for at in range(100)],
    }


def main() -> None:
    """Time all jobs in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--codes", type=int, default=1_000_000)
    asked = parser.parse_args()
    work = jobs(asked.codes)
    seconds: dict[str, dict[int, list[float]]] = {name: {loops: [] for loops in LOOPS} for name in work}
    for _ in range(asked.rounds):
        for loops in LOOPS:
            with beside(loops):
                for name, job in work.items():
                    started = time.perf_counter()
                    job()
                    seconds[name][loops].append(time.perf_counter() - started)
                    print(loops, name, round(seconds[name][loops][-1], 3), flush=True)
    medians = {
        name: {loops: statistics.median(found) for loops, found in each.items()} for name, each in seconds.items()
    }
    lines = [
        "# Beside other programs",
        f"`make bench-busy` on {processor()}; {torch.get_num_threads()} threads, torch {torch.__version__}.",
        "Seconds on the idle machine, and how many times that beside 1, 2 and 4 programs that keep a core busy each.",
        "",
        "| | idle, s | beside 1 | beside 2 | beside 4 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, found in medians.items():
        ratios = " | ".join(f"{found[loops] / found[0]:.2f}" for loops in LOOPS[1:])
        lines.append(f"| {name} | {found[0]:.3g} | {ratios} |")
    (RESULTS / "busy.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (RESULTS / "busy.json").write_text(json.dumps(medians, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
