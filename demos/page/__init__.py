"""The page in a browser: a map that one can touch, made with Gradio."""

from latent_vizae.demos.page.layout import build, launch

__all__ = ["build", "launch"]
