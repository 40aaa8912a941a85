"""The guide as the page serves it: its Markdown as HTML, without pictures; links between its pages work."""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

__all__ = ["ADDRESS", "guide_routes"]

ADDRESS = "/latent-map/guide/"
FOLDER = Path(__file__).resolve().parent.parent / "guide"
PICTURE = re.compile(r"!\[([^\]]*)\]\([^)]*\)\n*(?:\*[^\n]*\*\n)?")
ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?!https?:|#|[a-z-]+\.md(?:[#)]))[^)]*\)")
"""Links to files that are not of the guide: their words stay."""
STYLE = """
:root { color-scheme: light dark; }
body { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; font: 16px/1.6 system-ui, sans-serif; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding-bottom: 1rem; border-bottom: 1px solid #8886; }
pre, table { overflow-x: auto; display: block; } pre { padding: .8rem; background: #8882; border-radius: 8px; }
code { font-size: .9em; } td, th { padding: .2rem .7rem .2rem 0; text-align: left; border-bottom: 1px solid #8884; }
"""


@cache
def _titles() -> dict[str, str]:
    """Names of the pages and their titles, the first page first."""
    files = sorted(FOLDER.glob("*.md"), key=lambda file: (file.name != "README.md", file.name))
    return {file.name: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").strip() for file in files}


@cache
def _page(name: str) -> str:
    text = PICTURE.sub("", (FOLDER / name).read_text(encoding="utf-8"))
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(ELSEWHERE.sub(r"\1", text))
    links = "".join(f'<a href="{page}">{html.escape(title)}</a>' for page, title in _titles().items())
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_titles()[name]}</title>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body><nav>{links}</nav>{body}'


def guide_routes() -> list[Route]:
    """Routes of the guide's pages; the address itself leads to the first one."""

    async def page(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _titles():
            return HTMLResponse("There is no such page of the guide.", status_code=404)
        return HTMLResponse(_page(name))

    async def first(request: Request) -> Response:
        return RedirectResponse("README.md")

    return [Route(ADDRESS, first), Route(ADDRESS + "{name}", page)]
