"""Lint of the JavaScript, ``python tests/lint_js.py``: ESLint on the modules that all maps share, and on the page's.

Needs npm; ESLint is installed under build/js, once. Without npm it says so and lints nothing.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from latent_vizae.sharing.modules import COMPONENT

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "js"
MODULES = {"component": COMPONENT, "page": ROOT / "demos" / "page" / "map"}
PACKAGES = ("eslint@9", "@eslint/js@9", "globals@16")


def main() -> int:
    """Lint; the exit status."""
    npm = shutil.which("npm")
    if npm is None:
        print("JavaScript was not linted: npm is not installed.", file=sys.stderr)
        return 0
    for name, folder in MODULES.items():
        shutil.rmtree(PLACE / name, ignore_errors=True)
        (PLACE / name).mkdir(parents=True)
        for file in folder.glob("*.js"):
            shutil.copy(file, PLACE / name)
    shutil.copy(ROOT / "tests" / "eslint.config.mjs", PLACE)
    if not (PLACE / "node_modules" / "eslint").is_dir():
        (PLACE / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", *PACKAGES], cwd=PLACE, check=True)
    return subprocess.run(["node", "node_modules/eslint/bin/eslint.js", *MODULES], cwd=PLACE).returncode


if __name__ == "__main__":
    sys.exit(main())
