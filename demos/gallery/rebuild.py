"""Rebuild the gallery: run the code of ``gallery.md`` and put what it prints and draws back into the page.

    python -m latent_vizae.demos.gallery

All blocks run in order, in one namespace, in an empty folder. What a block prints goes between the marks that follow
it, and the pictures that the page shows go to ``pictures/gallery``: there is no number in the page that no code made.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from latent_vizae.pictures.style import MARK, PALETTE
from latent_vizae.storage.folder import atomic_file

PAGE = Path(__file__).parents[1] / "gallery.md"
PICTURES = PAGE.parent / "pictures" / "gallery"
LARGE, WIDEST, WHITE = 100_000, 1200, 0
PART = re.compile(
    r"^```python\n(?P<code>.*?)^```$"
    r"|(?P<open><!-- gallery: (?P<name>[\w-]+) -->\n)(?P<shown>.*?)(?P<close><!-- to here -->)",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\(pictures/gallery/([\w.-]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code, and the name of the marks that take what it prints; None where it prints nothing."""

    code: str
    name: str | None


def blocks_of(page: str) -> list[Block]:
    """The blocks of code of a page, in order.

    Raises:
        ValueError: marks with the name of others, or that follow no code.
    """
    blocks: list[Block] = []
    for part in PART.finditer(page):
        if part["code"] is not None:
            blocks.append(Block(part["code"], None))
            continue
        name = part["name"]
        if not blocks or blocks[-1].name is not None or name in {block.name for block in blocks}:
            raise ValueError(f"Marks take what the block before them prints, under a name of their own; see {name!r}.")
        blocks[-1] = Block(blocks[-1].code, name)
    return blocks


def run(blocks: list[Block]) -> Iterator[tuple[Block, str]]:
    """Run blocks in the folder where one is, and give each with what it printed.

    Raises:
        ValueError: a block printed and has no marks, or has marks and printed nothing.
    """
    names = {"__name__": "gallery"}
    for number, block in enumerate(blocks, start=1):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(block.code, f"{PAGE.name}, code block {number}", "exec"), names)
        if bool(said.getvalue()) != (block.name is not None):
            where = "no marks follow it" if block.name is None else f"{block.name!r} waits for it"
            raise ValueError(f"Code block {number} printed {said.getvalue()!r}, and {where}.")
        yield block, said.getvalue()


def rebuilt(page: str, printed: dict[str, str]) -> str:
    """The page with what was printed, by the names of the marks, between them."""

    def filled(part: re.Match[str]) -> str:
        if part["name"] is None:
            return part[0]
        return f"{part['open']}\n{printed[part['name']].strip()}\n\n{part['close']}"

    return PART.sub(filled, page)


def shown(page: str) -> dict[str, str]:
    """What a page shows between its marks, by name."""
    return {part["name"]: part["shown"].strip() for part in PART.finditer(page) if part["name"] is not None}


def linked(page: str) -> list[str]:
    """Names of the pictures that a page shows."""
    return sorted(set(LINK.findall(page)))


def light(picture: Path, target: Path) -> None:
    """Copy a picture; a large one with fewer pixels and colours, which a page does not show anyway.

    These are the colours of digits and of plots, or the picture's own where those are nearer.
    """
    if picture.suffix != ".png" or picture.stat().st_size < LARGE:
        shutil.copy(picture, target)
        return
    image = Image.open(picture).convert("RGB")
    scale = min(1.0, WIDEST / image.width)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    palette = colours()
    few = small.quantize(palette=palette, dither=Image.Dither.NONE)
    white = np.asarray(small).min(2) == 255  # PIL's nearest colour is not always the nearest
    exact = Image.frombytes("P", few.size, np.where(white, WHITE, np.asarray(few)).astype(np.uint8).tobytes())
    exact.putpalette(palette.getpalette())
    own = small.quantize(256, dither=Image.Dither.NONE)

    def error(picture: Image.Image) -> float:
        return float(np.abs(np.asarray(picture.convert("RGB"), np.float32) - np.asarray(small)).mean())

    min(exact, own, key=error).save(target, optimize=True)


def colours() -> Image.Image:
    """A palette of what pictures here are made of: greys, and the colours of classes, down to where they are faint."""
    faded = [
        round(255 + (int(name[at : at + 2], 16) - 255) * share)
        for name in (*PALETTE, MARK)
        for share in (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.12)
        for at in (1, 3, 5)
    ]
    greys = 256 - len(faded) // 3
    palette = Image.new("P", (1, 1))
    palette.putpalette([round(255 * (1 - step / (greys - 1))) for step in range(greys) for _ in range(3)] + faded)
    return palette


def main(arguments: list[str] | None = None) -> None:
    """Run all blocks, and when all went well replace the pictures and the page."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    page = PAGE.read_text(encoding="utf-8")
    printed = {}
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        try:
            began = time.process_time()
            for number, (block, said) in enumerate(run(blocks_of(page)), start=1):
                if block.name is not None:
                    printed[block.name] = said
                print(f"block {number}: {time.process_time() - began:.1f} s")
        finally:
            os.chdir(here)
        if absent := [name for name in linked(page) if not Path(folder, name).is_file()]:
            raise ValueError(f"The page shows {', '.join(absent)}, which no block draws.")
        PICTURES.mkdir(parents=True, exist_ok=True)
        for old in PICTURES.iterdir():
            old.unlink()
        for name in linked(page):
            light(Path(folder, name), PICTURES / name)
    with atomic_file(PAGE) as partial:
        partial.write_text(rebuilt(page, printed), encoding="utf-8")
