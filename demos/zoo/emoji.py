"""Microsoft's Fluent 3D emoji at 64 pixels, what the colour generators learn from.

One file, ``fluent-64.npz``: pictures on white with names, groups and a mark on variants of skin tone. Pictures from
the npm package @lobehub/fluent-emoji-3d 1.1.0, names and groups from unicode-emoji-json (both MIT).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FILE = "fluent-64.npz"


@dataclass(frozen=True)
class Emoji:
    """Pictures with what they are called.

    Attributes:
        images: (k, 3, 64, 64) uint8.
        names: k names, such as "red heart".
        groups: (k,) int64, indices of ``group_names``.
        group_names: of Unicode: "Activities", "Animals & Nature", ...
    """

    images: Tensor
    names: list[str]
    groups: Tensor
    group_names: list[str]


def read_emoji(folder: Path, *, skin_tones: bool = False) -> Emoji:
    """The 1,854 emoji, or the 1,520 variants of some of them by skin tone.

    Raises:
        FileNotFoundError: the folder has no `FILE`.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {FILE}: --data is emoji where shared/data/emoji is, or such a folder."
        )
    with np.load(path, allow_pickle=False) as data:
        rows = data["skin_tone"] == skin_tones
        images = torch.from_numpy(data["images"][rows]).permute(0, 3, 1, 2).contiguous()
        names = [str(name) for name in data["names"][rows]]
        return Emoji(
            images, names, torch.from_numpy(data["groups"][rows]), [str(name) for name in data["group_names"]]
        )
