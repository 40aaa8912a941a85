"""The page in a browser: a map that one can touch, made with Gradio."""

from typing import Any

__all__ = ["build", "launch"]


def __getattr__(name: str) -> Any:
    """`build` and `launch`, which need Gradio; what answers the page needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from latent_vizae.demos.page import layout

    return getattr(layout, name)
