"""Images to train on, and the files that MNIST comes in (idx: a header and bytes, gzipped by name)."""

import gzip
import struct

import numpy as np
import torch


def blobs(count=64, side=28, seed=0):
    """Bright squares on black, at random places: (count, 1, side, side) uint8."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, 1, side, side), np.uint8)
    for image in images:
        top, left = random.integers(0, side - side // 3, 2)
        image[0, top : top + side // 3, left : left + side // 3] = 255
    return torch.from_numpy(images)


def write_idx(path, array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes((gzip.compress if path.suffix == ".gz" else bytes)(header + array.tobytes()))
