"""What each part of `fit` and `encode` is worth: `make ablate`, or `python tests/benchmarks/ablations.py [--quick]`.

Every part is switched off by `Settings` or by ``keep_neighbours``, on the same codes and seeds as the whole. A cell is
measured in one process after the other, goes into ablations.json at once, and is not measured again; ablations.md is
made from that file. Defaults were chosen on the sets marked *, the others report.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
import peer_cells
import tables
from shared_models import face_gan, face_vae

from latent_vizae.fitting.fit import fit_codes
from latent_vizae.fitting.settings import Request, Settings
from latent_vizae.measures.metrics import continuity, image_error, trustworthiness

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).resolve().parents[3] / "shared"
SETS = {
    "mnist-5": (200, 2000), "mnist": (200, 2000, 20000), "gan": (200, 2000, 20000), "face-vae": (200, 2000),
    "fashion": (200, 2000, 20000), "cifar": (200, 1700), "face-gan": (200, 1500),
}  # fmt: skip
CHOSEN_ON = ("mnist-5", "mnist", "gan", "face-vae")
WHOLE = Settings()
PARTS: dict[str, tuple[Settings, float]] = {
    "fit": (WHOLE, 0.5),
    "keep_neighbours=0": (WHOLE, 0.0),
    "keep_neighbours=0.25": (WHOLE, 0.25),
    "keep_neighbours=0.75": (WHOLE, 0.75),
    "keep_neighbours=1": (WHOLE, 1.0),
    "no divergence of neighbours": (replace(WHOLE, neighbours=0.0), 0.5),
    "no pull to the guess": (replace(WHOLE, pull=(0.0, 0.0, 0.0)), 0.5),
    "no metric of the decoder": (replace(WHOLE, metric=False), 0.5),
    "no share of code distances": (replace(WHOLE, code_share=False), 0.5),
    "no mixing": (replace(WHOLE, mixing=False), 0.5),
    "no noise": (replace(WHOLE, noise=0.0), 0.5),
    "Glorot's first weights": (replace(WHOLE, spread_units=False), 0.5),
    "Adam alone": (replace(WHOLE, muon=False), 0.5),
    "Adam alone, twice the steps": (replace(WHOLE, muon=False, steps=680), 0.5),
    "last layer as trained": (replace(WHOLE, last_layer=False), 0.5),
    "guess alone (no Gauss-Newton)": (WHOLE, 0.5),
    "steps doubled": (replace(WHOLE, steps=680), 0.5),
    "layers of 128": (replace(WHOLE, hidden=(128, 128, 128)), 0.5),
}
COLUMNS = {
    "image_error": ".4f", "trust": ".3f", "cont": ".3f", "trip": ".2f", "trip_max": ".1f", "fit_s": ".2f",
    "place_s": ".3f",
}  # fmt: skip


def load(name: str) -> peer_cells.Task:
    """A set by its name; shuffled codes, of which the first 500 are held out."""
    if name not in ("face-vae", "face-gan"):
        return peer_cells.load(name)
    decoder = face_gan() if name == "face-gan" else face_vae(SHARED)
    shape = (100, 1, 1) if name == "face-gan" else (10,)
    codes = torch.randn(2500, shape[0], generator=torch.Generator().manual_seed(0))
    return peer_cells.Task(decoder, codes, shape, 500)


@torch.no_grad()
def measure(task: peer_cells.Task, part: str, size: int, seed: int) -> dict[str, float]:
    """One cell."""
    settings, keep = PARTS[part]
    codes, held = task.draw(size, seed).unflatten(1, task.shape), task.codes[: min(task.held, 500)]
    started = time.perf_counter()
    with torch.enable_grad():
        v = fit_codes(codes, task.decoder, Request(keep_neighbours=keep, detail=0.0, seed=seed, settings=settings))
    fitted = time.perf_counter() - started
    if part.startswith("guess"):
        v.pull = 1e6
    started = time.perf_counter()
    points = v.encode(held.unflatten(1, task.shape))
    placed = time.perf_counter() - started
    judged = held[: 100 if task.wide else 300]
    near = peer_cells.occupied(v.points, 200, torch.Generator().manual_seed(seed))
    back = (v.encode(v.decode(near)) - near).norm(dim=1)
    return {
        "image_error": image_error(task.images(judged), task.images(v.decode(points[: len(judged)]).flatten(1))),
        "trust": trustworthiness(held, points, 7), "cont": continuity(held, points, 7),
        "trip": 50 * back.square().mean().sqrt().item(), "trip_max": 50 * back.max().item(),
        "fit_s": fitted, "place_s": placed,
    }  # fmt: skip


def write(cells: dict[str, Any]) -> None:
    """The table of what was measured so far."""
    lines = [
        "# What each part of fit is worth",
        "`make ablate`. Means over the seeds that all rows of a set and size have. In brackets: the change of the",
        "image error against `fit`. Image error, trustworthiness and continuity at 7 are of held-out codes. Round",
        "trips (root mean square and worst) are in percent of the map's width. Defaults were chosen on the sets",
        "marked *. Seconds are of a machine that other work shared at times: those of one table compare roughly.",
    ]
    for name, sizes in SETS.items():
        for size in sizes:
            found = {part: cells.get(f"{name}/{size}/{part}", {}) for part in PARTS}
            found = {part: seeds for part, seeds in found.items() if seeds}
            if "fit" not in found:
                continue
            common = sorted(set.intersection(*(set(seeds) for seeds in found.values())))
            if not common:
                continue
            lines += ["", f"## {name}{'*' if name in CHOSEN_ON else ''}, {size:,} codes ({len(common)} seeds)", ""]
            lines += ["| | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
            means = {
                part: {key: statistics.fmean(seeds[seed][key] for seed in common) for key in COLUMNS}
                for part, seeds in found.items()
            }
            for part, values in means.items():
                shown = [format(values[key], how) for key, how in COLUMNS.items()]
                change = values["image_error"] / means["fit"]["image_error"] - 1
                shown[0] += "" if part == "fit" else f" ({change:+.0%})"
                lines.append(f"| {part} | " + " | ".join(shown) + " |")
    (RESULTS / "ablations.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tables.into_page(tables.PAGE, "keep_neighbours", tables.keeping(cells))


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 seeds, up to 2,000 codes")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--sizes", nargs="*", type=int, help="numbers of codes; default: each set's own")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    asked = parser.parse_args()
    file = RESULTS / "ablations.json"
    cells: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name in asked.sets:
        task = load(name)
        for size in (size for size in SETS[name] if not asked.sizes or size in asked.sizes):
            for seed in range(2 if asked.quick else 5 if size <= 2000 else 3):
                for part in asked.parts:
                    mine = cells.setdefault(f"{name}/{size}/{part}", {})
                    if str(seed) in mine or (asked.quick and size > 2000):
                        continue
                    mine[str(seed)] = measure(task, part, size, seed)
                    file.write_text(json.dumps(cells, indent=1) + "\n")
                    print(name, size, seed, part, {key: round(x, 4) for key, x in mine[str(seed)].items()}, flush=True)
                write(cells)


if __name__ == "__main__":
    main()
