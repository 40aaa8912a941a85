"""The page for soak.py, ``python slow_page.py --port N``: a second map, "slow", has a decoder of a second an image."""

import argparse

from host_page import Slow

from latent_vizae import LatentMap
from latent_vizae.demos import app
from latent_vizae.demos.page import layout
from latent_vizae.demos.page.fitted import FittedMap

SECONDS = 1.0


class TwoMaps(layout.Maps):
    """The first map, and a slow one of the same codes."""

    def __init__(self, start):
        super().__init__(start)
        m = start.latent_map
        slow = LatentMap(m.v, Slow(m.decoder, SECONDS))
        self.add(FittedMap("slow", slow, start.codes, start.labels, "", id="slow"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    layout.Maps = TwoMaps
    app.run(port=parser.parse_args().port)
