"""The page on the bundled map with columns of its codes, ``python columns_page.py --port N``."""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from latent_vizae import load_decoder
from latent_vizae.demos.page import firsts, layout
from latent_vizae.demos.page.show import in_hand

EVIL = "<script>window.bad = 1</script><img src=x onerror='window.bad = 1'>"
KINDS = ["shoe", "sandal", EVIL, "bag"]


def map_with_columns():
    """The first map: columns of words (one of them code), of numbers with gaps, and of names."""
    start = firsts.digits_map(load_decoder("mnist"))
    number = np.arange(len(start.codes))
    columns = {
        "kind": [KINDS[i % 4] for i in number],
        "ink": np.where(number % 5 == 0, np.nan, start.codes[:, 0].numpy()),
        EVIL: [f"img_{i:05d}.png" for i in number],
    }
    return in_hand(start.latent_map, codes=start.codes, labels=start.labels, columns=columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    layout.launch(layout.build(map_with_columns()), port=parser.parse_args().port)
