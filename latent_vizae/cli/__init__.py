"""The ``latent-vizae`` command: see `app`."""


def main() -> None:
    """Run the command line."""
    from .app import main

    main()
