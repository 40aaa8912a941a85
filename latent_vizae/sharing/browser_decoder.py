"""A generator in a page: its graph and onnxruntime-web, as elements that ask no server for anything."""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path

from .traced import Traced

__all__ = ["runtime_script", "traced_elements", "traced_note"]

VENDOR = Path(__file__).parent / "vendor"
ELEMENT = '<script type="text/plain" id="{name}">{data}</script>\n'


@cache
def runtime_script() -> str:
    """onnxruntime-web as a module that leaves its exports in ``globalThis.ort``."""
    text = (VENDOR / "ort.wasm.bundle.min.mjs").read_text(encoding="utf-8")
    text = re.sub(r"^//# sourceMappingURL=.*$", "", text, flags=re.MULTILINE).rstrip()
    found = re.search(r"export\{([^{}]*)\};?$", text)
    if found is None or "</script" in text:
        raise RuntimeError("This version of onnxruntime-web cannot be put into a page.")
    pairs = [pair.split(" as ") for pair in found[1].split(",")]
    named = ",".join(f"{pair[-1].strip()}:{pair[0].strip()}" for pair in pairs)
    return text[: found.start()] + f"globalThis.ort={{{named}}};\n"


def traced_elements(traced: Traced) -> str:
    """The graph, and the runtime's code as it is vendored (gzip), in base64, which ends no element."""
    graph = base64.b64encode(traced.graph).decode()
    code = base64.b64encode((VENDOR / "ort-wasm-simd-threaded.wasm.gz").read_bytes()).decode()
    return ELEMENT.format(name="onnx-graph", data=graph) + ELEMENT.format(name="onnx-runtime", data=code)


def traced_note(traced: Traced) -> str:
    """What the page says of its pictures."""
    return (
        "Without a server: the generator itself is in this file and runs in this browser. Its pictures differ from "
        f"the map's by {traced.difference:.1g} at most (root mean square at places all over the map; black to white "
        "is 1). Made with latent_vizae."
    )
