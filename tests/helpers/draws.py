"""Random tensors that are the same in every test."""

import torch


def normal(*shape, seed=0):
    """Standard normal numbers, float32."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
