"""``python -m latent_vizae.demos.gallery``."""

from latent_vizae.demos.gallery.rebuild import main

if __name__ == "__main__":
    main()
