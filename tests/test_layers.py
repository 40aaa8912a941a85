"""The floors of the house: imports go downwards only, and no two files of a folder import each other in a circle."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "latent_vizae"
LAYERS = {
    "inputs": 1, "network": 1, "measures": 1,
    "storage": 2,
    "decoders": 3, "training": 3,
    "model": 4,
    "fitting": 5, "directions": 5, "bulk": 5,
    "maps": 6,
    "pictures": 7,
    "publish": 8, "sharing": 8,
    "cli": 9, "sklearn": 9, "testing": 9, "widget": 9,
    "__init__": 10,
    "adapters": 11,
    "demos/page": 12, "demos/zoo": 12, "demos/paper": 12,
    "demos/gallery": 13,
    "demos/app": 14, "demos/guide_pictures": 14, "demos/guide_site": 14, "demos/lessons": 14,
    "demos/run_notebooks": 14, "demos/train_mnist": 14, "demos/train_zoo": 14, "demos/__init__": 14,
}  # fmt: skip
"""A file imports from its own folder and from lower numbers."""
UPWARDS = {
    ("model/vizae.py", "publish"), ("directions/directions.py", "publish"), ("maps/latent_map.py", "publish"),
    ("maps/shareable.py", "sharing/save"), ("maps/shareable.py", "sharing/notebook"),
    ("maps/shareable.py", "sharing/show"), ("maps/shareable.py", "sharing/space"),
    ("maps/shareable.py", "sharing/table"),
}  # fmt: skip
"""Methods that show or push a thing, whose work needs pictures: each imports what does it when it is called."""


def floor_of(name: str) -> str:
    """The key of `LAYERS` for a file by its name."""
    top, *inside = name.split("/")
    return f"{top}/{inside[0]}" if top == "demos" else top


def imported(name: str, file: Path) -> set[str]:
    """Modules of ours that a file imports, anywhere in it, by their names in `FILES`: ``maps/paths``."""
    found = set()
    package = ("latent_vizae", *name.split("/")[:-1])
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            names = [".".join(part for part in (base, node.module) if part)]
            names += [f"{names[0]}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, *inside = name.split(".")
            if top == "latent_vizae" and inside:
                found |= {"/".join(inside), "/".join((*inside, "__init__"))} & FILES.keys()
    return found


def files() -> dict[str, Path]:
    """Our files: those of the core by their path in it, others with the name of their folder before that."""
    top = {"": CORE, "adapters/": ROOT / "adapters", "demos/": ROOT / "demos"}
    return {
        before + file.relative_to(folder).with_suffix("").as_posix(): file
        for before, folder in top.items()
        for file in folder.rglob("*.py")
        if (file.parent / "__init__.py").is_file()  # an example of another package is none of ours
    }


FILES = files()
IMPORTS = {name: imported(name, file) - {name} for name, file in FILES.items()}


def test_every_folder_has_a_layer():
    assert {floor_of(name) for name in FILES} == set(LAYERS)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_go_downwards(name):
    folder = floor_of(name)
    wrong = [
        other
        for other in IMPORTS[name]
        if floor_of(other) != folder
        and LAYERS[floor_of(other)] >= LAYERS[folder]
        and (f"{name}.py", other) not in UPWARDS
    ]
    assert wrong == []


def test_the_test_sees_imports_of_every_kind():
    assert "publish" in IMPORTS["model/vizae"]  # deferred
    assert "fitting/few" in IMPORTS["fitting/sheet"]  # of the same folder
    assert "decoders/contract" in IMPORTS["fitting/fit"]  # of another one
    assert all((CORE / name).is_file() for name, _ in UPWARDS)


def test_there_is_no_circle():
    below: dict[str, set[str]] = {
        name: {other for other in others if (f"{name}.py", other) not in UPWARDS} for name, others in IMPORTS.items()
    }
    while free := [name for name, others in below.items() if not others & below.keys()]:
        for name in free:
            del below[name]
    assert not below, f"a circle among: {', '.join(sorted(below))}"
