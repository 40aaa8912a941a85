"""Make the pictures of the guide anew: run the code of its pages and keep what it draws.

    python -m latent_vizae.demos.guide_pictures             # all pages, minutes
    python -m latent_vizae.demos.guide_pictures README maps

A page shows ``../pictures/guide/NAME`` where its code saves a file of that name. The tests run the same code:
blocks of Python, and our commands under ``<!-- runs -->``.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import typer.main
from PIL import Image

from latent_vizae.cli.app import app

GUIDE = Path(__file__).parent / "guide"
PICTURES = GUIDE.parent / "pictures" / "guide"
WIDEST = 1200
NEEDS = "needs: "
BLOCK = re.compile(
    rf"^(?:<!-- (runs|{NEEDS}[^\n]+) -->\n)?```(python|bash)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\(\.\./pictures/guide/([\w.-]+)\)")


def is_here(needs: str) -> bool:
    """Whether what a block needs is a package, and installed."""
    return needs.isidentifier() and find_spec(needs) is not None


def run(page: Path) -> list[str]:
    """Run the code of a page in the folder where one is: a page is one story, its blocks share their names.

    Returns:
        The blocks that were passed over: a comment before them says what they need, and that is not here.
    """
    names, passed_over = {"__name__": "guide"}, []
    for number, (mark, language, code) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), start=1):
        if language == "bash":
            for line in code.splitlines() if mark == "runs" else ():
                typer.main.get_command(app).main(shlex.split(line)[1:], "latent-vizae", standalone_mode=False)
        elif mark and not is_here(mark.removeprefix(NEEDS)):
            passed_over.append(code)
        else:
            exec(compile(code, f"{page.name}, code block {number}", "exec"), names)
    return passed_over


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
                passed_over = run(page)
            finally:
                os.chdir(here)
            drawn = [picture for picture in shown(page) if Path(folder, picture).is_file()]
            for picture in drawn:
                light(Path(folder, picture), PICTURES / picture)
        print(f"{name}: {', '.join(drawn)}" + ("; some blocks need what is not here" if passed_over else ""))


if __name__ == "__main__":
    main()
