"""``python -m latent_vizae.cli``."""

from .app import main

if __name__ == "__main__":
    main()
