"""Lint of the JavaScript, ``python tests/lint_js.py``: ESLint on the map's modules and on the page's one script.

Needs npm; ESLint is installed under build/js, once. Without npm it says so and lints nothing.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from latent_vizae.demos.page.layout import HERE, SCRIPTS, SHARED
from latent_vizae.sharing.static_file import COMPONENT

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "js"
PACKAGES = ("eslint@9", "@eslint/js@9", "globals@16")


def page_module() -> str:
    """The page's script as a module: a function of what Gradio hands it, and imports of what it shares."""
    own = "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    text = (COMPONENT / f"{SHARED}.js").read_text(encoding="utf-8")
    exported = re.findall(r"^export (?:const|(?:async )?function\*?) (\w+)", text, re.MULTILINE)
    used = ", ".join(one for one in exported if re.search(rf"\b{one}\b", own))
    shared = f'import {{ {used} }} from "../component/{SHARED}.js";'
    return "\n".join([shared, "export default function page(element, props, trigger, watch, server) {", own, "}", ""])


def main() -> int:
    """Lint; the exit status."""
    npm = shutil.which("npm")
    if npm is None:
        print("JavaScript was not linted: npm is not installed.", file=sys.stderr)
        return 0
    for folder in ("component", "page"):
        shutil.rmtree(PLACE / folder, ignore_errors=True)
        (PLACE / folder).mkdir(parents=True)
    for file in COMPONENT.glob("*.js"):
        shutil.copy(file, PLACE / "component")
    (PLACE / "page" / "page.js").write_text(page_module(), encoding="utf-8")
    shutil.copy(ROOT / "tests" / "eslint.config.mjs", PLACE)
    if not (PLACE / "node_modules" / "eslint").is_dir():
        (PLACE / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", *PACKAGES], cwd=PLACE, check=True)
    return subprocess.run(["node", "node_modules/eslint/bin/eslint.js", "component", "page"], cwd=PLACE).returncode


if __name__ == "__main__":
    sys.exit(main())
