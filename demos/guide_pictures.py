"""Make the pictures of the guide anew: run the code of its pages and keep what it draws.

    python -m latent_vizae.demos.guide_pictures             # all pages, minutes
    python -m latent_vizae.demos.guide_pictures README maps

A page shows ``../pictures/guide/NAME`` where its code saves a file of that name. The tests run the same code.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

GUIDE = Path(__file__).parent / "guide"
PICTURES = GUIDE.parent / "pictures" / "guide"
WIDEST = 1200
BLOCK = re.compile(r"^(?:<!-- needs: ([^\n]+) -->\n)?```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\(\.\./pictures/guide/([\w.-]+)\)")


def python_blocks(text: str) -> list[tuple[str, bool]]:
    """Code of a page, and whether it needs something that is not here: a comment before the block says what."""
    return [(code, bool(needs) and not is_here(needs)) for needs, code in BLOCK.findall(text)]


def is_here(needs: str) -> bool:
    """Whether what a block needs is a package, and installed."""
    return needs.isidentifier() and find_spec(needs) is not None


def run(page: Path) -> bool:
    """Run the code of a page in the folder where one is: a page is one story, its blocks share their names.

    Returns:
        Whether all of it ran; blocks that need something that is not here are passed over.
    """
    names = {"__name__": "guide"}
    blocks = python_blocks(page.read_text(encoding="utf-8"))
    for number, (code, lacking) in enumerate(blocks, start=1):
        if not lacking:
            exec(compile(code, f"{page.name}, code block {number}", "exec"), names)
    return not any(lacking for _, lacking in blocks)


def shown(page: Path) -> list[str]:
    """Names of the pictures of a page that its code draws."""
    return sorted(set(LINK.findall(page.read_text(encoding="utf-8"))))


def light(picture: Path, target: Path) -> None:
    """Copy a picture; a still of at most 1,200 pixels across, in 256 colours."""
    if picture.suffix != ".png":
        shutil.copy(picture, target)
        return
    with Image.open(picture) as image:
        small = image.convert("RGB")
        small.thumbnail((WIDEST, 4 * WIDEST), Image.Resampling.LANCZOS)
        small.quantize(256, Image.Quantize.MAXCOVERAGE, 3, dither=Image.Dither.NONE).save(target, optimize=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the pages, and keep the pictures of each that went well."""
    known = sorted(page.stem for page in GUIDE.glob("*.md"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(known)}; by default all")
    given = parser.parse_args(arguments)
    if unknown := set(given.pages) - set(known):
        parser.error(f"there is no page {', '.join(sorted(unknown))}")
    PICTURES.mkdir(exist_ok=True)
    for name in given.pages or known:
        page = GUIDE / f"{name}.md"
        if not shown(page):
            continue
        here = Path.cwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                whole = run(page)
            finally:
                os.chdir(here)
            drawn = [picture for picture in shown(page) if Path(folder, picture).is_file()]
            for picture in drawn:
                light(Path(folder, picture), PICTURES / picture)
        print(f"{name}: {', '.join(drawn)}" + ("" if whole else "; some blocks need what is not here"))


if __name__ == "__main__":
    main()
