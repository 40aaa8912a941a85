"""Us and the peers on the same codes, one after the other: `python tests/benchmarks/peers.py [--quick]`.

The first run makes an environment for the peers (build/bench/env) on top of the running one, which stays as it is.
Every code set and method gets a process of its own (peer_cells.py); what it measures goes into peers.json after every
cell, so that Ctrl-C keeps it and the next run goes on from there. The table (peers.md, which also says what its
columns mean) and the plot (peers.png) are made from that file, and so are the tables of README.md and of the guide
(tables.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tables
from tables import US

ROOT = Path(__file__).resolve().parents[2]
SHARED, WORK, RESULTS = ROOT.parent / "shared", ROOT / "build" / "bench", Path(__file__).parent / "results"
CONSTRAINTS = ROOT / "constraints.txt"

FAMILIES = (
    (US,),
    ("PCA",),
    ("UMAP", "NNinv", "RBF"),
    ("autoencoder",),
    ("pythae",),
    ("TorchDR",),
)  # who shares a process, and a map
PEERS = tuple(method for family in FAMILIES for method in family if method != US)
PACKAGES = ("umap-learn", "inverse-projections", "pythae", "torchdr")
SETS: dict[str, tuple[tuple[int, ...], str]] = {
    "mnist-5": ((20, 200, 2000, 4000), "the bundled 10-D codes of MNIST, the digit 5 alone"),
    "mnist": ((20, 200, 2000, 20000), "the bundled 10-D codes of MNIST, all digits"),
    "gan": ((20, 200, 2000, 20000), "64-D prior codes of an MLP GAN on MNIST"),
    "face-gan": ((200, 2000, 20000), "100-D prior codes of a DCGAN of faces at 64 pixels (PyPI's gan_face_generate)"),
    "face-vae": ((200, 2000, 20000), "10-D prior codes of a VAE of faces at 64 pixels"),
    "emoji": ((20, 200, 1300), "the bundled 64-D codes of emoji, at 64 pixels in colour"),
    "fashion": ((20, 200, 2000, 20000), "Fashion-MNIST: its 784 pixels are the codes, decoding clamps and reshapes"),
    "cifar": ((20, 200, 1700), "2048-D TAEF2 latents of 2,000 CIFAR-10 images, at 64 pixels"),
}
BUNDLED, QUICK_SIZES = ("mnist-5", "mnist"), (20, 2000)
DIGITS = {f"mnist-{digit}": f"the bundled codes, the digit {digit} alone" for digit in range(10) if digit != 5}
CLOTHES = {f"fashion-{kind}": f"Fashion-MNIST, the class {kind} alone" for kind in range(10)}
OTHERS = {name: ((2000, 4000), text) for name, text in (DIGITS | CLOTHES).items()}
"""Single classes, measured where they are asked for. Defaults of ours were chosen by the digits and clothes of kind 0,
but not by the other clothes."""
SETS |= OTHERS
BUNDLED = (*BUNDLED, *DIGITS)
FRAMES, WIDE, PANELS = 16, 500, 4
JUDGED, ROUND_TRIPS, PAIRS = (300, 100), (200, 50), (8, 4)  # with codes of at most WIDE values, of more

COLUMNS = {  # key: (title, format, whether it is compared with ours)
    "image_error": ("image error", ".4f", True),
    "fvu": ("FVU", ".3f", True),
    "trust_7": ("trust. 7", ".3f", False),
    "cont_7": ("cont. 7", ".3f", False),
    "trust_20": ("trust. 20", ".3f", False),
    "cont_20": ("cont. 20", ".3f", False),
    "stress": ("stress", ".3f", False),
    "shepard": ("Shepard's rho", ".3f", False),
    "image_trust_7": ("image trust. 7", ".3f", False),
    "image_cont_7": ("image cont. 7", ".3f", False),
    "round_trip": ("round trip %", ".3g", False),
    "norm": ("norm", ".2f", False),
    "unlikeness": ("unlikeness", ".2f", False),
    "spread": ("spread", ".2f", False),
    "wasserstein": ("sliced W.", ".2f", False),
    "pace": ("pace", ".2f", False),
    "fit_s": ("fit s", ".3g", True),
    "encode_rate": ("encoded / s", ",.0f", True),
    "decode_rate": ("decoded / s", ",.0f", True),
    "fit_cpu_s": ("fit cpu s", ".3g", True),
    "peak_mib": ("peak MiB", ",.0f", True),
}
TITLE = "# Us and the peers on the same codes"
TEXT = f"""\
Medians over the seeds that all methods of a set and size have; a seed draws the training codes and starts the method.
In brackets: how many times ours. No method saw the held-out codes ({{held}}).

- *image error*: mean square over pixels, the images of {JUDGED[0]} held-out codes against those that come back from
  the map. *FVU*: fraction of these codes' variance that does not come back; PCA stands for linear maps.
- *trust.*, *cont.*: trustworthiness and continuity of the held-out codes' map at 7 and 20 neighbours; below 200
  codes those of the training codes, at 7. *image trust.*, *image cont.*: the same where neighbours are those whose
  images are alike, of the {JUDGED[0]} codes above.
- *stress*: scale-normalised (Smelser et al. 2024), 0 is best; *Shepard's rho*: rank correlation of the distances of
  all pairs, 1 is best. Both are of the codes of *trust.*. A column is empty where a cell was measured before it
  was added.
- *round trip*: point -> code -> point, root mean square, in percent of the map's width, at {ROUND_TRIPS[0]} places
  where the map is occupied, inside the box of its training codes.
- *norm*, *unlikeness*, *spread*, *sliced W.*: codes and images of these places beside held-out ones: their norm; how
  far they are from the nearest training image, and from each other; the sliced Wasserstein distance of patches
  (Karras et al. 2018) in units of that between two sets of held-out images. 1 is as the generator's. Of ours they are
  taken of what the map shows, with detail where it is on; errors and round trips are the sheet's.
- *pace*: image change from frame to frame, standard deviation over mean, on {PAIRS[0]} paths of {FRAMES} frames
  between training codes; ours at constant pace (`LatentMap.path`), the others' straight on their map.
- Where codes have over {WIDE} values, umap-learn decodes slowly, so there are {JUDGED[1]} codes, {ROUND_TRIPS[1]}
  places and {PAIRS[1]} paths, for every method.
- *fit s*: wall clock, *fit cpu s*: processor seconds, all cores together; packages are imported and numba has compiled
  before. *peak MiB*: of the process while fitting, with Python, torch, the decoder and the codes in it.
- UMAP: umap-learn as it comes, without random_state, so that it uses all cores.
- NNinv, RBF: of inverse-projections, on UMAP's map: their neighbours are its, their cost includes its. NNinv ends
  in a sigmoid, so its codes are scaled to [0, 1]. RBF solves a dense system of all codes: of 20,000 it takes 10 GB.
- autoencoder: plain PyTorch, our default widths, tanh, Adam (0.001, batches of 128), mean square error of codes, 100
  epochs or 1,000 steps if that is more; the weights that are best on a tenth of its codes stay.
- pythae: its AE with its own networks, codes scaled to [0, 1], trained and chosen as the autoencoder is.
- TorchDR: parametric UMAP, 15 neighbours, the three layers of 100 units of Sainburg et al. (2021), 1,000 steps of Adam
  (0.001; with its own choice, SGD with 1, the network does not learn). It has no way back to codes.
"""


def held_out(name: str) -> int:
    """How many codes of a set nobody sees."""
    return 300 if name == "cifar" else 500


def environment() -> tuple[Path, dict[str, str]]:
    """The Python that has our packages and the peers', and why a peer is not there."""
    folder, told = WORK / "env", WORK / "env" / "packages.json"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    tried: dict[str, str | None] = json.loads(told.read_text()) if told.exists() else {}
    if not told.exists():
        if f"torch=={version('torch').split('+')[0]}\n" not in CONSTRAINTS.read_text():
            raise SystemExit("The running environment has another torch than constraints.txt: pip would fetch that.")
        venv.create(folder, with_pip=True, clear=True)
        site = next(folder.rglob("site-packages"))
        paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
        (site / "below.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in paths))
    for package in PACKAGES:
        if package not in tried:
            print(f"installing {package} into {folder.relative_to(ROOT)}", flush=True)
            pip = [python, "-m", "pip", "install", "-q", "-c", CONSTRAINTS, package]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            why = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            tried[package] = why if done.returncode else None
            told.write_text(json.dumps(tried))
    return python, {package: why for package, why in tried.items() if why is not None}


def versions(python: Path) -> str:
    """What runs there, in words."""
    ask = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = json.loads(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout)
    named = ("torch", "numpy", "scikit-learn", "numba", *PACKAGES)
    return ", ".join([f"Python {platform.python_version()}", *(f"{x} {found[x]}" for x in named if x in found)])


def run_cells(python: Path, name: str, wanted: list[dict[str, Any]], log: Path) -> Iterator[dict[str, Any]]:
    """Measure cells of one set and family; a process that dies costs the cell it was at, and another goes on."""
    todo = list(wanted)
    while todo:
        command = [python, Path(__file__).with_name("peer_cells.py"), json.dumps({"set": name, "cells": todo})]
        environ = {"TOKENIZERS_PARALLELISM": "false"} | os.environ
        with (
            log.open("a") as errors,
            subprocess.Popen(  # a session of its own: Ctrl-C reaches us alone, no half-fitted v is measured
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ, start_new_session=True
            ) as process,
        ):
            try:
                for line in process.stdout or ():
                    todo.pop(0)
                    yield json.loads(line)
            finally:
                process.terminate()
        if todo:
            yield todo.pop(0) | {"error": f"the process ended with {process.returncode}, see {log.name}"}


def key(cell: dict[str, Any]) -> tuple[str, int, str, int]:
    """What a cell is of."""
    return cell["set"], cell["size"], cell["method"], cell["seed"]


def order(cell: dict[str, Any]) -> tuple[int, int, int, int]:
    """Where it stands in the table."""
    return list(SETS).index(cell["set"]), cell["size"], (US, *PEERS).index(cell["method"]), cell["seed"]


def medians(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per set, size and method: medians over seeds, and how many times ours they are.

    Of a set and size only the seeds that every method has there: all are compared on the same codes.
    """
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for cell in sorted(cells, key=order):
        if "error" not in cell:
            groups.setdefault(key(cell)[:3], []).append(cell)
    seeds: dict[tuple[str, int], set[int]] = {}
    for (name, size, _), alike in groups.items():
        there = {cell["seed"] for cell in alike}
        seeds[name, size] = seeds.get((name, size), there) & there
    for (name, size, _), alike in groups.items():
        alike[:] = [cell for cell in alike if cell["seed"] in seeds[name, size]] or alike
    rows = []
    for (name, size, method), alike in groups.items():
        values = {x: statistics.median(cell[x] for cell in alike) for x in COLUMNS if all(x in cell for cell in alike)}
        rows.append({"set": name, "size": size, "method": method, "seeds": len(alike), **values})
    ours = {(row["set"], row["size"]): row for row in rows if row["method"] == US}
    for row in rows:
        base = ours.get((row["set"], row["size"]))
        if base is not None and row is not base:
            row["times_ours"] = {x: row[x] / base[x] for x in COLUMNS if COLUMNS[x][2] and x in row and base.get(x)}
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in markdown."""
    titles = ["set", "codes", "method", "seeds", *(title for title, _, _ in COLUMNS.values())]
    lines = [titles, ["---"] * 3 + ["---:"] * (1 + len(COLUMNS))]
    for row in rows:
        texts = [format(row[x], COLUMNS[x][1]) if x in row else "" for x in COLUMNS]
        ratios = row.get("times_ours", {})
        said = [f" ({ratios[x]:{'.2g' if ratios[x] < 99 else ',.0f'}}x)" if x in ratios else "" for x in COLUMNS]
        head = [row["set"], f"{row['size']:,}", row["method"], str(row["seeds"])]
        lines.append([*head, *map(str.__add__, texts, said)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def disturbance(cells: list[dict[str, Any]]) -> str:
    """What to say of timings that were taken beside other work."""
    cores, loads = os.cpu_count() or 1, [(cell["load"], cell["method"]) for cell in cells if "load" in cell]
    busy = [method for load, method in loads if load > cores + 0.5]
    if not busy:
        return ""
    return (
        f"other work ran on the machine: the load was above its number of cores ({cores}) before {len(busy)} of "
        f"{len(loads)} cells, {max(loads)[0]:.1f} at most, {busy.count(US)} of them ours. Their times are too long"
    )


def report(out: Path, about: dict[str, Any], cells: list[dict[str, Any]]) -> str:
    """Write peers.json, whole at any moment; return the page of the table."""
    rows = medians(cells)
    ordered = sorted(cells, key=order)
    temporary = out / "peers.json.new"
    temporary.write_text(json.dumps({**about, "rows": rows, "cells": ordered}, indent=1) + "\n")
    temporary.replace(out / "peers.json")
    names = [name for name in SETS if any(row["set"] == name for row in rows)]
    held = ", ".join(f"{held_out(name)} of {name}" for name in names)
    failed = [
        f"- not measured: {cell['set']}, {cell['size']:,} codes, {cell['method']}: {cell['error']}"
        for cell in ordered
        if "error" in cell
    ]
    failed = list(dict.fromkeys(failed))  # once for all seeds
    failed += [f"- {disturbed}"] if (disturbed := disturbance(cells)) else []
    failed += [f"- {package} could not be installed: {why}" for package, why in about["missing"].items()]
    runs = f"`python tests/benchmarks/peers.py` on {about['machine']};"
    sets = "\n".join(f"- *{name}*: {SETS[name][1]}." for name in names)
    notes = TEXT.format(held=held) + "\n".join(failed)
    page = [TITLE, f"{runs} {about['versions']}.", table(rows), "Code sets:", sets, notes.rstrip()]
    return "\n\n".join(page) + "\n"


def plot(file: Path, rows: list[dict[str, Any]]) -> None:
    """Held-out image error against processor seconds of the fit, a panel for each set; larger marks are more codes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in SETS if any(row["set"] == name for row in rows)]
    across, down = min(PANELS, len(names)), math.ceil(len(names) / PANELS)
    figure, panels = plt.subplots(down, across, figsize=(4 * across, 4.2 * down), squeeze=False, layout="constrained")
    for panel in panels.flat[len(names) :]:
        panel.axis("off")
    for panel, name in zip(panels.flat, names, strict=False):
        for number, method in enumerate((US, *PEERS)):
            mine = [row for row in rows if row["set"] == name and row["method"] == method and "image_error" in row]
            x, y = [row["fit_cpu_s"] for row in mine], [row["image_error"] for row in mine]
            sizes = [
                12 + 12 * SETS[name][0].index(row["size"]) if row["size"] in SETS[name][0] else 12 for row in mine
            ]
            panel.plot(x, y, color=f"C{number}", linewidth=2 if method == US else 0.8)
            panel.scatter(x, y, s=sizes, color=f"C{number}", label=method, zorder=3)
        panel.set(xscale="log", title=name, xlabel="fit, processor seconds")
    for first in panels[:, 0]:
        first.set_ylabel("held-out image error")
    panels.flat[len(names) - 1].legend(fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def told(cell: dict[str, Any]) -> str:
    """A cell in one line."""
    said = f"{cell['set']:8} {cell['size']:6,} {cell['method']:12} seed {cell['seed']}: "
    if "error" in cell:
        return said + cell["error"]
    if "image_error" in cell:
        said += f"image error {cell['image_error']:.4f}, FVU {cell['fvu']:.3f}, "
    return said + f"trustworthiness {cell['trust_7']:.3f}, fit {cell['fit_s']:.3g} s"


def wishes() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, help="default: all but single digits and clothes")
    parser.add_argument("--sizes", nargs="+", type=int, help="numbers of training codes; default: each set's own")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="default: all; we run too unless --peers-only")
    parser.add_argument("--peers-only", action="store_true", help="leave us out")
    parser.add_argument("--seeds", type=int, help="default: 3")
    parser.add_argument("--quick", action="store_true", help="bundled codes, few sizes, one seed, into build/bench")
    parser.add_argument("--out", type=Path, help="folder of the table; default: tests/benchmarks/results")
    parser.add_argument("--fresh", action="store_true", help="measure again what the options select")
    asked = parser.parse_args()
    asked.seeds = asked.seeds or (1 if asked.quick else 3)
    asked.sizes = asked.sizes or (QUICK_SIZES if asked.quick else None)
    asked.sets = asked.sets or [name for name in (BUNDLED if asked.quick else SETS) if name not in OTHERS]
    asked.peers = PEERS if asked.peers is None else asked.peers
    asked.out = asked.out or (WORK / "quick" if asked.quick else RESULTS)
    return asked


def selected(asked: argparse.Namespace) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Set by set and family by family, the cells that are asked for, small ones first."""
    methods = {*asked.peers, *(() if asked.peers_only else (US,))}
    for name in (name for name in SETS if name in asked.sets):
        if name not in BUNDLED and not SHARED.is_dir():
            print(f"{name}: left out, needs the folder ../shared", flush=True)
            continue
        for family in FAMILIES:
            sizes = [size for size in asked.sizes or SETS[name][0] if size <= max(SETS[name][0])]
            yield name, [
                {"set": name, "size": size, "method": method, "seed": seed}
                for size in sorted(sizes) for seed in range(asked.seeds) for method in family if method in methods
            ]  # fmt: skip


def main() -> None:
    """Measure what is asked for and not there yet; write and print the table."""
    asked = wishes()
    for folder in (WORK, asked.out):
        folder.mkdir(parents=True, exist_ok=True)
    python, missing = environment()
    cores = {1: "one CPU core", 2: "two CPU cores"}.get(os.cpu_count() or 0, f"{os.cpu_count()} CPU cores")
    about = {"machine": cores, "versions": versions(python), "missing": missing}
    (WORK / "peers.log").write_text("")
    file, cells = asked.out / "peers.json", {}
    if file.exists():
        cells = {key(cell): cell for cell in json.loads(file.read_text())["cells"]}
    page = report(asked.out, about, list(cells.values()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, and takes the process along
    with contextlib.suppress(KeyboardInterrupt):
        for name, family in selected(asked):
            wanted = [c for c in family if asked.fresh or "error" in cells.get(key(c), {"error": ""})]
            for cell in run_cells(python, name, wanted, WORK / "peers.log"):
                cells[key(cell)] = cell
                print(told(cell), flush=True)
                page = report(asked.out, about, list(cells.values()))
    if cells:
        (asked.out / "peers.md").write_text(page)
        plot(asked.out / "peers.png", medians(list(cells.values())))
        print("\n" + page)
        if asked.out == RESULTS:
            tables.write()


if __name__ == "__main__":
    main()
