"""The floors of the house: imports go downwards only, and no two files of a folder import each other in a circle."""

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[1] / "latent_vizae"
LAYERS = {
    "inputs": 1, "network": 1, "measures": 1,
    "storage": 2,
    "decoders": 3, "training": 3,
    "model": 4,
    "fitting": 5, "directions": 5, "bulk": 5,
    "maps": 6,
    "pictures": 7,
    "publish": 8, "cli": 8, "sklearn": 8, "testing": 8,
    "__init__": 9,
}  # fmt: skip
"""A file imports from its own folder and from lower numbers."""
UPWARDS = {("model/vizae.py", "publish"), ("directions/directions.py", "publish"), ("maps/latent_map.py", "publish")}
"""The methods ``push_to_hub``, whose cards need pictures: each imports `publish` when it is called."""


def imported(file: Path) -> set[str]:
    """Modules of the core that a file imports, anywhere in it, as paths: ``maps/paths``."""
    found = set()
    package = file.parent.relative_to(CORE.parent).parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(part for part in (base, node.module) if part)
            names = [name, *(f"{name}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            top, *inside = name.split(".")
            if top == "latent_vizae" and inside:
                path = CORE.joinpath(*inside)
                if path.with_suffix(".py").is_file():
                    found.add("/".join(inside))
                elif (path / "__init__.py").is_file():
                    found.add("/".join((*inside, "__init__")))
    return found - {"__init__"}


FILES = {file.relative_to(CORE).with_suffix("").as_posix(): file for file in CORE.rglob("*.py")}
IMPORTS = {name: imported(file) for name, file in FILES.items()}


def test_every_folder_has_a_layer():
    assert {name.split("/")[0] for name in FILES} == set(LAYERS)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_go_downwards(name):
    folder = name.split("/")[0]
    wrong = [
        other
        for other in IMPORTS[name]
        if other.split("/")[0] != folder
        and LAYERS[other.split("/")[0]] >= LAYERS[folder]
        and (f"{name}.py", other) not in UPWARDS
    ]
    assert wrong == []


def test_the_test_sees_imports_of_every_kind():
    assert "publish" in IMPORTS["model/vizae"]  # deferred
    assert "fitting/few" in IMPORTS["fitting/fit"]  # of the same folder
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
