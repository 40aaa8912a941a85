"""ES modules of the map joined into one script, for places that take one: a file, a notebook, an event of a page."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["COMPONENT", "component", "joined"]

COMPONENT = Path(__file__).parent / "component"
"""Modules that all maps share; others import them as ``latent-map/name.js``."""

IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"(\.|latent-map)/(\w+)\.js";$\n', re.MULTILINE)


@cache
def joined(file: Path) -> str:
    """A module and all that it imports in one scope, each after those that it imports; of a circle, as browsers do.

    Args:
        file: of the module.
    """
    order: list[str] = []
    seen: set[Path] = set()

    def add(module: Path) -> None:
        seen.add(module)
        text = module.read_text(encoding="utf-8")
        for where, name in IMPORT.findall(text):
            source = (module.parent if where == "." else COMPONENT) / f"{name}.js"
            if source not in seen:
                add(source)
        order.append(re.sub(r"^export (?=const|let|function|async)", "", IMPORT.sub("", text), flags=re.MULTILINE))

    add(file)
    return "\n".join(order)


def component(name: str) -> str:
    """A module of `COMPONENT`, `joined`.

    Args:
        name: of the module, without its ending.
    """
    return joined(COMPONENT / f"{name}.js")
