"""What the lessons of `gallery.md` are made of; ``python -m latent_vizae.demos.gallery`` rebuilds that page."""
