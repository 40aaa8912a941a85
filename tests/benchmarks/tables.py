"""The benchmark's tables in README.md and in the guide, from the stored results: `python tests/benchmarks/tables.py`.

`peers.py` calls `write` after a run. Each table stands between two marks in its page; the text around it stays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
README, PAGE = ROOT / "README.md", ROOT / "demos" / "guide" / "benchmarks.md"

US, UMAP = "latent_vizae", "UMAP"
ON_UMAP = ("NNinv", "RBF")
"""They decode points of UMAP's map, and have no map of their own."""
HEADLINE = ("mnist", "gan", "fashion", "cifar")
"""README's four rows: the set of digits, of a GAN's codes, of clothes and of photographs, each at its largest size."""

WORTH = {"image_error": 0.02, "fvu": 0.02, "trust_7": 0.005, "cont_7": 0.005, "image_trust_7": 0.005}
"""From which difference on another method counts as better: a share for errors, absolute where 1 is best."""
TITLES = {"image_error": "image error", "fvu": "FVU", "trust_7": "trustworthiness", "cont_7": "continuity"}
TITLES |= {"image_trust_7": "trustworthiness of images"}
ERRORS = ("image_error", "fvu")

Row = dict[str, Any]


def markdown(lines: list[list[str]], numbers_from: int) -> str:
    """A table; its first line holds the titles, and columns from ``numbers_from`` on are set flush right."""
    titles, *rows = lines
    rule = ["---"] * numbers_from + ["---:"] * (len(titles) - numbers_from)
    return "\n".join(f"| {' | '.join(line)} |" for line in [titles, rule, *rows])


def cells(rows: list[Row]) -> dict[tuple[str, int], dict[str, Row]]:
    """Rows by set and size, then by method, in their order."""
    found: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row["set"], row["size"]), {})[row["method"]] = row
    return found


def errors(rows: list[Row]) -> str:
    """Held-out image error and processor seconds of the fit: a line per set and size, a column per method."""
    rows = [row for row in rows if "image_error" in row]  # of maps with a way back
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [["set", "codes", *methods]]
    for (name, size), found in cells(rows).items():
        best = min(row["image_error"] for row in found.values())
        texts = []
        for method in methods:
            error = found[method]["image_error"] if method in found else None
            mark = "**" if error == best else ""
            texts.append("" if error is None else f"{mark}{error:.4f}{mark} ({_short(found[method]['fit_cpu_s'])} s)")
        lines.append([name, f"{size:,}", *texts])
    return markdown(lines, 2)


def _short(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"


def headline(rows: list[Row]) -> str:
    """The same of four sets, each at its largest size."""
    largest = {name: max((row["size"] for row in rows if row["set"] == name), default=0) for name in HEADLINE}
    return errors([row for row in rows if largest.get(row["set"]) == row["size"]])


def neighbours(rows: list[Row]) -> str:
    """Trustworthiness and continuity at 7 neighbours: a line per set and size, a column per method with a map."""
    methods = [m for m in dict.fromkeys(row["method"] for row in rows) if m not in ON_UMAP]
    lines = [["set", "codes", *methods]]
    for (name, size), found in cells(rows).items():
        lines.append([name, f"{size:,}", *(_kept(found[m]) if m in found else "" for m in methods)])
    return markdown(lines, 2)


def _kept(row: Row) -> str:
    return f"{row['trust_7']:.3f}, {row['cont_7']:.3f}" if "trust_7" in row else ""


def typical(rows: list[Row]) -> str:
    """How typical what a map shows is: norm of codes, unlikeness, spread and sliced Wasserstein of images."""
    keys = ("norm", "unlikeness", "spread", "wasserstein")
    rows = [row for row in rows if all(key in row for key in keys)]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [["set", "codes", *methods]]
    for (name, size), found in cells(rows).items():
        texts = (", ".join(f"{found[m][key]:.2f}" for key in keys) if m in found else "" for m in methods)
        lines.append([name, f"{size:,}", *texts])
    return markdown(lines, 2)


def lost(rows: list[Row]) -> str:
    """Where another method is better by more than `WORTH`: the best one of each set, size and measure."""
    lines = [["set", "codes", "measure", US, "better", ""]]
    for (name, size), found in cells(rows).items():
        for key, worth in WORTH.items():
            without = (US,) if key in ERRORS else (US, *ON_UMAP)
            others = {method: row[key] for method, row in found.items() if method not in without and key in row}
            if US not in found or key not in found[US] or not others:
                continue
            ours, sign = found[US][key], 1 if key in ERRORS else -1
            best = min(others, key=lambda method: sign * others[method])
            gap = sign * (ours - others[best]) / (ours if key in ERRORS else 1)
            if gap > worth:
                lines.append([name, f"{size:,}", TITLES[key], f"{ours:.3f}", best, f"{others[best]:.3f}"])
    return markdown(lines, 3)


def single_classes(rows: list[Row]) -> str:
    """Against UMAP on sets of one class each: in how many cells we are better, and the differences."""
    both = [(found[US], found[UMAP]) for found in cells(rows).values() if US in found and UMAP in found]
    lines = [["measure", "better in", "least", "median", "most"]]
    for key, title in TITLES.items():
        pairs = [(ours[key], theirs[key]) for ours, theirs in both if key in ours and key in theirs]
        if key in ERRORS:
            title, values = f"{title}, as a share of UMAP's", sorted(ours / theirs for ours, theirs in pairs)
            better = sum(value < 1 for value in values)
        else:
            title, values = f"{title}, minus UMAP's", sorted(ours - theirs for ours, theirs in pairs)
            better = sum(value > 0 for value in values)
        shown = (f"{values[at]:{'.2f' if key in ERRORS else '+.3f'}}" for at in (0, len(values) // 2, -1))
        lines.append([title, f"{better} of {len(values)}", *shown])
    return markdown(lines, 1)


def keeping(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Both ends of ``keep_neighbours`` and the default: held-out image error, trustworthiness and continuity."""
    ends = {"keep_neighbours=0": "0", "fit": "0.5 (the default)", "keep_neighbours=1": "1"}
    lines = [["set", "codes", *ends.values()]]
    names = list(dict.fromkeys(key.split("/")[0] for key in found))
    for key in sorted(found, key=lambda key: (names.index(key.split("/")[0]), int(key.split("/")[1]))):
        name, size, part = key.split("/", 2)
        each = [found.get(f"{name}/{size}/{end}", {}) for end in ends]
        if part != "fit" or not all(each):
            continue
        common = sorted(set.intersection(*map(set, each)))
        texts = []
        for values in each:
            error, trust, cont = (
                sum(values[seed][what] for seed in common) / len(common) for what in ("image_error", "trust", "cont")
            )
            texts.append(f"{error:.4f}; {trust:.3f}, {cont:.3f}")
        lines.append([name, f"{int(size):,}", *texts])
    return markdown(lines, 2)


def into_page(file: Path, name: str, text: str) -> None:
    """Put a table between the marks of that name in a page."""
    start, end = f"<!-- benchmark: {name} -->", "<!-- to here -->"
    before, mark, rest = file.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not mark or not closed:
        raise SystemExit(f"{file.name} has no {start} ... {end} to put the table between.")
    file.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def write(results: Path = RESULTS, readme: Path = README, page: Path = PAGE) -> None:
    """Write all tables, from ``peers.json`` and ``others/peers.json`` of the results."""
    rows, others = (json.loads((results / name).read_text())["rows"] for name in ("peers.json", "others/peers.json"))
    into_page(readme, "headline", headline(rows))
    for name, text in (
        ("errors", errors(rows)),
        ("neighbours", neighbours(rows)),
        ("typical", typical(rows)),
        ("lost", lost(rows)),
        ("single classes", single_classes(others)),
    ):
        into_page(page, name, text)
    into_page(page, "keep_neighbours", keeping(json.loads((results / "ablations.json").read_text())))


if __name__ == "__main__":
    write()
