"""What fit costs as codes grow in number and in length: `python tests/benchmarks/sizes.py [--large]`.

Every case has a process of its own: seconds of fit and place, and how far its memory rose above what torch, the codes'
own making and nothing else had taken. Codes are random, with 8 factors; those of "shards" lie in .safetensors files of
a million codes, those of "map" in a memory map. The last lines are the slope in k. Results go into results/sizes.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from latent_vizae import fit

RESULTS = Path(__file__).parent / "results"
SHARD, FACTORS = 1_000_000, 8
CASES = [
    ("memory", 20, 16), ("memory", 2000, 16), ("memory", 100_000, 16), ("memory", 1_000_000, 16),
    ("shards", 1_000_000, 16), ("shards", 3_000_000, 16), ("memory", 200, 131_072), ("map", 20_000, 16_384),
]  # fmt: skip
LARGE = [("shards", 10_000_000, 16)]


def drawn(k: int, n: int, seed: int) -> torch.Tensor:
    """Codes (k, n) around an 8-dimensional plane."""
    generator = torch.Generator().manual_seed(seed)
    plane = torch.randn(FACTORS, n, generator=torch.Generator().manual_seed(99))
    return torch.randn(k, FACTORS, generator=generator) @ plane + 0.3 * torch.randn(k, n, generator=generator)


def made(kind: str, k: int, n: int, folder: Path) -> torch.Tensor | np.ndarray | list[Path]:
    """Codes as the kind says, written to the folder if they are not in memory."""
    if kind == "memory":
        return drawn(k, n, 0)
    if kind == "map":
        array = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.float32, (k, n))
        for start in range(0, k, 1000):
            array[start : start + 1000] = drawn(min(1000, k - start), n, start).numpy()
        array.flush()
        del array
        return np.load(folder / "codes.npy", mmap_mode="r")
    files = [folder / f"{at:03}.safetensors" for at in range(-(-k // SHARD))]
    for at, file in enumerate(files):
        save_file({"codes": drawn(min(SHARD, k - at * SHARD), n, at)}, file)
    return files


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(kind: str, k: int, n: int, folder: Path) -> None:
    """Print what one case costs, as JSON."""
    if kind == "memory":
        codes = made(kind, k, n, folder)
    else:  # in another process: this one's memory has not seen the codes
        subprocess.run([sys.executable, __file__, "--make", kind, str(k), str(n), str(folder)], check=True)
        codes = np.load(folder / "codes.npy", mmap_mode="r") if kind == "map" else sorted(folder.iterdir())
    fit(torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), steps=10)  # all that is imported
    before, started = peak(), time.perf_counter()
    v = fit(codes)
    print(json.dumps({"seconds": time.perf_counter() - started, "rise": peak() - before, "fvu": v.report.fvu}))


def main() -> None:
    """Run the cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--large", action="store_true", help="ten million codes too")
    parser.add_argument("--make", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--case", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make or asked.case:
        kind, k, n, folder = asked.make or asked.case
        (made if asked.make else measure)(kind, int(k), int(n), Path(folder))
        return
    lines = [
        "| codes | k | n | seconds | memory risen by, MiB | codes themselves, MiB | FVU |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    cost = {}
    for kind, k, n in CASES + (LARGE if asked.large else []):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, "--case", kind, str(k), str(n), folder], capture_output=True, text=True
            )
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        cost[kind, k] = found["seconds"]
        lines.append(
            f"| {kind} | {k:,} | {n:,} | {found['seconds']:.3g} | {found['rise']:.0f} | {k * n * 4 / 2**20:.0f} "
            f"| {found['fvu']:.3f} |"
        )
        print(lines[-1], flush=True)
    shards = sorted((k, seconds) for (kind, k), seconds in cost.items() if kind == "shards")
    slope = (shards[-1][1] - shards[0][1]) / (shards[-1][0] - shards[0][0]) * 1e6
    load = os.getloadavg()[0]
    lines += [
        "",
        f"From shards {slope:.2g} s a further million codes; {os.cpu_count()} CPU cores, load {load:.1f} at the end.",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sizes.md").write_text("# What fit costs by the size of codes\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
