"""The page for its benchmark, ``python bench_page.py million|faces --port N``: a million codes, or a GAN of faces."""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from latent_vizae import LatentMap, fit


def million():
    """A map of 2,000 codes whose points are a million, with labels; a small decoder."""
    drawn = torch.Generator().manual_seed(0)
    v = fit(torch.randn(2000, 6, generator=drawn), seed=0, steps=100)
    v.points = (0.4 * torch.randn(1_000_000, 2, generator=drawn)).clamp(-1, 1)
    weight = torch.randn(6, 192, generator=drawn) / 4
    return LatentMap(v, lambda z: (z @ weight).sigmoid().reshape(-1, 3, 8, 8)), torch.arange(1_000_000) % 10


def faces():
    """A map of 500 codes of the GAN of faces; None where its weights are missing."""
    from shared_models import face_gan

    f_d = face_gan()
    if f_d is None:
        return None
    codes = torch.randn(500, 100, 1, 1, generator=torch.Generator().manual_seed(0))
    return LatentMap(fit(codes, f_d, seed=0), f_d), None


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("million", "faces"))
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    m, labels = (million if given.kind == "million" else faces)()
    m.show(labels=labels, browser=False, port=given.port).wait()
