"""The Space: ``python app.py``, or ``latent-vizae demo``."""

import os

# One thread per decode, before torch is imported: a Gradio worker's second thread would wait for a busy core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import argparse

from latent_vizae.demos.page import build, launch

demo = build()


def main() -> None:
    """Run the page until it is interrupted."""
    parser = argparse.ArgumentParser(description="A map of a generator's latent space that one can touch.")
    parser.add_argument("--port", type=int, default=None, help="by default the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public address for 72 hours, through Gradio")
    parser.add_argument("--mcp", action="store_true", help='offer the endpoints to agents (needs the extra "mcp")')
    given = parser.parse_args()
    launch(demo, port=given.port, share=given.share, mcp_server=given.mcp)


if __name__ == "__main__":
    main()
