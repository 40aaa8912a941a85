"""A generator with a prior of 24 numbers, all of which count about the same."""

import torch


class Waves:
    """Codes (B, 24) of a prior to images (B, 1, 6, 6): all numbers of a code count about the same."""

    def __init__(self):
        self.weights = torch.randn(24, 36, generator=torch.Generator().manual_seed(3)) / 24**0.5

    def __call__(self, codes):
        return (codes @ self.weights).sigmoid().unflatten(1, (1, 6, 6))


def draws(count, seed=0):
    return torch.randn(count, 24, generator=torch.Generator().manual_seed(seed))
