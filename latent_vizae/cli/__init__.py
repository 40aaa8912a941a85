"""The ``latent-vizae`` command: see `app`."""

import os

# Before torch is imported: threads that wait for each other spin for some microseconds, then sleep. On two idle cores
# that is nearly as fast as OpenMP's own way; where another program runs too, a fit takes half a minute, not ten. To
# sleep at once (PASSIVE) takes two to three times as long when idle.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def main() -> None:
    """Run the command line."""
    from .app import main

    main()
