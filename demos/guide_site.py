"""The hook of ``mkdocs.yml``: what turns the guide, which reads as plain Markdown too, into a site.

Pages and pictures that lie elsewhere in the repository become part of the site, and links between all of them lead
inside of it. Formulas become MathML, which browsers draw without a script. The API reference is made from the names
that the package exports.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import latent_vizae

ROOT = Path(__file__).resolve().parents[1]
GUIDE = "demos/guide"
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "demos/gallery.md": "gallery.md",
    "demos/third_party_adapter/README.md": "adapter-package.md",
    "demos/zoo/README.md": "zoo.md",
}
"""Pages from elsewhere, by their place on the site."""
FOLDERS = {"demos/pictures": "pictures", "tests/benchmarks/results": "results"}
"""What lies in these folders and is named by a page is part of the site."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
CODE = re.compile(r"^(```.*?^```|`[^`\n]+`)", flags=re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', flags=re.DOTALL)
MORE = (
    "maps.samples.Samples",
    "maps.certificate.Certificate",
    "model.report.FitReport",
    "directions.direction.Direction",
    "widget.MapWidget",
    "sklearn.VizAETransformer",
    "testing.check_decoder",
    "pictures.map_picture",
)
"""What the exported functions return, and what is imported from a module of its own."""


def place_on_site(path: str) -> str | None:
    """Where a file of the repository is on the site, or None."""
    if path in PAGES:
        return PAGES[path]
    for folder, place in ({GUIDE: "."} | FOLDERS).items():
        if path.startswith(f"{folder}/"):
            return posixpath.normpath(posixpath.join(place, path.removeprefix(f"{folder}/")))
    return None


def place_in_repository(uri: str) -> str:
    """The inverse of `place_on_site`."""
    for path, place in PAGES.items():
        if uri == place:
            return path
    for folder, place in FOLDERS.items():
        if uri.startswith(f"{place}/"):
            return f"{folder}/{uri.removeprefix(f'{place}/')}"
    return f"{GUIDE}/{uri}"


def reference() -> str:
    """The page of the API reference: the exported names, then `MORE`."""
    homes = [f"{home}.{name}" for name, home in latent_vizae._HOMES.items()]
    parts = [f"::: latent_vizae.{path}" for path in (*homes, *MORE)]
    return "\n\n".join(
        ["# API reference", "What `from latent_vizae import ...` gives, then what these return.", *parts]
    )


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from elsewhere, the pictures and results that a page links to, and the API reference."""
    files.append(File.generated(config, "api.md", content=reference()))
    waiting = [file.src_uri for file in files if file.src_uri.endswith(".md")] + list(PAGES.values())
    known = {file.src_uri for file in files}
    while waiting:
        uri = waiting.pop()
        source = ROOT / place_in_repository(uri)
        if uri not in known:
            known.add(uri)
            files.append(File.generated(config, uri, abs_src_path=str(source)))
        if uri.endswith(".md") and source.is_file():
            waiting += [there for _, there in _targets(source.read_text(encoding="utf-8"), uri) if there not in known]
    return files


def _resolved(target: str, uri: str) -> str:
    """The path in the repository of what a page of the site links to."""
    folder = posixpath.dirname(place_in_repository(uri))
    return posixpath.normpath(posixpath.join(folder, target.partition("#")[0]))


def _targets(text: str, uri: str) -> list[tuple[str, str]]:
    """What a page links to: as it is written, and where it is on the site."""
    targets = [target for _, _, target in LINK.findall(CODE.sub("", text))]
    local = [target for target in targets if "://" not in target and not target.startswith("#")]
    places = [(target, place_on_site(_resolved(target, uri))) for target in local]
    return [(target, place) for target, place in places if place is not None]


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links of the repository to their places on the site; what is not on it becomes a name without a link."""
    uri = page.file.src_uri
    here = posixpath.dirname(uri) or "."

    def led(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        if "://" in target or target.startswith("#"):
            return match.group()
        path, anchor = _resolved(target, uri), target.partition("#")[2]
        if not (ROOT / path).exists():
            raise PluginError(f"{place_in_repository(uri)} links to {target}, which is not there.")
        place = place_on_site(path)
        if place is None or (ROOT / path).is_dir():
            return text
        return f"{image}[{text}]({posixpath.relpath(place, here)}{'#' * bool(anchor)}{anchor})"

    parts = CODE.split(markdown)  # every second part is code
    return "".join(part if number % 2 else LINK.sub(led, part) for number, part in enumerate(parts))


def on_page_content(content: str, **_: Any) -> str:
    """Formulas, TeX between arithmatex's marks, to MathML."""

    def drawn(match: re.Match[str]) -> str:
        tex = html.unescape(match.group(2)).strip()
        block = tex.startswith("\\[")
        return convert(tex[2:-2].strip(), display="block" if block else "inline")

    return FORMULA.sub(drawn, content)
